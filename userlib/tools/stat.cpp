// SPDX-License-Identifier: MIT
// "kvmchan stat": what has moved.
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"

namespace kvmchan::tools {
namespace {

using clock = std::chrono::steady_clock;

struct stat_options {
	region_argument where;
	double watch = 0;
	unsigned count = 0;
	bool as_json = false;
};

/* What one channel has moved in each direction since ever. */
struct totals {
	std::uint64_t there = 0;
	std::uint64_t back = 0;
};

std::string rate(std::uint64_t now, std::uint64_t before, double seconds)
{
	return fmt::format("{:.1f} MB/s", static_cast<double>(now - before) / seconds / 1e6);
}

std::string rates(std::optional<totals> before, const totals &now, double seconds)
{
	if (!before)
		return "";
	return "  " + rate(now.there, before->there, seconds) + "  " + rate(now.back, before->back, seconds);
}

class statistics {
public:
	explicit statistics(const stat_options &options) : options_{options}
	{
		if (options.where.given())
			region_ = options.where.place().open();
	}

	void show()
	{
		const auto now = clock::now();

		seconds_ = std::chrono::duration<double>(now - shown_).count();
		shown_ = now;
		region_ ? show_region() : show_nodes();
	}

private:
	void show_region()
	{
		json list = json::array();

		if (!options_.as_json)
			fmt::print("{:<24} {:<13} {:>16} {:>16}\n", "CHANNEL", "STATE", "SIDE 0 WROTE", "SIDE 1 WROTE");
		for (const kvmchan_slot_info &slot : region_->slots()) {
			if (slot.kind != 1 || slot.problem[0])
				continue;
			list.push_back(to_json(slot));
			if (!options_.as_json)
				fmt::print("{:<24} {:<13} {:>16} {:>16}{}\n", slot.name, slot_state(slot), slot.written[0],
				           slot.written[1], rates_of(slot.name, {slot.written[0], slot.written[1]}));
		}
		if (options_.as_json)
			print(list);
	}

	void show_nodes()
	{
		json list = json::array();

		if (!options_.as_json)
			fmt::print("{:<24} {:<13} {:>16} {:>16} {:>11} {:>11} {:>11} {:>9}\n", "CHANNEL", "STATE", "RX BYTES",
			           "TX BYTES", "RUNG", "SUPPRESSED", "INTERRUPTS", "FULL");
		for (const kvmchan_node_info &one : nodes()) {
			const kvmchan_counters &c = one.counters;

			if (one.kind != 1)
				continue;
			list.push_back(to_json(one));
			if (!options_.as_json)
				fmt::print("{:<24} {:<13} {:>16} {:>16} {:>11} {:>11} {:>11} {:>9}{}\n", one.name,
				           state_name(one.state), c.rx_bytes, c.tx_bytes, c.doorbells_sent, c.doorbells_suppressed,
				           c.interrupts, c.ring_full, rates_of(one.name, {c.rx_bytes, c.tx_bytes}));
		}
		if (options_.as_json)
			print(list);
	}

	std::string rates_of(const std::string &name, const totals &now)
	{
		const auto known = before_.find(name);
		std::string text = rates(known == before_.end() ? std::nullopt : std::optional{known->second}, now, seconds_);

		before_[name] = now;
		return text;
	}

	const stat_options &options_;
	std::optional<region> region_;
	std::map<std::string, totals> before_;
	clock::time_point shown_ = clock::now();
	double seconds_ = 0;
};

void stat(const stat_options &options)
{
	statistics shown{options};

	shown.show();
	for (unsigned i = 1; options.watch > 0 && (options.count == 0 || i < options.count); ++i) {
		std::fflush(stdout);
		std::this_thread::sleep_for(std::chrono::duration<double>(options.watch));
		shown.show();
	}
}

} // namespace

void add_stat_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("stat", "Show what channels have moved, in a guest or of a region");
	auto options = std::make_shared<stat_options>();

	options->where.add_to(command);
	command.add_option("-w,--watch", options->watch, "Again and again, every so many seconds, with rates")
		->check(CLI::Range(0.01, 86400.0));
	command.add_option("-n,--count", options->count, "So many times; 0: for ever");
	command.add_flag("--json", options->as_json, "As JSON");
	on_run(command, [options] { stat(*options); });
}

} // namespace kvmchan::tools
