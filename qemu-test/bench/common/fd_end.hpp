// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"
#include "unique_fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/uio.h>
#include <unistd.h>

namespace bench {

inline std::size_t checked(ssize_t n, const char *what)
{
	if (n < 0)
		throw std::system_error{errno, std::generic_category(), what};
	return static_cast<std::size_t>(n);
}

/** read() and write(): a device node, a socket, a port. */
class fd_end : public end {
public:
	explicit fd_end(kvmchan::unique_fd fd) : fd_{std::move(fd)} {}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		while (!from.empty())
			from = from.subspan(checked(::write(fd_.get(), from.data(), from.size()), "write"));
	}

	std::size_t read(std::span<std::byte> to) override
	{
		const auto n = checked(::read(fd_.get(), to.data(), to.size()), "read");
		if (n == 0)
			ended();
		return n;
	}

protected:
	int fd() const { return fd_.get(); }

private:
	kvmchan::unique_fd fd_;
};

/** writev() of many messages at a time. */
class writev_end final : public fd_end {
public:
	using fd_end::fd_end;

	std::size_t batch() const override { return pieces; }

	void write(std::span<const std::byte> from, std::size_t message) override
	{
		std::array<iovec, pieces> parts;
		while (!from.empty()) {
			std::size_t count = 0;
			std::size_t taken = 0;
			for (; count < pieces && taken < from.size(); ++count) {
				const auto n = std::min(message, from.size() - taken);
				parts[count] = {const_cast<std::byte *>(from.data()) + taken, n};
				taken += n;
			}
			from = from.subspan(checked(::writev(fd(), parts.data(), static_cast<int>(count)), "writev"));
		}
	}

private:
	static constexpr std::size_t pieces = 16;
};

} // namespace bench
