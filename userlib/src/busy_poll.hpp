// SPDX-License-Identifier: MIT
// Looking for a while before going to sleep.
#ifndef KVMCHAN_BUSY_POLL_HPP
#define KVMCHAN_BUSY_POLL_HPP

#include <algorithm>
#include <chrono>

#include "spin.h"

namespace kvmchan::detail {

/** Spins where that has paid of late: see spin.h. One thread at a time. */
class busy_poll {
public:
	using nanoseconds = std::chrono::nanoseconds;

	/** @p limit of one spin; 0: never. */
	explicit busy_poll(nanoseconds limit) noexcept : limit_{limit} {}

	/**
	 * Calls @p look, which is cheap, until it says true: then so does this. For
	 * @p most at most; that it did not in less than the limit tells nothing.
	 */
	template <typename Look>
	bool operator()(Look look, nanoseconds most = nanoseconds::max()) noexcept
	{
		const nanoseconds time = std::min(limit_, most);

		if (time.count() <= 0 || !kvmchan_spin_due(&state_))
			return false;
		const bool hit = spin(look, time);

		if (hit || time == limit_)
			kvmchan_spin_ended(&state_, hit);
		return hit;
	}

private:
	using clock = std::chrono::steady_clock;

	/*
	 * A pause is for the other thread of the core; where the processor is
	 * emulated it costs a thousand looks. Reading the clock can be a system call.
	 */
	static constexpr unsigned looks_per_pause = 32;
	static constexpr unsigned pauses_per_reading = 8;

	template <typename Look>
	static bool spin(Look look, nanoseconds time) noexcept
	{
		const auto end = clock::now() + time;

		do {
			for (unsigned i = 0; i < looks_per_pause * pauses_per_reading; ++i) {
				if (look())
					return true;
				if (i % looks_per_pause == looks_per_pause - 1)
					relax();
			}
		} while (clock::now() < end);
		return false;
	}

	static void relax() noexcept
	{
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		asm volatile("yield");
#endif
	}

	nanoseconds limit_;
	kvmchan_spin state_{};
};

} // namespace kvmchan::detail

#endif
