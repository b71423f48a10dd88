// SPDX-License-Identifier: MIT
// How long to measure, and the benchmarks that there are.
#ifndef KVMCHAN_BENCH_PLAN_HPP
#define KVMCHAN_BENCH_PLAN_HPP

#include <chrono>
#include <cstddef>
#include <vector>

#include "sample.hpp"

namespace kvmchan::bench {

/** Candidates take turns within a round, so that what disturbs one disturbs all. */
struct plan {
	unsigned rounds;
	std::chrono::milliseconds slice;
	std::vector<std::size_t> round_trip_sizes;

	static plan quick() { return {3, std::chrono::milliseconds{80}, {64}}; }
	static plan full() { return {5, std::chrono::milliseconds{200}, {64, 4096, 65536}}; }
};

void run_throughput(sample_file &out, const plan &how);
void run_round_trips(sample_file &out, const plan &how);
void run_many_channels(sample_file &out, const plan &how);
void run_calls(sample_file &out, const plan &how);
void run_opening(sample_file &out, const plan &how);
void run_idle(sample_file &out, const plan &how);
void run_server(sample_file &out, const plan &how);

} // namespace kvmchan::bench

#endif
