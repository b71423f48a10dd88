// SPDX-License-Identifier: MIT
// The session of a host's end, shared by its reader and its writer.
#ifndef KVMCHAN_HOST_LINK_HPP
#define KVMCHAN_HOST_LINK_HPP

#include <atomic>
#include <cstdint>
#include <mutex>

#include "host_slot.hpp"
#include "poll_pace.hpp"
#include "unique_fd.hpp"
#include "wait_set.hpp"

namespace kvmchan::detail {

/** Counters that several threads add to. */
struct host_counters {
	std::atomic<std::uint64_t> rx_bytes{0};
	std::atomic<std::uint64_t> tx_bytes{0};
	std::atomic<std::uint64_t> rx_records{0};
	std::atomic<std::uint64_t> tx_records{0};
	std::atomic<std::uint64_t> doorbells_sent{0};
	std::atomic<std::uint64_t> doorbells_suppressed{0};
	std::atomic<std::uint64_t> interrupts{0};
	std::atomic<std::uint64_t> empty_interrupts{0};
	std::atomic<std::uint64_t> ring_full{0};
	std::atomic<std::uint64_t> protocol_errors{0};
};

inline void count(std::atomic<std::uint64_t> &counter, std::uint64_t n = 1) noexcept
{
	counter.fetch_add(n, std::memory_order_relaxed);
}

/**
 * Owns the side: its lock, its session page and its doorbell. Reader and writer
 * bring their ends of the rings up to date through it.
 */
class host_link {
public:
	/** Attaches and opens a session. Throws std::system_error. */
	host_link(host_slot slot, kvmchan_rx &rx, kvmchan_tx &tx, std::uint64_t flags);
	/** Closes the session, then gives the side up. */
	~host_link();
	host_link(const host_link &) = delete;
	host_link &operator=(const host_link &) = delete;

	const host_slot &slot() const noexcept { return slot_; }
	host_counters &counters() noexcept { return counters_; }

	/** KVMCHAN_END and KVMCHAN_HOLD as they apply; the rest is taken care of. */
	unsigned sync_rx(kvmchan_rx &rx) noexcept;
	unsigned sync_tx(kvmchan_tx &tx) noexcept;

	/** 0, or the errno value (positive) that ended both directions for good. */
	int error() const noexcept { return error_.load(std::memory_order_acquire); }
	/** The peer broke the protocol. Returns the negated error. */
	int broken() noexcept;

	/** Tells the peer; what @p due says (crossed or not) only goes by counters. */
	void kick(bool due) noexcept;
	/** Makes all waiters of this end look again. */
	void wake() noexcept;

	/** Sets or clears NO_WRITER / NO_READER. */
	void add_flags(std::uint64_t flags) noexcept;
	std::uint64_t flags() const noexcept { return flags_.load(std::memory_order_relaxed); }
	/** A new session on the same side; no other call is under way. */
	int reopen(kvmchan_rx &rx, kvmchan_tx &tx) noexcept;

	kvmchan_state state() noexcept;
	wake_source source() noexcept;

	/** Adds to a set all that wakes this end. Throws. */
	void watch(wait_set &set);

private:
	unsigned settle(unsigned todo) noexcept;
	bool check_slot() noexcept;
	void end(int error) noexcept;

	host_slot slot_;
	std::mutex mutex_; /* session_, and slot_'s generation */
	kvmchan_session session_{};
	std::uint64_t bell_;
	unique_fd wake_;
	const std::uint64_t kept_flags_;
	std::atomic<std::uint64_t> flags_{0};
	std::atomic<int> error_{0};
	host_counters counters_;
};

} // namespace kvmchan::detail

#endif
