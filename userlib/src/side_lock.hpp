// SPDX-License-Identifier: MIT
// The lock that says that a process on the host is a side of a slot.
#ifndef KVMCHAN_SIDE_LOCK_HPP
#define KVMCHAN_SIDE_LOCK_HPP

#include <cstdint>
#include <system_error>

#include "unique_fd.hpp"

/*
 * A process on the host that takes side S of slot N holds a write lock on one
 * byte of the region's file for as long as it has that side open. The kernel
 * drops the lock when the process dies, whatever it dies of: that is how the
 * manager, and any second process that wants the side, learns that nobody is
 * there any more.
 *
 * It is an OFD lock (F_OFD_SETLK), which belongs to an open file DESCRIPTION:
 * the holder opens one of its own (reopen(), through /proc/self/fd), because a
 * description that came over a socket is shared with the server and with every
 * other client, and the locks of one description never conflict.
 *
 * The bytes lie far past the end of any region (file locks may), so that they
 * meet no lock that anybody takes on the file's content:
 *
 *	KVMCHAN_LOCK_BASE + slot * 2 + side
 *
 * Order: lock, then open the session; close the session, then unlock. So a
 * session that is OPEN while its byte is not locked belongs to a dead process.
 */
#define KVMCHAN_LOCK_BASE (INT64_C(1) << 62)

namespace kvmchan {

/** Holds one side's lock until it is destroyed. Move-only. */
class side_lock {
public:
	side_lock() noexcept = default;

	/**
	 * Takes side @p side of slot @p slot of the region behind @p region_fd,
	 * without waiting. Opens a description of its own; @p region_fd is not kept.
	 *
	 * Errors: device_or_resource_busy when another description holds it; what
	 * opening /proc/self/fd gives.
	 */
	static side_lock acquire(int region_fd, std::uint32_t slot, unsigned side, std::error_code &ec) noexcept;

	/** The side is free again. */
	void release() noexcept { fd_.reset(); }
	explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

	/**
	 * Whether a description other than the one of @p region_fd holds that
	 * side. Changes nothing. On an error @p ec is set and the answer is true:
	 * nobody is declared dead on a failed question.
	 */
	static bool is_held(int region_fd, std::uint32_t slot, unsigned side, std::error_code &ec) noexcept;

private:
	explicit side_lock(unique_fd fd) noexcept : fd_{std::move(fd)} {}

	unique_fd fd_;
};

} // namespace kvmchan

#endif
