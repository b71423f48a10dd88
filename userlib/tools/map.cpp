// SPDX-License-Identifier: MIT
// "kvmchan map": where things are in a region.
#include <algorithm>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"
#include "memory_size.hpp"
#include "shared_format.hpp"

namespace kvmchan::tools {
namespace {

struct map_options {
	region_argument where;
	bool as_json = false;
};

struct range {
	std::uint64_t start;
	std::uint64_t size;
	std::string what;
};

std::vector<range> ranges_of(const region &where)
{
	std::vector<range> all{{0, KVMCHAN_PAGE_SIZE, "superblock"}};

	for (const kvmchan_slot_info &slot : where.slots()) {
		const std::string name = slot.name;

		if (slot.problem[0])
			continue;
		all.push_back({slot.control, sizeof(kvmchan_control), name + ": control pages"});
		if (slot.kind == 2) {
			all.push_back({slot.offset[0], slot.size[0], name + ": memory"});
			continue;
		}
		all.push_back({slot.offset[0], slot.size[0], name + ": ring of side 0"});
		all.push_back({slot.offset[1], slot.size[1], name + ": ring of side 1"});
	}
	std::sort(all.begin(), all.end(), [](const range &a, const range &b) { return a.start < b.start; });
	return all;
}

void show_map(const map_options &options)
{
	const region where = options.where.place().open();
	json list = json::array();

	for (const range &one : ranges_of(where)) {
		list.push_back({{"start", one.start}, {"size", one.size}, {"what", one.what}});
		if (!options.as_json)
			fmt::print("{:#014x}  {:>10}  {}\n", one.start, format_size(one.size), one.what);
	}
	if (options.as_json)
		print(list);
}

} // namespace

void add_map_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("map", "Show where things are in a region");
	auto options = std::make_shared<map_options>();

	options->where.add_to(command);
	command.add_flag("--json", options->as_json, "As JSON");
	on_run(command, [options] { show_map(*options); });
}

} // namespace kvmchan::tools
