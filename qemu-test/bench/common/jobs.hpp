// SPDX-License-Identifier: MIT
#pragma once

#include "control.hpp"
#include "end.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/** What one end does in one measurement. */
struct job {
	std::string op{};   ///< source, sink, echo, ping, fill, drain, check-source, check-sink
	std::string path;   ///< the transport
	std::string where;  ///< which one of it: a slot, a port, an address
	std::size_t size = 64;
	std::size_t count = 0;  ///< ping: rounds; check: bytes, whole batches; many: channels
	std::size_t offset = 0; ///< of the buffer in its page

	std::string line() const;
	static job parse(const std::string &line);
};

/** Nanoseconds of each of the rounds of a ping, sorted. */
struct rounds {
	std::vector<std::uint64_t> ns;

	double at(double part) const; ///< microseconds: 0.5 gives the median
	std::string line() const;     ///< count, median, p99, p99.9
};

/** Does a job that needs an end; the text is for who asked. Throws. */
std::string perform(const job &what, end &with, control &words);

/** The median and so on of rounds::line(). */
struct quantiles {
	std::size_t count = 0;
	double p50 = 0;
	double p99 = 0;
	double p999 = 0;

	static quantiles parse(const std::string &line);
};

} // namespace bench
