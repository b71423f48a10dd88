// SPDX-License-Identifier: MIT
// What an end counts.
#ifndef KVMCHAN_RING_COUNTERS_HPP
#define KVMCHAN_RING_COUNTERS_HPP

#include <atomic>
#include <cstdint>

namespace kvmchan::detail {

using counter = std::atomic<std::uint64_t>;

/** Of one direction: counted by the thread that moves it, see tally(). */
struct direction_counters {
	counter bytes{0};
	counter records{0};
	counter doorbells_sent{0};
	counter doorbells_suppressed{0};
	counter ring_full{0};
};

/** Of the end as a whole: counted by any thread, see count(). */
struct link_counters {
	counter doorbells_sent{0};
	counter interrupts{0};
	counter empty_interrupts{0};
	counter protocol_errors{0};
};

/** Adds to what nobody else adds to. */
inline void tally(counter &to, std::uint64_t n = 1) noexcept
{
	to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

inline void count(counter &to, std::uint64_t n = 1) noexcept
{
	to.fetch_add(n, std::memory_order_relaxed);
}

inline std::uint64_t value(const counter &of) noexcept
{
	return of.load(std::memory_order_relaxed);
}

} // namespace kvmchan::detail

#endif
