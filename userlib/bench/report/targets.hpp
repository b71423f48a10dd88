// SPDX-License-Identifier: MIT
// What the project wants to reach, and whether it does.
#ifndef KVMCHAN_BENCH_REPORT_TARGETS_HPP
#define KVMCHAN_BENCH_REPORT_TARGETS_HPP

#include <optional>
#include <string>
#include <vector>

#include "samples.hpp"

namespace kvmchan::bench {

/** One way to get at a target's value: @p of divided by @p by, times @p scale. */
struct measure {
	selection of;
	/** Without one the value is @p of itself. */
	std::optional<selection> by{};
	double scale = 1;
	/** Taken off @p of. */
	std::optional<selection> minus{};
};

enum class limit { at_most, at_least };

struct target {
	std::string id;
	std::string what;
	limit which;
	double bound;
	/** The first one that has samples counts. */
	std::vector<measure> ways;
	/** What stands for what, where that is not plain. */
	std::string note{};
	/** What a limit reaches that was measured beside it: a bound past that cannot be met on the machine. */
	std::optional<measure> reach{};
};

const std::vector<target> &all_targets();

/** What the samples say about a target. */
struct verdict {
	const target *about;
	std::optional<figure> value;
	/** Nothing when samples are missing: @p how says which. */
	std::optional<bool> met;
	std::string how;
	/** Of about->reach, and how that was found. */
	std::optional<figure> reach{};
	std::string reach_how{};
};

std::vector<verdict> judge(const sample_set &samples);

/** "<= 1.1": a target's bound. */
std::string bound_text(const target &about);
/** Three digits that count. */
std::string number_text(double value);
/** "yes", "no" or "not measured". */
std::string met_text(const verdict &one);

json to_json(const verdict &one);

} // namespace kvmchan::bench

#endif
