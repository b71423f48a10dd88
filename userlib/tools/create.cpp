// SPDX-License-Identifier: MIT
// "kvmchan create": a region without a server.
#include <charconv>
#include <memory>
#include <string_view>
#include <vector>

#include "command.hpp"
#include "endpoint.hpp"
#include "memory_size.hpp"

namespace kvmchan::tools {
namespace {

struct create_options {
	std::string place;
	std::string size = "16M";
	std::uint32_t table_slots = 0;
	bool force = false;
	std::vector<std::string> channels;
	std::vector<std::string> blocks;
};

std::vector<std::string> split(std::string_view text, char separator)
{
	std::vector<std::string> parts;

	for (;;) {
		const auto at = text.find(separator);

		parts.emplace_back(text.substr(0, at));
		if (at == std::string_view::npos)
			return parts;
		text.remove_prefix(at + 1);
	}
}

[[noreturn]] void refuse(const std::string &text)
{
	throw CLI::ValidationError{text};
}

std::uint32_t parse_side(const std::string &text, const std::string &spec)
{
	std::uint32_t id = 0;

	if (text == "host")
		return side_host;
	if (text == "any")
		return side_any;
	const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);

	if (error != std::errc{} || end != text.data() + text.size() || id > 0xffff)
		refuse("--channel " + spec + ": side \"" + text + "\" is neither host nor any nor an ID from 0 to 65535");
	return id;
}

channel_mode parse_mode(const std::string &text, const std::string &spec)
{
	if (text.empty() || text == "stream")
		return channel_mode::stream;
	if (text == "packet")
		return channel_mode::packet;
	refuse("--channel " + spec + ": mode \"" + text + "\" is neither stream nor packet");
}

/* NAME[:MODE[:SIZE[,SIZE][:SIDE,SIDE]]] */
new_slot parse_channel(const std::string &spec)
{
	const auto parts = split(spec, ':');
	new_slot slot;

	if (parts.size() > 4)
		refuse("--channel " + spec + ": more than NAME:MODE:SIZES:SIDES");
	slot.name = parts[0];
	if (parts.size() > 1)
		slot.mode = parse_mode(parts[1], spec);
	if (parts.size() > 2 && !parts[2].empty()) {
		const auto sizes = split(parts[2], ',');

		if (sizes.size() > 2)
			refuse("--channel " + spec + ": more than two sizes");
		slot.size[0] = parse_size(sizes.front());
		slot.size[1] = parse_size(sizes.back());
	}
	if (parts.size() > 3) {
		const auto sides = split(parts[3], ',');

		if (sides.size() != 2)
			refuse("--channel " + spec + ": the sides are two, with a comma");
		slot.side[0] = parse_side(sides[0], spec);
		slot.side[1] = parse_side(sides[1], spec);
	}
	return slot;
}

new_slot parse_block(const std::string &spec)
{
	const auto parts = split(spec, ':');
	new_slot slot;

	if (parts.size() != 2)
		refuse("--block " + spec + ": not NAME:SIZE");
	slot.kind = slot_kind::memory;
	slot.name = parts[0];
	slot.size[0] = parse_size(parts[1]);
	slot.size[1] = 0;
	return slot;
}

void create(const create_options &options)
{
	new_region wanted;

	wanted.size = parse_size(options.size);
	wanted.table_slots = options.table_slots;
	wanted.replace = options.force;
	for (const std::string &spec : options.channels)
		wanted.slots.push_back(parse_channel(spec));
	for (const std::string &spec : options.blocks)
		wanted.slots.push_back(parse_block(spec));
	create_region(options.place, wanted);
}

} // namespace

void add_create_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("create", "Make a region without a server, for ivshmem-plain");
	auto options = std::make_shared<create_options>();

	command.alias("format");
	command.add_option("memory", options->place, "POSIX shared memory object (a word) or file (a path) to make or use")
		->required();
	command.add_option("-l,--size", options->size, "Size of the region, a power of two")->capture_default_str();
	command.add_option("--channel", options->channels,
	                   "Channel: NAME[:stream|packet[:SIZE[,SIZE][:SIDE,SIDE]]]; may be given again.\n"
	                   "The sizes are of the rings that side 0 and side 1 write (64K); a side is host,\n"
	                   "any or an ivshmem ID (host,any)");
	command.add_option("--block", options->blocks, "Block of plain memory: NAME:SIZE; may be given again");
	command.add_option("--slots", options->table_slots, "Room in the table; by default by the region's size");
	command.add_flag("--force", options->force, "Format what is formatted already; nobody may be using it");
	on_run(command, [options] { create(*options); });
}

} // namespace kvmchan::tools
