// SPDX-License-Identifier: MIT
// How often to look where no doorbell tells.
#ifndef KVMCHAN_POLL_PACE_HPP
#define KVMCHAN_POLL_PACE_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace kvmchan::detail {

/** What a waiter knows about its wake-ups. */
enum class wake_source {
	doorbell,  /* connected, and the peer rings */
	polling,   /* connected, and it does not */
	rendezvous, /* no peer yet; we can be rung, but the first ring may be lost */
	searching, /* no peer yet, and nobody can ring us */
};

/**
 * Intervals that double while nothing moves. Looking every 50 us costs a few
 * per cent of a core and only lasts as long as data flows; at rest it is 5 ms.
 * Any thread: a race costs a wrong interval, once.
 */
class poll_pace {
public:
	using nanoseconds = std::chrono::nanoseconds;

	/** Something moved. */
	void reset() noexcept
	{
		if (step_.load(std::memory_order_relaxed) != 0)
			step_.store(0, std::memory_order_relaxed);
	}

	/** The next interval; 0: do not poll. */
	nanoseconds next(wake_source source) noexcept
	{
		if (source == wake_source::doorbell)
			return nanoseconds{0};
		const unsigned step = step_.load(std::memory_order_relaxed);

		step_.store(std::min(step + 1, step_max), std::memory_order_relaxed);
		switch (source) {
		case wake_source::polling:
			return std::min<nanoseconds>(fast * (1U << step), std::chrono::milliseconds{5});
		case wake_source::searching:
			return std::min<nanoseconds>(fast * (1U << step), std::chrono::milliseconds{20});
		default:
			return std::min<nanoseconds>(slow * (1U << step), std::chrono::seconds{1});
		}
	}

private:
	static constexpr nanoseconds fast = std::chrono::microseconds{50};
	static constexpr nanoseconds slow = std::chrono::milliseconds{100};
	static constexpr unsigned step_max = 10;

	std::atomic<unsigned> step_{0};
};

} // namespace kvmchan::detail

#endif
