// SPDX-License-Identifier: MIT
#pragma once

#include "fd_end.hpp"

#include <cstdint>
#include <utility>

namespace bench {

/** The bare doorbell of bench_doorbell.ko: it carries no bytes, only turns. */
class doorbell_end final : public fd_end {
public:
	doorbell_end(kvmchan::unique_fd fd, std::uint16_t peer) : fd_end{std::move(fd)}, target_{std::uint32_t{peer} << 16} {}

	void write(std::span<const std::byte> /*from*/, std::size_t /*message*/) override
	{
		checked(::write(fd(), &target_, sizeof target_), "ring");
	}
	std::size_t read(std::span<std::byte> to) override
	{
		std::uint64_t rings = 0;
		checked(::read(fd(), &rings, sizeof rings), "wait for a ring");
		return to.size();
	}

private:
	std::uint32_t target_; // vector 0
};

} // namespace bench
