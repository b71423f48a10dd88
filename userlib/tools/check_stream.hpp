// SPDX-License-Identifier: MIT
// The bytes that "kvmchan check" sends, and their digest.
#ifndef KVMCHAN_TOOLS_CHECK_STREAM_HPP
#define KVMCHAN_TOOLS_CHECK_STREAM_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <nettle/sha2.h>

namespace kvmchan::tools {

/** Pseudo-random bytes that both ends know from a seed. */
class check_stream {
public:
	explicit check_stream(std::uint64_t seed) noexcept;

	/** The next bytes. */
	void fill(std::span<std::byte> to) noexcept;

	/** Takes bytes that should be the next ones: where the first wrong one is. */
	std::optional<std::size_t> compare(std::span<const std::byte> bytes) noexcept;

	/** How many there were so far. */
	std::uint64_t position() const noexcept { return position_; }
	/** SHA-256 of all so far, in hexadecimal. */
	std::string digest() const;

private:
	void generate(std::span<std::byte> to) noexcept;

	std::uint64_t seed_;
	std::uint64_t position_ = 0;
	sha256_ctx hash_;
};

} // namespace kvmchan::tools

#endif
