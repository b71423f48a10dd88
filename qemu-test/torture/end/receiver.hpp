// SPDX-License-Identifier: MIT
#pragma once

#include "sender.hpp"

#include <array>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

namespace torture {

/** Bytes that are not what they should be. */
struct wrong_bytes : std::runtime_error {
	using std::runtime_error::runtime_error;
};

/** Reads in pieces of random sizes, and checks each byte. */
class receiver {
public:
	/** @p paired is called with the peer's tag when its header has come. */
	receiver(kvmchan::channel &from, channel_progress &progress, std::uint64_t seed, bool windows,
	         std::function<void(std::uint64_t)> paired);

	/** One read; ended without error(): end of file. Throws wrong_bytes. */
	step read();
	const std::error_code &error() const { return error_; }

private:
	std::size_t take();
	std::size_t take_window();
	void check(std::span<const std::byte> bytes);
	std::span<const std::byte> take_header(std::span<const std::byte> bytes);

	kvmchan::channel &channel_;
	channel_progress &progress_;
	std::minstd_rand random_;
	std::size_t longest_record_;
	bool windows_;
	std::function<void(std::uint64_t)> paired_;
	std::error_code error_;
	std::vector<std::byte> buffer_;
	std::array<std::byte, header_size> header_{};
	std::optional<session_bytes> bytes_;
	std::uint64_t position_ = 0;
	std::uint64_t records_ = 0;
};

} // namespace torture
