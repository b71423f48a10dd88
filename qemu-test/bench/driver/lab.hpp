// SPDX-License-Identifier: MIT
#pragma once

#include "host_ends.hpp"
#include "jobs.hpp"
#include "machine.hpp"

#include <chrono>
#include <functional>
#include <future>
#include <string>

namespace bench {

enum class way { h2g, g2h };

const char *name_of(way direction);

/** Does single measurements. One that does not end is the end of the program, which says its name. */
class lab {
public:
	explicit lab(machine &at) : machine_{at}, host_{at} {}

	/** Megabytes (10^6) per second that the receiver got, at the host's clock. */
	double throughput(const job &what, way direction, std::chrono::milliseconds time);
	/** The same of @p channels of the machine's many, each end in one thread. */
	double many(const job &what, way direction, std::chrono::milliseconds time);
	/** The guest's end alone: written (g2h) or read (h2g). */
	double alone(const job &what, way direction, std::chrono::milliseconds time);
	/** There and back, begun by the host. */
	quantiles round_trip(job what);
	/** That what is written is what is read; throws if not. */
	void verify(job what, way direction);

	/** From now to the first byte, both sides open a channel; microseconds. */
	double opening(const std::string &slot);
	/** That the guest finds out about, and reads, one byte in each of many channels; microseconds for one. */
	double ready(std::size_t channels);

	host_ends &host() { return host_; }
	bench::machine &at() { return machine_; }
	/** Bytes of the last throughput(). */
	std::uint64_t bytes() const { return bytes_; }

private:
	using worker = std::function<std::string()>;

	std::future<std::string> start(const worker &work);
	std::string finish(const job &what, std::future<std::string> &work);
	double rate(const job &what, std::chrono::milliseconds time);
	void wait_for(const job &what, const std::function<bool()> &condition);
	[[noreturn]] void hangs(const job &what);

	machine &machine_;
	host_ends host_;
	std::uint64_t bytes_ = 0;
};

} // namespace bench
