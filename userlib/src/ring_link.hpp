// SPDX-License-Identifier: MIT
// What the two directions of an end share: the session.
#ifndef KVMCHAN_RING_LINK_HPP
#define KVMCHAN_RING_LINK_HPP

#include <array>
#include <atomic>
#include <cstdint>

#include "direction.hpp"
#include "ring_counters.hpp"
#include "shared_format.hpp"

namespace kvmchan::detail {

using session_words = std::array<const __le64 __kvmchan_shared *, 3>;

/**
 * The session as reader and writer use it. What they do for each message is not
 * virtual; the rest is for when a ring looks empty or full, and for wake-ups.
 * Any thread, but one at a time in sync_rx() and one in sync_tx().
 */
class ring_link {
public:
	virtual ~ring_link() = default;

	/**
	 * Brings the end of a ring up to date with the session. KVMCHAN_END and
	 * KVMCHAN_HOLD as they apply. @p want: the amount that a wake-up is asked
	 * for; 0: none is.
	 */
	virtual unsigned sync_rx(kvmchan_rx &rx, std::uint64_t want) noexcept = 0;
	virtual unsigned sync_tx(kvmchan_tx &tx, std::uint64_t want) noexcept = 0;
	/** The peer broke the protocol. Returns the negated error. */
	virtual int broken() noexcept = 0;
	/** Rings the peer after a commit in that direction; whether it can be rung. */
	virtual bool ring_peer(direction which) noexcept = 0;
	/** Whether this process arms its rings itself; else sync_rx() and sync_tx() do. */
	virtual bool arms() const noexcept = 0;
	/** Words that change when the session may have. */
	virtual session_words watched() const noexcept = 0;

	/** 0, or the errno value (positive) that ended both directions for good. */
	int error() const noexcept { return error_.load(std::memory_order_acquire); }
	/** For a guard of the memory, which says ENODEV. */
	std::atomic<int> &error_word() noexcept { return error_; }
	/** The KVMCHAN_LINK_NO_* that this end has set. */
	std::uint64_t flags() const noexcept { return flags_.load(std::memory_order_relaxed); }
	/** No error, and the direction that @p stop ends was not ended here. */
	bool clear(std::uint64_t stop) const noexcept { return !error() && !(flags() & stop); }
	link_counters &counters() noexcept { return counters_; }

protected:
	std::atomic<std::uint64_t> flags_{0};
	std::atomic<int> error_{0};
	link_counters counters_;
};

} // namespace kvmchan::detail

#endif
