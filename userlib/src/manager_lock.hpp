// SPDX-License-Identifier: MIT
// Keeps a region to one manager.
#ifndef KVMCHAN_MANAGER_LOCK_HPP
#define KVMCHAN_MANAGER_LOCK_HPP

#include <system_error>

#include "unique_fd.hpp"

namespace kvmchan {

/**
 * The right to be a region's manager: an OFD lock on the byte before those of
 * the sides (KVMCHAN_LOCK_BASE - 1) of the region's file. Two servers that were
 * given the same memory under different sockets would otherwise both write its
 * table. Held until destroyed or the process dies. Move-only.
 */
class manager_lock {
public:
	manager_lock() noexcept = default;

	/**
	 * Without waiting. @p region_fd is not kept.
	 * Errors: device_or_resource_busy when the region has a manager.
	 */
	static manager_lock acquire(int region_fd, std::error_code &ec) noexcept;

	/** One that another process, or program, had; its description holds it. */
	static manager_lock adopt(unique_fd fd) noexcept
	{
		manager_lock made;

		made.fd_ = std::move(fd);
		return made;
	}

	int fd() const noexcept { return fd_.get(); }
	explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

private:
	unique_fd fd_;
};

} // namespace kvmchan

#endif
