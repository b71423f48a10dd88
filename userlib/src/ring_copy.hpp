// SPDX-License-Identifier: MIT
// Payload into and out of a window of a ring.
#ifndef KVMCHAN_RING_COPY_HPP
#define KVMCHAN_RING_COPY_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "shared_format.hpp"

namespace kvmchan::detail {

/**
 * A call publishes after so many bytes at most, so that the other end works on
 * the first part while this one copies the next.
 */
inline constexpr std::size_t copy_chunk = 64 * 1024;

/** Bytes before the payload of a record in a packet channel. */
inline constexpr std::uint64_t head_size = sizeof(kvmchan_record);

inline void copy_out(std::span<const std::byte> ring, const kvmchan_window &from, std::byte *to) noexcept
{
	std::memcpy(to, ring.data() + from.offset, from.first);
	if (from.second)
		std::memcpy(to + from.first, ring.data(), from.second);
}

inline void copy_in(std::span<std::byte> ring, const kvmchan_window &to, const std::byte *from) noexcept
{
	std::memcpy(ring.data() + to.offset, from, to.first);
	if (to.second)
		std::memcpy(ring.data(), from + to.first, to.second);
}

} // namespace kvmchan::detail

#endif
