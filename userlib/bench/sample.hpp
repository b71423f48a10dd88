// SPDX-License-Identifier: MIT
// What a benchmark measured, one JSON object a line.
#ifndef KVMCHAN_BENCH_SAMPLE_HPP
#define KVMCHAN_BENCH_SAMPLE_HPP

#include <cstdint>
#include <fstream>
#include <optional>
#include <regex>
#include <string>

namespace kvmchan::bench {

/** One figure of one round; README.md says what the fields mean. */
struct sample {
	std::string bench;
	std::string path;
	std::string unit;
	double value = 0;
	std::string dir = "h2h";
	std::uint64_t size = 0;
	unsigned channels = 1;
	std::string spin = "-";
	bool pinned = false;
	unsigned round = 0;
	/** Which of several figures of one benchmark. */
	std::string what{};
	std::optional<double> p99{}, p999{};
	std::optional<std::uint64_t> count{};
};

/** Writes samples as they come, so that what was measured is there if the rest fails. */
class sample_file {
public:
	/** @p only selects by "bench/path"; throws std::system_error or std::regex_error. */
	sample_file(const std::string &output, const std::string &only, bool quick);

	bool wants(const std::string &bench, const std::string &path) const;
	void write(const sample &measured);
	void skip(const std::string &path, const std::string &why);

private:
	std::ofstream file_;
	std::ostream &out_;
	std::regex only_;
	unsigned cpus_;
};

} // namespace kvmchan::bench

#endif
