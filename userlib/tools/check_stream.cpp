// SPDX-License-Identifier: MIT
#include "check_stream.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace kvmchan::tools {
namespace {

/* The words of SplitMix64: each is a function of its number alone. */
std::uint64_t word(std::uint64_t seed, std::uint64_t number) noexcept
{
	std::uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

} // namespace

check_stream::check_stream(std::uint64_t seed) noexcept : seed_{seed}
{
	::sha256_init(&hash_);
}

void check_stream::generate(std::span<std::byte> to) noexcept
{
	while (!to.empty()) {
		const std::uint64_t value = word(seed_, position_ / 8);
		const std::size_t skip = position_ % 8;
		const std::size_t n = std::min(8 - skip, to.size());

		std::memcpy(to.data(), reinterpret_cast<const std::byte *>(&value) + skip, n);
		position_ += n;
		to = to.subspan(n);
	}
}

void check_stream::fill(std::span<std::byte> to) noexcept
{
	generate(to);
	::sha256_update(&hash_, to.size(), reinterpret_cast<const std::uint8_t *>(to.data()));
}

std::optional<std::size_t> check_stream::compare(std::span<const std::byte> bytes) noexcept
{
	std::array<std::byte, 4096> expected;
	std::size_t done = 0;

	::sha256_update(&hash_, bytes.size(), reinterpret_cast<const std::uint8_t *>(bytes.data()));
	while (done < bytes.size()) {
		const auto part = std::span{expected}.first(std::min(expected.size(), bytes.size() - done));

		generate(part);
		const auto wrong = std::mismatch(part.begin(), part.end(), bytes.begin() + static_cast<std::ptrdiff_t>(done));

		if (wrong.first != part.end())
			return done + static_cast<std::size_t>(wrong.first - part.begin());
		done += part.size();
	}
	return std::nullopt;
}

std::string check_stream::digest() const
{
	std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest;
	sha256_ctx copy = hash_;
	std::string text;

	::sha256_digest(&copy, digest.size(), digest.data());
	for (const std::uint8_t byte : digest)
		text += fmt::format("{:02x}", byte);
	return text;
}

} // namespace kvmchan::tools
