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
 * side_lock.hpp). Each function declares the sides concerned dead and returns
 * where the survivors want to be rung. All is bounded by the table's size.
 *
 * Refers to the manager and the descriptor; both outlive it. One thread.
 */
class manager_reaper {
public:
	manager_reaper(manager &table, int region_fd) noexcept : table_{table}, region_fd_{region_fd} {}

	/**
	 * ivshmem peer @p id has left. Dead is each side that is fixed to it, and
	 * each that anyone may take and whose open session says it is at @p id.
	 */
	std::vector<bell_address> peer_left(std::uint16_t id);

	/**
	 * Looks for open sessions of host processes whose lock is gone. A HOST
	 * side always has one; an ANY side may be a guest's, which has none, so
	 * there a lock is missed only if it was seen in this session before.
	 */
	std::vector<bell_address> scan_locks();

	/** Whether the last scan_locks() saw a session whose lock is to be watched. */
	bool watching() const noexcept { return watching_; }

private:
	bool owner_is_dead(std::uint32_t slot, unsigned side, std::uint64_t link);

	/* The session in which a side's lock was seen last, by slot ID. */
	struct sighting {
		std::uint64_t slot_id = 0;
		std::uint64_t epoch = 0;
	};

	manager &table_;
	int region_fd_;
	std::vector<std::array<sighting, 2>> seen_;
	bool watching_ = false;
};

} // namespace kvmchan

#endif
