// SPDX-License-Identifier: MIT
#pragma once

#include "fd_end.hpp"

#include <utility>

#include <sys/mman.h>
#include <sys/sendfile.h>

namespace bench {

/** sendfile() from a file in memory, which is what prepare() was given. */
class sendfile_end final : public fd_end {
public:
	explicit sendfile_end(kvmchan::unique_fd fd)
	    : fd_end{std::move(fd)}, file_{::memfd_create("bench-sendfile", MFD_CLOEXEC)}
	{
		if (!file_)
			throw std::system_error{errno, std::generic_category(), "memfd_create"};
	}

	void prepare(std::span<const std::byte> message) override
	{
		if (checked(::pwrite(file_.get(), message.data(), message.size(), 0), "pwrite") != message.size())
			throw std::runtime_error{"pwrite: short"};
	}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		for (off_t at = 0; at < static_cast<off_t>(from.size());)
			checked(::sendfile(fd(), file_.get(), &at, from.size() - static_cast<std::size_t>(at)), "sendfile");
	}

private:
	kvmchan::unique_fd file_;
};

} // namespace bench
