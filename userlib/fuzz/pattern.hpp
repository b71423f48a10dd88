// SPDX-License-Identifier: MIT
// The bytes that an honest writer puts at each index of a ring.
#ifndef KVMCHAN_FUZZ_PATTERN_HPP
#define KVMCHAN_FUZZ_PATTERN_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace kvmchan::fuzz {

/* No ring's size has anything to do with it: a byte of the wrong lap is wrong. */
inline constexpr std::uint64_t pattern_period = 8191;

/** @p size bytes from @p index on; at most two periods. */
inline std::span<const std::byte> pattern(std::uint64_t index, std::size_t size)
{
	static const std::vector<std::byte> bytes = [] {
		std::vector<std::byte> made(3 * pattern_period);

		for (std::uint64_t i = 0; i < made.size(); ++i)
			made[i] = static_cast<std::byte>(((i % pattern_period + 1) * 0x9e3779b97f4a7c15U) >> 56);
		return made;
	}();

	/* Indices begin on either side of 0, where 2^64 is no whole number of periods. */
	return std::span{bytes}.subspan((index + (std::uint64_t{1} << 32)) % pattern_period, size);
}

inline void fill(std::span<std::byte> to, std::uint64_t index)
{
	if (!to.empty())
		std::memcpy(to.data(), pattern(index, to.size()).data(), to.size());
}

inline bool matches(std::span<const std::byte> bytes, std::uint64_t index)
{
	return bytes.empty() || std::memcmp(bytes.data(), pattern(index, bytes.size()).data(), bytes.size()) == 0;
}

} // namespace kvmchan::fuzz

#endif
