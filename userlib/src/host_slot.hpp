// SPDX-License-Identifier: MIT
// A slot of the table, resolved to addresses and to the side that we are.
#ifndef KVMCHAN_HOST_SLOT_HPP
#define KVMCHAN_HOST_SLOT_HPP

#include <cstdint>
#include <memory>
#include <string_view>

#include "region.hpp"
#include "shared_format.hpp"
#include "side_lock.hpp"
#include "wait_set.hpp"

namespace kvmchan::detail {

/** One side of one slot, held. Everything in it is private and constant. */
class host_slot {
public:
	/**
	 * Finds slot @p name of kind @p kind. @p side: the side to take, or -1 for
	 * the one that falls to us; when its lock is taken, the other one if that
	 * may be ours, too. Takes the side's lock.
	 *
	 * Throws std::system_error: ENOENT no such slot, EBADMSG it is damaged,
	 * EACCES no side of it is ours, EBUSY the side is taken, EINVAL.
	 */
	static host_slot claim(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind, int side);

	/** The same without a lock: for those who only look on. */
	static host_slot look(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind);

	const kvmchan_slot &slot() const noexcept { return slot_; }
	std::uint32_t index() const noexcept { return index_; }
	unsigned side() const noexcept { return side_; }
	region &where() const noexcept { return *where_; }
	bool locked() const noexcept { return static_cast<bool>(lock_); }

	kvmchan_session_page *own_session() const noexcept { return &control()->side[side_].session; }
	kvmchan_index_page *own_index() const noexcept { return &control()->side[side_].index; }
	const kvmchan_session_page *peer_session() const noexcept { return &control()->side[1 - side_].session; }
	const kvmchan_index_page *peer_index() const noexcept { return &control()->side[1 - side_].index; }
	/** The manager's word about a side. */
	const __le64 *reaped(unsigned side) const noexcept;
	/** The table's: when it moves, the slot may be gone. */
	const __le64 *generation() const noexcept;
	/** The ring (or block) that side @p side writes. */
	std::span<std::byte> data(unsigned side) const noexcept;

	/** Our MSI-X vector: those after 0 are dealt out to the slots. */
	std::uint16_t vector() const noexcept;
	/** Our bell word; 0 without a server. */
	std::uint64_t bell() const noexcept;

	/** Adds to a set the doorbells that wake this side. Throws. */
	void watch(wait_set &set) const;
	/** Rings whoever the peer's bell word names. Returns whether it names anybody. */
	bool ring_peer() const noexcept;

	/** Whether the table still has this slot. Cheap when it did not change. */
	bool still_there() noexcept;

private:
	static host_slot resolve(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind);
	bool try_lock(unsigned side, std::error_code &ec);
	bool may_be_guests(unsigned side) const noexcept;
	bool left_behind(unsigned side) const noexcept;
	void take_side(int side);
	std::string title() const;
	kvmchan_control *control() const noexcept;

	std::shared_ptr<region> where_;
	std::shared_ptr<const region_snapshot> snapshot_;
	kvmchan_slot slot_{};
	std::uint32_t index_ = 0;
	unsigned side_ = 0;
	side_lock lock_;
	std::uint64_t seen_generation_ = 0;
};

} // namespace kvmchan::detail

#endif
