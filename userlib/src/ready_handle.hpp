// SPDX-License-Identifier: MIT
// The descriptor by which an event loop watches a channel.
#ifndef KVMCHAN_READY_HANDLE_HPP
#define KVMCHAN_READY_HANDLE_HPP

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "direction.hpp"
#include "wait_set.hpp"

namespace kvmchan::detail {

/**
 * A wait_set for two directions. A direction that finds nothing to do takes the
 * edges, so that the descriptor becomes unreadable; an edge that it takes may
 * be the one that the other direction waits for. So edges are numbered, and
 * while the other direction waits and has not looked since the newest edge, the
 * descriptor is made readable again: a few times only, because a caller may
 * have lost interest in that direction (and dropped what he could not write).
 *
 * Any thread.
 */
class ready_handle {
public:
	/** Throws std::system_error. @p with_timer: poll_in() will be used. */
	explicit ready_handle(bool with_timer);
	~ready_handle() { there_.fetch_sub(1, std::memory_order_relaxed); }
	ready_handle(const ready_handle &) = delete;
	ready_handle &operator=(const ready_handle &) = delete;

	/** Is there no other in this process, so that the event loop has no other channel to go to? */
	static bool is_the_only_one() noexcept { return there_.load(std::memory_order_relaxed) == 1; }

	wait_set &set() noexcept { return set_; }
	int fd() const noexcept { return set_.fd(); }

	/**
	 * The direction found nothing to do: takes the edges. It has to look once
	 * more after this before it says so.
	 */
	void settle(direction which) noexcept;
	/** The direction moved something: it waits no more. */
	void progress(direction which) noexcept;
	/** Makes the descriptor readable. */
	void raise() noexcept;
	void poll_in(std::chrono::nanoseconds delay) noexcept;

private:
	static constexpr unsigned raises_max = 4;
	static inline std::atomic<unsigned> there_{0};

	std::mutex mutex_;
	wait_set set_;
	unique_fd again_;
	std::uint64_t edges_ = 1;
	std::array<std::uint64_t, 2> seen_{};
	std::array<bool, 2> waiting_{};
	unsigned raises_ = 0;
	bool timed_ = false;
};

} // namespace kvmchan::detail

#endif
