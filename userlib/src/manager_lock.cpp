// SPDX-License-Identifier: MIT
#include "manager_lock.hpp"

#include <cerrno>

#include <fcntl.h>

#include "memory.hpp"
#include "side_lock.hpp"

namespace kvmchan {

manager_lock manager_lock::acquire(int region_fd, std::error_code &ec) noexcept
{
	manager_lock made;
	unique_fd own = reopen(region_fd, ec);
	struct flock lock {};

	if (ec)
		return made;
	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	lock.l_start = KVMCHAN_LOCK_BASE - 1;
	lock.l_len = 1;
	if (::fcntl(own.get(), F_OFD_SETLK, &lock) < 0) {
		const bool taken = errno == EAGAIN || errno == EACCES;

		ec.assign(taken ? EBUSY : errno, std::system_category());
		return made;
	}
	made.fd_ = std::move(own);
	return made;
}

} // namespace kvmchan
