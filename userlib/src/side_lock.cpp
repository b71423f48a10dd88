// SPDX-License-Identifier: MIT
#include "side_lock.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>

#include "memory.hpp"

namespace kvmchan {
namespace {

struct flock lock_of(std::uint32_t slot, unsigned side) noexcept
{
	struct flock lock {};

	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	lock.l_start = KVMCHAN_LOCK_BASE + static_cast<std::int64_t>(slot) * 2 + static_cast<std::int64_t>(side);
	lock.l_len = 1;
	return lock;
}

} // namespace

side_lock side_lock::acquire(int region_fd, std::uint32_t slot, unsigned side, std::error_code &ec) noexcept
{
	unique_fd own = reopen(region_fd, ec);
	struct flock lock = lock_of(slot, side);

	if (ec)
		return {};
	if (::fcntl(own.get(), F_OFD_SETLK, &lock) < 0) {
		const bool taken = errno == EAGAIN || errno == EACCES;

		ec.assign(taken ? EBUSY : errno, std::system_category());
		return {};
	}
	return side_lock{std::move(own)};
}

bool side_lock::is_held(int region_fd, std::uint32_t slot, unsigned side, std::error_code &ec) noexcept
{
	struct flock lock = lock_of(slot, side);

	ec.clear();
	if (::fcntl(region_fd, F_OFD_GETLK, &lock) < 0) {
		ec.assign(errno, std::system_category());
		return true;
	}
	return lock.l_type != F_UNLCK;
}

} // namespace kvmchan
