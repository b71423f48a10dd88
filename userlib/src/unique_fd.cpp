// SPDX-License-Identifier: MIT
#include "unique_fd.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace kvmchan {

void unique_fd::reset(int fd) noexcept
{
	const int old = std::exchange(fd_, fd);

	if (old >= 0 && old != fd) {
		const int saved = errno;
		::close(old);
		errno = saved;
	}
}

unique_fd unique_fd::duplicate(std::error_code &ec) const noexcept
{
	unique_fd copy{::fcntl(fd_, F_DUPFD_CLOEXEC, 0)};

	if (copy)
		ec.clear();
	else
		ec.assign(errno, std::system_category());
	return copy;
}

unique_fd unique_fd::duplicate() const
{
	std::error_code ec;
	unique_fd copy = duplicate(ec);

	if (ec)
		throw std::system_error{ec, "dup"};
	return copy;
}

} // namespace kvmchan
