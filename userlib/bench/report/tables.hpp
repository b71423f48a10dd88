// SPDX-License-Identifier: MIT
// Samples and verdicts as people read them.
#ifndef KVMCHAN_BENCH_REPORT_TABLES_HPP
#define KVMCHAN_BENCH_REPORT_TABLES_HPP

#include <iosfwd>
#include <string>
#include <vector>

#include "samples.hpp"
#include "targets.hpp"

namespace kvmchan::bench {

/** One line for each path, with each way to look or sleep, pinned or not. */
struct row {
	selection which;
	std::string name;
};

/** Those of what was measured with one channel. */
std::vector<row> rows(const sample_set &samples, const std::string &bench, const std::string &dir);

/** Targets, throughput and round trips, in Markdown. */
void write_markdown(std::ostream &to, const sample_set &samples, const std::vector<verdict> &verdicts);

/** Targets, for a terminal. */
void write_verdicts(std::ostream &to, const std::vector<verdict> &verdicts);

/** "host to guest" for h2g. */
std::string direction_text(const std::string &dir);

/** "4 KiB" for 4096. */
std::string size_text(std::uint64_t size);

/** The values of a field among samples of one benchmark, sorted; numbers by size. */
std::vector<json> values_of(const sample_set &samples, const selection &which, const char *field);

} // namespace kvmchan::bench

#endif
