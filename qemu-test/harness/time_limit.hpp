// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace harness {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

/*
 * Limits only bound how long a broken run may hang; no test may depend on
 * their value. Each one is about ten times what an idle machine needs under
 * TCG, and KVMCHAN_TIME_SCALE (a decimal factor) stretches all of them for
 * slow machines and for kernels with sanitizers.
 */
namespace nominal {
inline constexpr milliseconds boot{120'000};
inline constexpr milliseconds command{60'000};
inline constexpr milliseconds program{300'000};
inline constexpr milliseconds qmp{30'000};
inline constexpr milliseconds event{60'000};
inline constexpr milliseconds exit{60'000};
} // namespace nominal

/** A nominal limit stretched by KVMCHAN_TIME_SCALE. */
milliseconds stretched(milliseconds limit);

/** The moment at which a wait that starts now and may last @p limit gives up. */
clock::time_point deadline_after(milliseconds limit);

} // namespace harness
