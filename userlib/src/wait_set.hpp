// SPDX-License-Identifier: MIT
// Waiting for doorbells that are shared with other waiters.
#ifndef KVMCHAN_WAIT_SET_HPP
#define KVMCHAN_WAIT_SET_HPP

#include <chrono>
#include <cstdint>
#include <span>

#include "unique_fd.hpp"

namespace kvmchan::detail {

/** Taken from a wait_set: nothing, doorbells, or (also) its own second bell. */
struct wake_ups {
	bool real = false;  /* something may have happened */
	bool again = false; /* we were asked to look again */
};

/**
 * A set of eventfds of which each write is an edge for this set alone.
 *
 * A vector's eventfd serves several channels, and each channel several waiters,
 * so nobody may read its counter: that would take the wake-up from the others.
 * Instead each waiter has an epoll instance with the eventfd edge-triggered in
 * it: each write is an edge in each instance, and taking it here takes it from
 * nobody else.
 *
 * The one thing that stops edges is a counter that is full, which no honest
 * peer gets to (2^64 - 2 rings) and a hostile one does with one write. Then the
 * eventfd is not writable; whoever takes an edge and sees that, drains it and
 * writes to it once, so that the others get an edge for what he may have taken.
 *
 * One thread at a time.
 */
class wait_set {
public:
	/** Throws std::system_error. */
	wait_set();

	/** Adds an eventfd, which outlives the set. Throws. */
	void add_doorbell(int fd);
	/** Adds a descriptor that reports readiness itself (a device node). */
	void add_device(int fd);
	/** Adds the eventfd whose edges are reported as again. */
	void add_again(int fd);
	/** Adds a timer, for poll_in(). */
	void add_timer();

	/** Takes all edges that are there. Does not wait. */
	wake_ups take() noexcept;
	/** Is readable in @p delay; never, when that is 0. Needs the timer. */
	void poll_in(std::chrono::nanoseconds delay) noexcept;
	/**
	 * Waits for an edge, which it leaves to take().
	 * Returns false when @p delay went by first; negative: no limit.
	 */
	bool sleep(std::chrono::nanoseconds delay) noexcept;

	/** Readable while an edge is there. */
	int fd() const noexcept { return epoll_.get(); }

private:
	void add(int fd, std::uint32_t events, std::uint64_t tag);

	unique_fd epoll_;
	unique_fd timer_;
};

} // namespace kvmchan::detail

#endif
