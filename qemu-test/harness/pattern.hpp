// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace harness {

/**
 * A seeded stream of bytes with random access: byte i depends on the seed and
 * i only, so that each end can make or check any part by itself. A byte that is
 * lost, doubled or out of place shows at once.
 */
class pattern {
public:
	explicit pattern(std::uint64_t seed) : seed_{seed} {}

	void fill(std::uint64_t offset, std::span<std::byte> out) const
	{
		for (std::size_t done = 0; done < out.size();) {
			const std::uint64_t word = word_at((offset + done) / 8);
			const std::size_t skip = (offset + done) % 8;
			const std::size_t n = std::min(8 - skip, out.size() - done);
			std::memcpy(out.data() + done, reinterpret_cast<const char *>(&word) + skip, n);
			done += n;
		}
	}

	/** Where @p bytes first differ from the stream at @p offset. */
	std::optional<std::uint64_t> mismatch(std::uint64_t offset, std::span<const std::byte> bytes) const
	{
		for (std::size_t done = 0; done < bytes.size();) {
			const std::uint64_t word = word_at((offset + done) / 8);
			const std::size_t skip = (offset + done) % 8;
			const std::size_t n = std::min(8 - skip, bytes.size() - done);
			if (std::memcmp(bytes.data() + done, reinterpret_cast<const char *>(&word) + skip, n) != 0)
				return offset + done;
			done += n;
		}
		return std::nullopt;
	}

private:
	/* splitmix64 (Steele, Lea, Flood 2014) of the word's number. */
	std::uint64_t word_at(std::uint64_t n) const
	{
		std::uint64_t z = seed_ + (n + 1) * 0x9e3779b97f4a7c15U;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
		return z ^ (z >> 31);
	}

	std::uint64_t seed_;
};

} // namespace harness
