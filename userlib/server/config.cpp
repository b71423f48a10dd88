// SPDX-License-Identifier: MIT
#include "config.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "memory_size.hpp"

namespace kvmchan {
namespace {

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args &&...args)
{
	throw std::system_error{std::make_error_code(std::errc::invalid_argument),
	                        fmt::format(format, std::forward<Args>(args)...)};
}

std::optional<std::uint32_t> parse_id(std::string_view text) noexcept
{
	std::uint32_t id = 0;
	const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);

	if (error != std::errc{} || end != text.data() + text.size() || id > KVMCHAN_PEER_MAX)
		return std::nullopt;
	return id;
}

std::uint32_t resolve_side(const region_config &region, const slot_config &slot, const std::string &text)
{
	if (text == "host")
		return KVMCHAN_PEER_HOST;
	if (text == "any")
		return KVMCHAN_PEER_ANY;
	for (const vm_config &vm : region.vms)
		if (vm.name == text)
			return *vm.id;
	if (const auto id = parse_id(text))
		return *id;
	refuse(R"({}: side "{}" of "{}" is neither host nor any, a VM of region "{}" or an ID from 0 to {})",
	       slot.origin, text, slot.spec.name, region.name, KVMCHAN_PEER_MAX);
}

void number_vms(region_config &region)
{
	std::set<std::uint16_t> taken;
	std::uint16_t next = 1;

	for (const vm_config &vm : region.vms)
		if (vm.id && !taken.insert(*vm.id).second)
			refuse("region \"{}\": two VMs have id {}", region.name, *vm.id);
	for (vm_config &vm : region.vms) {
		while (!vm.id)
			if (taken.insert(next++).second)
				vm.id = static_cast<std::uint16_t>(next - 1);
	}
}

void complete_vms(region_config &region)
{
	std::set<std::string> names;

	number_vms(region);
	for (vm_config &vm : region.vms) {
		if (vm.name.empty() || vm.name == "host" || vm.name == "any" || vm.name.find('/') != std::string::npos)
			refuse(R"(region "{}": VM name "{}" (not empty, host or any, and without /))", region.name, vm.name);
		if (!names.insert(vm.name).second)
			refuse(R"(region "{}": two VMs are called "{}")", region.name, vm.name);
		if (vm.socket.empty())
			vm.socket = region.socket.string() + "." + vm.name;
	}
}

template <typename T>
void check_range(const region_config &region, std::string_view key, T value, T least, T most)
{
	if (value < least || value > most)
		refuse("region \"{}\": {} = {} is not within {} to {}", region.name, key, value, least, most);
}

slot_config new_slot(std::string_view name, std::string origin)
{
	slot_config slot;

	slot.spec.name = name;
	slot.origin = std::move(origin);
	return slot;
}

/* The part of @text up to a separator, which is cut off with it. */
std::string_view cut(std::string_view &text, char separator) noexcept
{
	const auto at = text.find(separator);
	const std::string_view part = text.substr(0, at);

	text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
	return part;
}

} // namespace

std::string side_text(std::uint32_t side)
{
	if (side == KVMCHAN_PEER_HOST)
		return "host";
	if (side == KVMCHAN_PEER_ANY)
		return "any";
	return std::to_string(side);
}

std::string error_text(const std::system_error &error)
{
	std::string text = error.what();
	const std::string suffix = ": " + error.code().message();

	if (error.code() == std::errc::invalid_argument && text.ends_with(suffix))
		text.resize(text.size() - suffix.size());
	return text;
}

void complete(region_config &region)
{
	if (region.name.empty() || region.name.find('/') != std::string::npos)
		refuse("region name \"{}\" (not empty, and without /)", region.name);
	if (region.socket.empty())
		refuse("region \"{}\": no socket is given", region.name);
	if (!is_region_size(region.size))
		refuse("region \"{}\": size {} is no power of two from 4K to {}: QEMU takes no other", region.name,
		       region.size, format_size(region_size_max));
	if (region.memory != memory_kind::memfd && region.memory_name.empty())
		refuse("region \"{}\": its memory needs a name or a path", region.name);
	check_range(region, "vectors", region.vectors, 1U, region_vectors_max);
	check_range(region, "max_clients", region.max_clients, 1U, region_clients_max);
	check_range<std::int64_t>(region, "client_deadline_ms", region.client_deadline.count(), 10, 3'600'000);
	if (region.raw && !region.slots.empty())
		refuse("region \"{}\": a raw region has no channels", region.name);
	complete_vms(region);
	for (slot_config &slot : region.slots)
		for (std::size_t i = 0; i < 2; ++i)
			if (!slot.sides[i].empty())
				slot.spec.side[i] = resolve_side(region, slot, slot.sides[i]);
}

void complete(server_config &config)
{
	std::set<std::string> names, sockets;

	for (region_config &region : config.regions) {
		complete(region);
		if (!names.insert(region.name).second)
			refuse("two regions are called \"{}\"", region.name);
		if (!sockets.insert(region.socket.lexically_normal().string()).second)
			refuse("region \"{}\": socket {} is used twice", region.name, region.socket.string());
		for (const vm_config &vm : region.vms)
			if (!sockets.insert(vm.socket.lexically_normal().string()).second)
				refuse("VM \"{}\": socket {} is used twice", vm.name, vm.socket.string());
	}
}

slot_config parse_channel_flag(std::string_view text)
{
	std::string_view rest = text;
	slot_config slot = new_slot(cut(rest, ':'), fmt::format("--channel {}", text));
	const std::string_view mode = cut(rest, ':');
	std::string_view sizes = rest;

	if (mode == "packet")
		slot.spec.mode = KVMCHAN_MODE_PACKET;
	else if (!mode.empty() && mode != "stream")
		refuse("{}: mode \"{}\" is neither stream nor packet", slot.origin, mode);
	if (!sizes.empty()) {
		slot.spec.size[0] = parse_size(cut(sizes, ','));
		slot.spec.size[1] = sizes.empty() ? slot.spec.size[0] : parse_size(sizes);
	}
	return slot;
}

slot_config parse_memory_flag(std::string_view text)
{
	std::string_view rest = text;
	slot_config slot = new_slot(cut(rest, ':'), fmt::format("--memory {}", text));

	slot.spec.kind = KVMCHAN_KIND_MEMORY;
	slot.spec.size = {parse_size(rest), 0};
	return slot;
}

} // namespace kvmchan
