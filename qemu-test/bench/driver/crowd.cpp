// SPDX-License-Identifier: MIT
#include "crowd.hpp"

#include <span>
#include <string>

namespace bench {

namespace {

/* What the kernel could give to somebody, but for caches, which go first. */
std::int64_t available(machine &at)
{
	return std::stoll(at.vm().check("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 0.2; "
	                                "sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) *
	       1024;
}

} // namespace

crowd_costs measure_crowd(machine &at, lab &with, host_ends &ends, std::size_t channels)
{
	const auto count = static_cast<std::int64_t>(channels);
	const std::string prefix = "crowd";
	const auto job_of = [&](const char *op, std::size_t n) {
		return job{.op = op, .path = "kvmchan", .where = prefix, .count = n};
	};
	crowd_costs out;
	// Once before, so that what stays of it is not counted.
	available(at);
	const auto before = available(at);
	at.add_channels(prefix, channels, "4K");
	const auto there = available(at);
	out.open_us = with.moment(job_of("open-nodes", channels), at.agent()) / static_cast<double>(channels);
	out.node_bytes = (before - there) / count;
	out.open_bytes = (there - available(at)) / count;
	at.agent().run(job_of("close-nodes", 0));
	out.ready_us = ready_channel(at, with, ends, prefix, channels);
	at.agent().run(job_of("hold", 0));
	ends.group(prefix).resize(0);
	at.remove_channels(prefix, channels);
	return out;
}

double ready_channel(machine &at, lab &with, host_ends &ends, const std::string &prefix, std::size_t channels)
{
	auto &mine = ends.group(prefix);
	mine.resize(channels);
	for (auto &channel : mine.channels())
		channel.write_all(std::as_bytes(std::span{"x", 1}));
	const job what{.op = "ready-drain", .path = "kvmchan", .where = prefix, .count = channels};
	return with.moment(what, at.agent()) / static_cast<double>(channels);
}

} // namespace bench
