// SPDX-License-Identifier: MIT
#pragma once

#include "../../guest/uring.hpp"
#include "end.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

namespace bench {

/** Reads and writes through io_uring, one at a time. */
class uring_end final : public end {
public:
	explicit uring_end(kvmchan::unique_fd fd) : fd_{std::move(fd)} {}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		while (!from.empty())
			from = from.subspan(transfer(IORING_OP_WRITE, const_cast<std::byte *>(from.data()), from.size()));
	}
	std::size_t read(std::span<std::byte> to) override
	{
		const auto n = transfer(IORING_OP_READ, to.data(), to.size());
		if (n == 0)
			ended();
		return n;
	}

private:
	std::size_t transfer(std::uint8_t opcode, void *at, std::size_t bytes)
	{
		ring_.transfer(opcode, fd_, at, bytes, 0);
		const auto done = ring_.next();
		if (done.res < 0)
			throw std::system_error{-done.res, std::generic_category(), "io_uring"};
		return static_cast<std::size_t>(done.res);
	}

	kvmchan::unique_fd fd_;
	node::uring ring_;
};

} // namespace bench
