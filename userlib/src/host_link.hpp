// SPDX-License-Identifier: MIT
// The session of a host's end, shared by its reader and its writer.
#ifndef KVMCHAN_HOST_LINK_HPP
#define KVMCHAN_HOST_LINK_HPP

#include <cstdint>
#include <mutex>

#include "host_slot.hpp"
#include "poll_pace.hpp"
#include "ring_link.hpp"
#include "unique_fd.hpp"
#include "wait_set.hpp"

namespace kvmchan::detail {

/**
 * Owns the side: its lock, its session page and its doorbell. Reader and writer
 * bring their ends of the rings up to date through it.
 */
class host_link final : public ring_link {
public:
	/** Attaches and opens a session. Throws std::system_error. */
	host_link(host_slot slot, kvmchan_rx &rx, kvmchan_tx &tx, std::uint64_t flags);
	/** Closes the session, then gives the side up. */
	~host_link() override;
	host_link(const host_link &) = delete;
	host_link &operator=(const host_link &) = delete;

	const host_slot &slot() const noexcept { return slot_; }

	unsigned sync_rx(kvmchan_rx &rx, std::uint64_t want) noexcept override;
	unsigned sync_tx(kvmchan_tx &tx, std::uint64_t want) noexcept override;
	int broken() noexcept override;
	bool ring_peer(direction which) noexcept override;
	bool arms() const noexcept override { return true; }
	session_words watched() const noexcept override;

	/** Makes all waiters of this end look again. */
	void wake() noexcept;

	/** Sets or clears NO_WRITER / NO_READER. */
	void add_flags(std::uint64_t flags) noexcept;
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
};

} // namespace kvmchan::detail

#endif
