// SPDX-License-Identifier: MIT
#include "describe.hpp"

#include <cstdio>

#include <fmt/format.h>

#include "memory_size.hpp"

namespace kvmchan::tools {
namespace {

const char *kind_name(std::uint32_t kind)
{
	return kind == 2 ? "memory" : kind == 1 ? "channel" : "free";
}

const char *mode_name(std::uint32_t mode)
{
	return mode == 1 ? "packet" : "stream";
}

json peer_or_null(std::uint32_t id)
{
	return id == side_any ? json{} : json(id);
}

} // namespace

std::string side_name(std::uint32_t side)
{
	if (side == side_host)
		return "host";
	return side == side_any ? "any" : std::to_string(side);
}

std::string state_name(std::uint32_t state)
{
	constexpr const char *names[] = {"closed", "waiting", "connected", "disconnected", "broken"};

	return state < std::size(names) ? names[state] : "unknown";
}

std::string incarnation_text(const std::uint8_t (&incarnation)[16])
{
	std::string text;

	for (const std::uint8_t byte : incarnation)
		text += fmt::format("{:02x}", byte);
	return text;
}

std::string slot_state(const kvmchan_slot_info &slot)
{
	if (slot.problem[0])
		return "damaged";
	if (slot.kind != 1)
		return "";
	if (slot.connected)
		return "connected";
	return slot.open[0] || slot.open[1] ? "waiting" : "closed";
}

json to_json(const kvmchan_counters &c)
{
	return {{"rx_bytes", c.rx_bytes},
	        {"tx_bytes", c.tx_bytes},
	        {"rx_records", c.rx_records},
	        {"tx_records", c.tx_records},
	        {"doorbells_sent", c.doorbells_sent},
	        {"doorbells_suppressed", c.doorbells_suppressed},
	        {"interrupts", c.interrupts},
	        {"empty_interrupts", c.empty_interrupts},
	        {"ring_full", c.ring_full},
	        {"protocol_errors", c.protocol_errors}};
}

json to_json(const kvmchan_slot_info &slot)
{
	json out{{"name", slot.name}, {"kind", kind_name(slot.kind)}, {"id", slot.id}};

	if (slot.problem[0]) {
		out["problem"] = slot.problem;
		return out;
	}
	out["sides"] = {side_name(slot.side[0]), side_name(slot.side[1])};
	if (slot.kind == 2) {
		out["size"] = slot.size[0];
		out["signals"] = {slot.written[0], slot.written[1]};
		return out;
	}
	out["mode"] = mode_name(slot.mode);
	out["state"] = slot_state(slot);
	out["ring_sizes"] = {slot.size[0], slot.size[1]};
	out["open"] = {slot.open[0] != 0, slot.open[1] != 0};
	out["epochs"] = {slot.epoch[0], slot.epoch[1]};
	out["written"] = {slot.written[0], slot.written[1]};
	out["consumed"] = {slot.consumed[0], slot.consumed[1]};
	return out;
}

json to_json(const kvmchan_region_info &region)
{
	return {{"size", region.size},
	        {"incarnation", incarnation_text(region.incarnation)},
	        {"generation", region.generation},
	        {"slots", region.slot_count},
	        {"peer", peer_or_null(region.peer)},
	        {"vectors", region.vectors},
	        {"sealed", region.sealed != 0},
	        {"managed", region.managed != 0}};
}

json to_json(const kvmchan_info &end)
{
	return {{"name", reinterpret_cast<const char *>(end.name)},
	        {"kind", kind_name(end.kind)},
	        {"mode", mode_name(end.mode)},
	        {"side", end.side},
	        {"state", state_name(end.state)},
	        {"peer", peer_or_null(end.peer)},
	        {"vector", peer_or_null(end.vector)},
	        {"rx_size", end.rx_size},
	        {"tx_size", end.tx_size},
	        {"max_record", end.max_record},
	        {"rx_ready", end.rx_ready},
	        {"tx_space", end.tx_space},
	        {"incarnation", incarnation_text(end.incarnation)}};
}

json to_json(const kvmchan_device_info &device)
{
	return {{"address", device.address},
	        {"flavour", device.doorbell ? "doorbell" : "plain"},
	        {"memory_size", device.memory_size},
	        {"driver", device.driver}};
}

json to_json(const kvmchan_node_info &node)
{
	return {{"node", std::string{"/dev/"} + node.node},
	        {"name", node.name},
	        {"device", node.device},
	        {"kind", kind_name(node.kind)},
	        {"mode", mode_name(node.mode)},
	        {"side", node.side},
	        {"state", state_name(node.state)},
	        {"rx_size", node.rx_size},
	        {"tx_size", node.tx_size},
	        {"peer", node.peer},
	        {"counters", to_json(node.counters)}};
}

void print(const json &value)
{
	fmt::print("{}\n", value.dump(2, ' ', true, json::error_handler_t::replace));
}

} // namespace kvmchan::tools
