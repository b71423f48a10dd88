// SPDX-License-Identifier: MIT
// Which CPU a thread runs on.
#ifndef KVMCHAN_BENCH_PINNING_HPP
#define KVMCHAN_BENCH_PINNING_HPP

#include <vector>

namespace kvmchan::bench {

/** The CPUs that this process may run on. */
const std::vector<int> &usable_cpus();

/** The two ends of a path: on a CPU each, or wherever the scheduler likes. */
enum class place { anywhere, first, second };

/** Moves the calling thread; throws std::system_error. */
void run_at(place where);

} // namespace kvmchan::bench

#endif
