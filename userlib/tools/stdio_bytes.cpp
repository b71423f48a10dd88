// SPDX-License-Identifier: MIT
#include "stdio_bytes.hpp"

#include <cerrno>
#include <system_error>

#include <poll.h>
#include <unistd.h>

namespace kvmchan::tools {
namespace {

/* Standard descriptors are shared, and so is their O_NONBLOCK. */
void wait_until(int fd, short events)
{
	pollfd entry{fd, events, 0};

	::poll(&entry, 1, -1);
}

} // namespace

std::size_t read_input(std::span<std::byte> to)
{
	for (;;) {
		const ssize_t n = ::read(STDIN_FILENO, to.data(), to.size());

		if (n >= 0)
			return static_cast<std::size_t>(n);
		if (errno == EAGAIN)
			wait_until(STDIN_FILENO, POLLIN);
		else if (errno != EINTR)
			throw std::system_error{errno, std::system_category(), "standard input"};
	}
}

void write_output(std::span<const std::byte> bytes)
{
	while (!bytes.empty()) {
		const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());

		if (n >= 0)
			bytes = bytes.subspan(static_cast<std::size_t>(n));
		else if (errno == EAGAIN)
			wait_until(STDOUT_FILENO, POLLOUT);
		else if (errno != EINTR)
			throw std::system_error{errno, std::system_category(), "standard output"};
	}
}

} // namespace kvmchan::tools
