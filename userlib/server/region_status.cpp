// SPDX-License-Identifier: MIT
// What a region tells about itself.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "region_service.hpp"

namespace kvmchan {
namespace {

using nlohmann::json;

json describe(const peer &entry)
{
	json out{{"id", entry.id},
	         {"kind", entry.vm.empty() ? "client" : "vm"},
	         {"vectors", entry.bells.size()},
	         {"connected", entry.session != nullptr}};

	if (!entry.vm.empty())
		out["name"] = entry.vm;
	if (entry.session) {
		out["pid"] = entry.session->credentials().pid;
		out["uid"] = entry.session->credentials().uid;
		out["queued"] = entry.session->queued();
	}
	return out;
}

/* Epoch, flags and bell are the side's own words: only shown, never trusted. */
json describe_side(const manager &table, std::uint32_t index, unsigned side)
{
	const kvmchan_slot &slot = table.slots()[index];
	const std::uint64_t link = table.link(index, side);
	const std::uint64_t epoch = kvmchan_link_epoch(link);
	json out{{"who", side_text(slot.side[side])},
	         {"size", slot.data_size[side]},
	         {"epoch", epoch},
	         {"open", (link & KVMCHAN_LINK_OPEN) != 0},
	         {"reaped", epoch != 0 && kvmchan_epoch_reaped(slot.reaped[side], epoch)}};

	if (table.bell(index, side) & KVMCHAN_BELL_RINGABLE)
		out["bell"] = {{"peer", (table.bell(index, side) >> KVMCHAN_BELL_PEER_SHIFT) & 0xffff},
		               {"vector", table.bell(index, side) & 0xffff}};
	return out;
}

json describe_slot(const manager &table, std::uint32_t index)
{
	const kvmchan_slot &slot = table.slots()[index];
	const bool channel = slot.kind == KVMCHAN_KIND_CHANNEL;
	json out{{"name", slot.name}, {"kind", channel ? "channel" : "memory"}, {"id", slot.id}, {"index", index}};

	if (channel)
		out["mode"] = slot.mode == KVMCHAN_MODE_PACKET ? "packet" : "stream";
	out["sides"] = {describe_side(table, index, 0), describe_side(table, index, 1)};
	return out;
}

const char *kind_name(memory_kind kind)
{
	switch (kind) {
	case memory_kind::memfd:
		return "memfd";
	case memory_kind::shm:
		return "shm";
	case memory_kind::file:
		return "file";
	case memory_kind::directory:
		break;
	}
	return "directory";
}

} // namespace

json region_service::status() const
{
	json out{{"name", config_.name},
	         {"size", memory_.size()},
	         {"memory", kind_name(config_.memory)},
	         {"memory_name", config_.memory_name},
	         {"sealed", memory_.sealed()},
	         {"vectors", config_.vectors},
	         {"socket", config_.socket.string()},
	         {"formatted", table_.has_value()},
	         {"peers", json::array()},
	         {"vms", json::array()},
	         {"slots", json::array()}};

	for (const auto &[id, entry] : peers_.all())
		if (entry.session || !entry.vm.empty())
			out["peers"].push_back(describe(entry));
	for (const vm_config &vm : config_.vms)
		out["vms"].push_back({{"name", vm.name}, {"id", *vm.id}, {"socket", vm.socket.string()}});
	if (!table_)
		return out;

	std::string incarnation;

	for (const std::uint8_t byte : table_->incarnation())
		incarnation += fmt::format("{:02x}", byte);
	out["incarnation"] = incarnation;
	out["generation"] = table_->generation();
	out["free"] = table_->layout().free_bytes();
	for (std::uint32_t i = 0; i < table_->slots().size(); ++i)
		if (table_->slots()[i].kind != KVMCHAN_KIND_FREE)
			out["slots"].push_back(describe_slot(*table_, i));
	return out;
}

} // namespace kvmchan
