// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"
#include "fd_end.hpp"
#include "ivshmem_client.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fcntl.h>

namespace bench {

/** The host's end of the bare doorbell: it carries no bytes, only turns. */
class bell_end final : public end {
public:
	explicit bell_end(const std::filesystem::path &socket)
	    : client_{kvmchan::ivshmem_client::connect(socket, std::chrono::seconds{10})}
	{
		for (const auto id : client_.peers()) {
			if (id != client_.id())
				peer_ = id;
		}
		// Ours: a blocking read() is the shortest way to sleep.
		::fcntl(client_.vector_fd(0), F_SETFL, 0);
	}

	std::uint16_t id() const { return client_.id(); }

	void write(std::span<const std::byte> /*from*/, std::size_t /*message*/) override
	{
		if (!client_.ring(peer_, 0))
			throw std::runtime_error{"the guest cannot be rung"};
	}
	std::size_t read(std::span<std::byte> to) override
	{
		std::uint64_t rings = 0;
		checked(::read(client_.vector_fd(0), &rings, sizeof rings), "wait for a ring");
		return to.size();
	}

private:
	kvmchan::ivshmem_client client_;
	std::uint16_t peer_ = 0;
};

} // namespace bench
