// SPDX-License-Identifier: MIT
#include "doorbell.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

namespace kvmchan {
namespace {

bool ready(int fd, short events) noexcept
{
	pollfd entry{fd, events, 0};

	return ::poll(&entry, 1, 0) == 1 && (entry.revents & events) != 0;
}

} // namespace

unique_fd make_doorbell(std::error_code &ec) noexcept
{
	unique_fd fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

	if (fd)
		ec.clear();
	else
		ec.assign(errno, std::system_category());
	return fd;
}

bool is_doorbell(int fd) noexcept
{
	constexpr char wanted[] = "anon_inode:[eventfd]";
	char path[32], target[sizeof(wanted) + 1];

	std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	const ssize_t length = ::readlink(path, target, sizeof(target));

	return length == static_cast<ssize_t>(sizeof(wanted) - 1) &&
	       std::memcmp(target, wanted, sizeof(wanted) - 1) == 0;
}

bool ring_doorbell(int fd) noexcept
{
	const std::uint64_t one = 1;

	/* eventfd has no per-call "do not wait" for writes: ask first. */
	if (!ready(fd, POLLOUT))
		return true;
	return ::write(fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

bool drain_doorbell(int fd) noexcept
{
	std::uint64_t count = 0;
	iovec vector{&count, sizeof(count)};
	const ssize_t length = ::preadv2(fd, &vector, 1, -1, RWF_NOWAIT);

	if (length >= 0 || errno != EOPNOTSUPP)
		return length == sizeof(count);
	return ready(fd, POLLIN) && ::read(fd, &count, sizeof(count)) == sizeof(count);
}

} // namespace kvmchan
