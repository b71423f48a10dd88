// SPDX-License-Identifier: MIT
#pragma once

#include "progress.hpp"
#include "tags.hpp"

#include <kvmchan/channel.hpp>

#include <random>
#include <system_error>
#include <vector>

namespace torture {

/** What one call came to. */
enum class step { moved, would_block, ended };

/** Writes the bytes of a session, in pieces of random sizes. */
class sender {
public:
	sender(kvmchan::channel &to, std::uint64_t tag, channel_progress &progress, std::uint64_t seed,
	       bool windows);

	/** One write; ended: error() says why. */
	step write();
	/** Nothing more will be written. */
	void shut();
	bool is_shut() const { return shut_; }
	const std::error_code &error() const { return error_; }

private:
	void next_piece();
	std::size_t put(std::span<const std::byte> piece);
	std::size_t put_window(std::span<const std::byte> piece);

	kvmchan::channel &channel_;
	session_bytes bytes_;
	channel_progress &progress_;
	std::minstd_rand random_;
	std::size_t longest_record_;
	bool windows_;
	bool shut_ = false;
	std::error_code error_;
	std::vector<std::byte> piece_;
	std::size_t done_ = 0; // of the piece
	std::uint64_t position_ = 0;
	std::uint64_t records_ = 0;
};

bool would_block(const std::error_code &ec);

} // namespace torture
