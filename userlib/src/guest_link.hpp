// SPDX-License-Identifier: MIT
// The driver's session, for rings that a process in a guest has mapped.
#ifndef KVMCHAN_GUEST_LINK_HPP
#define KVMCHAN_GUEST_LINK_HPP

#include <chrono>
#include <cstdint>
#include <span>

#include "mapping_guard.hpp"
#include "memory.hpp"
#include "ring_link.hpp"

namespace kvmchan::detail {

/**
 * Session, sleeping and ringing are the driver's, and so are the event words in
 * our index page: a wake-up is asked for by telling it how much is wanted.
 */
class guest_link final : public ring_link {
public:
	/** @p node stays the caller's. @p guard: what is mapped and taken away is ENODEV and not SIGBUS. */
	guest_link(int node, bool guard) noexcept : node_{node}, guard_{guard} {}

	/**
	 * Takes a direction's ring out of the driver's hands, for as long as the
	 * node is open, and maps it, @p size bytes twice. 0 or an error; again after
	 * an error.
	 */
	int take(direction which, std::size_t size) noexcept;
	/** What take() mapped: twice the ring. */
	std::span<std::byte> view(direction which) const noexcept;
	/** A session began: where it does. 0 or an error. */
	int begin(kvmchan_rx &rx) noexcept;
	int begin(kvmchan_tx &tx) noexcept;

	unsigned sync_rx(kvmchan_rx &rx, std::uint64_t want) noexcept override;
	unsigned sync_tx(kvmchan_tx &tx, std::uint64_t want) noexcept override;
	int broken() noexcept override;
	bool ring_peer(direction which) noexcept override;
	bool arms() const noexcept override { return false; }
	session_words watched() const noexcept override { return {&kicked_in_vain_, &kicked_in_vain_, &kicked_in_vain_}; }

	/** Tells the driver what a wake-up is asked for; 0: nothing. */
	int ask(std::uint64_t rx_want, std::uint64_t tx_want) noexcept;
	/** Until there is so much, or the end, or something else to look at. */
	int sleep(direction which, std::uint64_t want) noexcept;

	/** A new session: no other call is under way. */
	void reopened() noexcept;
	void add_flags(std::uint64_t flags) noexcept { flags_.fetch_or(flags, std::memory_order_relaxed); }

private:
	/** A mapping, and what becomes of it when the device goes. */
	struct guarded_mapping {
		mapping at;
		mapping_guard guard;
	};

	int map(guarded_mapping &into, std::uint64_t offset, std::size_t size, bool writable) noexcept;
	int map_indices() noexcept;
	int rings(kvmchan_rings &request) noexcept;

	int node_;
	bool guard_;
	guarded_mapping own_index_;
	guarded_mapping peer_index_;
	guarded_mapping rx_view_;
	guarded_mapping tx_view_;
	/* Nobody's shared memory: it moves when the driver says that nobody reads. */
	__le64 kicked_in_vain_ = 0;
};

} // namespace kvmchan::detail

#endif
