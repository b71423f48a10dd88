// SPDX-License-Identifier: MIT
// Finds the sides whose owner is dead.
#ifndef KVMCHAN_MANAGER_REAPER_HPP
#define KVMCHAN_MANAGER_REAPER_HPP

#include <array>
#include <cstdint>
#include <vector>

#include "manager.hpp"

namespace kvmchan {

/**
 * Death without a close, as a manager learns of it: the ivshmem connection of a
 * peer ends, or the lock of a process on the host is dropped by the kernel (see
 * side_lock.hpp). Each function declares the sessions concerned dead and returns
 * where the survivors want to be rung; also those of sides that had closed, for
 * they may have died before they rang themselves. All is bounded by the table's
 * size.
 *
 * Refers to the manager and the descriptor; both outlive it. One thread.
 */
class manager_reaper {
public:
	manager_reaper(manager &table, int region_fd) noexcept : table_{table}, region_fd_{region_fd} {}

	/**
	 * ivshmem peer @p id has left. Dead is each side that is fixed to it, and
	 * each that anyone may take and whose open session says it is at @p id. The
	 * others are rung for these and for those that are closed and say so.
	 */
	std::vector<bell_address> peer_left(std::uint16_t id);

	/**
	 * Looks for open sessions of host processes whose lock is gone. A HOST
	 * side always has one; an ANY side may be a guest's, which has none, so
	 * there a lock is missed only if it was seen in this session before.
	 *
	 * Where a side is closed its peer is rung once after the lock was seen, or
	 * the link word has changed, since the last scan. Only for such sides, and
	 * for open sessions, the kernel is asked about a lock.
	 */
	std::vector<bell_address> scan_locks();

	/** Whether the last scan_locks() saw a session whose lock is to be watched. */
	bool watching() const noexcept { return watching_; }

	/** How many sessions this object has declared dead so far. */
	std::size_t deaths() const noexcept { return deaths_; }

private:
	/* What was seen of a side at the last scan, by slot ID. */
	struct sighting {
		std::uint64_t slot_id = 0;
		std::uint64_t link = 0;		/* 0: that of a side that nobody ever took */
		std::uint64_t epoch = 0;	/* of the session in which its lock was seen */
		bool held = false;
	};

	bool reap(std::uint32_t slot, unsigned side, std::uint64_t link);
	bool scan_side(std::uint32_t slot, unsigned side);
	bool scan_open(std::uint32_t slot, unsigned side, std::uint64_t link, sighting &seen);
	bool scan_closed(std::uint32_t slot, unsigned side, std::uint64_t link, sighting &seen);
	bool is_held(std::uint32_t slot, unsigned side, sighting &seen);

	manager &table_;
	int region_fd_;
	std::vector<std::array<sighting, 2>> seen_;
	std::size_t deaths_ = 0;
	bool watching_ = false;
};

} // namespace kvmchan

#endif
