// SPDX-License-Identifier: MIT
// "kvmchan ls" and "kvmchan info": what there is.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"
#include "memory_size.hpp"
#include "shared_format.hpp"

namespace kvmchan::tools {
namespace {

struct list_options {
	region_argument where;
	bool as_json = false;
};

/* Both rings, or the block. */
std::string sizes_text(const kvmchan_slot_info &slot)
{
	if (slot.kind == 2 || slot.size[0] == slot.size[1])
		return format_size(slot.size[0]);
	return format_size(slot.size[0]) + "," + format_size(slot.size[1]);
}

void print_slots(const std::vector<kvmchan_slot_info> &slots)
{
	fmt::print("{:<24} {:<8} {:<8} {:<12} {:<14} {}\n", "NAME", "KIND", "MODE", "SIDES", "SIZE", "STATE");
	for (const kvmchan_slot_info &slot : slots) {
		const bool channel = slot.kind == 1;

		if (slot.problem[0])
			fmt::print("{:<24} {}\n", slot.name, std::string{"damaged: "} + slot.problem);
		else
			fmt::print("{:<24} {:<8} {:<8} {:<12} {:<14} {}\n", slot.name, channel ? "channel" : "memory",
			           !channel ? "-" : slot.mode ? "packet" : "stream",
			           side_name(slot.side[0]) + "," + side_name(slot.side[1]), sizes_text(slot), slot_state(slot));
	}
}

json slots_json(const region &where)
{
	json list = json::array();

	for (const kvmchan_slot_info &slot : where.slots())
		list.push_back(to_json(slot));
	return list;
}

void list_region(const list_options &options)
{
	const region where = options.where.place().open();

	if (options.as_json)
		print(slots_json(where));
	else
		print_slots(where.slots());
}

/* POSIX shared memory objects that begin as a region does. */
std::vector<std::string> formatted_objects()
{
	std::vector<std::string> names;
	std::error_code ec;

	for (const auto &entry : std::filesystem::directory_iterator{"/dev/shm", ec}) {
		__u64 magic = 0;

		if (!entry.is_regular_file(ec))
			continue;
		std::ifstream{entry.path(), std::ios::binary}.read(reinterpret_cast<char *>(&magic), sizeof(magic));
		if (magic == KVMCHAN_MAGIC)
			names.push_back(entry.path().filename().string());
	}
	std::sort(names.begin(), names.end());
	return names;
}

void print_here(const std::vector<kvmchan_device_info> &found, const std::vector<kvmchan_node_info> &ends,
                const std::vector<std::string> &objects)
{
	for (const kvmchan_device_info &one : found)
		fmt::print("device {}  ivshmem-{}, {}, {}\n", one.address, one.doorbell ? "doorbell" : "plain",
		           one.memory_size ? format_size(one.memory_size) : "without memory (its BAR2 found no room)",
		           one.driver[0] ? std::string{"driver "} + one.driver : "no driver");
	if (!ends.empty())
		fmt::print("{:<24} {:<16} {:<8} {:<8} {:<5} {:<14} {}\n", "NAME", "NODE", "KIND", "MODE", "SIDE", "SIZE", "STATE");
	for (const kvmchan_node_info &one : ends)
		fmt::print("{:<24} {:<16} {:<8} {:<8} {:<5} {:<14} {}\n", one.name, std::string{"/dev/"} + one.node,
		           one.kind == 1 ? "channel" : "memory", one.kind != 1 ? "-" : one.mode ? "packet" : "stream", one.side,
		           one.rx_size ? format_size(one.rx_size) : "", one.kind == 1 ? state_name(one.state) : "");
	for (const std::string &name : objects)
		fmt::print("region in shared memory object {}  (\"kvmchan ls {}\" shows what it has)\n", name, name);
	if (found.empty() && ends.empty() && objects.empty())
		fmt::print("No ivshmem device, and no region in /dev/shm. For a server's region: kvmchan ls SOCKET\n");
}

void list_here(bool as_json)
{
	const auto found = devices();
	const auto ends = nodes();
	const auto objects = formatted_objects();
	json out;

	if (!as_json)
		return print_here(found, ends, objects);
	out["devices"] = json::array();
	out["nodes"] = json::array();
	out["regions"] = objects;
	for (const kvmchan_device_info &one : found)
		out["devices"].push_back(to_json(one));
	for (const kvmchan_node_info &one : ends)
		out["nodes"].push_back(to_json(one));
	print(out);
}

void describe_region(const list_options &options)
{
	const region where = options.where.place().open();
	const kvmchan_region_info info = where.info();
	json out = to_json(info);

	if (options.as_json) {
		out["table"] = slots_json(where);
		return print(out);
	}
	fmt::print("size         {}\nincarnation  {}\ngeneration   {}\nslots        {}\n", format_size(info.size),
	           incarnation_text(info.incarnation), info.generation, info.slot_count);
	fmt::print("memory       {}\n", info.sealed ? "sealed" : "not sealed: whoever may open it can truncate it");
	fmt::print("manager      {}\n", info.managed ? "a server is running" : "none");
	if (info.vectors)
		fmt::print("our peer ID  {}, {} vectors\n", info.peer, info.vectors);
	print_slots(where.slots());
}

} // namespace

void add_list_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("ls", "List devices and channels, or what a region has");
	auto options = std::make_shared<list_options>();

	options->where.add_to(command);
	command.add_flag("--json", options->as_json, "As JSON");
	on_run(command, [options] { options->where.given() ? list_region(*options) : list_here(options->as_json); });
}

void add_info_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("info", "Describe a region");
	auto options = std::make_shared<list_options>();

	options->where.add_to(command);
	command.add_flag("--json", options->as_json, "As JSON");
	on_run(command, [options] { describe_region(*options); });
}

} // namespace kvmchan::tools
