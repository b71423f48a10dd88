// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"

#include <kvmchan/channel.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace bench {

/**
 * Without copies by the kernel or the library: what is written is made in the
 * ring, what is read is used there. To make and to use is a memcpy() here, as
 * at the other transports' limits.
 */
class mapped_end final : public end {
public:
	explicit mapped_end(kvmchan::channel channel)
	    : channel_{std::move(channel)}, packet_{channel_.mode() == kvmchan::channel_mode::packet}
	{
	}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		while (!from.empty()) {
			const auto n = packet_ ? from.size() : std::min(from.size(), piece);
			std::memcpy(channel_.reserve(n).data(), from.data(), n);
			channel_.commit(n);
			from = from.subspan(n);
		}
	}

	std::size_t read(std::span<std::byte> to) override
	{
		const auto there = channel_.peek();
		if (there.empty())
			ended();
		const auto n = std::min(there.size(), to.size());
		std::memcpy(to.data(), there.data(), n);
		channel_.consume(packet_ ? there.size() : n);
		return n;
	}

private:
	/* Of a long message: it need not fit the ring. */
	static constexpr std::size_t piece = 64 * 1024;

	kvmchan::channel channel_;
	bool packet_;
};

} // namespace bench
