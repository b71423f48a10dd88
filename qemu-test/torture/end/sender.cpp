// SPDX-License-Identifier: MIT
#include "sender.hpp"

#include <algorithm>

namespace torture {

namespace {

constexpr std::size_t largest_piece = 40'000;

/* Small and large ones equally often. */
std::size_t random_size(std::minstd_rand &random)
{
	const std::size_t most = std::size_t{1} << std::uniform_int_distribution<unsigned>{0, 16}(random);
	return std::uniform_int_distribution<std::size_t>{1, std::min(most, largest_piece)}(random);
}

} // namespace

bool would_block(const std::error_code &ec)
{
	return ec == std::errc::operation_would_block || ec == std::errc::resource_unavailable_try_again;
}

sender::sender(kvmchan::channel &to, std::uint64_t tag, channel_progress &progress, std::uint64_t seed,
               bool windows)
	: channel_{to}, bytes_{tag}, progress_{progress}, random_{static_cast<std::minstd_rand::result_type>(seed)},
	  longest_record_{to.max_record()}, windows_{windows && random_() % 2 == 0}
{
}

void sender::next_piece()
{
	const std::size_t size = longest_record_ ? bytes_.record_length(records_, longest_record_)
	                         : position_ == 0 ? header_size
	                                          : random_size(random_);
	piece_.resize(size);
	bytes_.fill(position_, piece_);
	done_ = 0;
}

std::size_t sender::put(std::span<const std::byte> piece)
{
	if (!longest_record_)
		return channel_.write_some(piece, error_);
	channel_.send(piece, error_);
	return error_ ? 0 : piece.size();
}

std::size_t sender::put_window(std::span<const std::byte> piece)
{
	const auto window = channel_.reserve(longest_record_ ? piece.size() : 1, error_);
	if (error_)
		return 0;
	const auto size = std::min(window.size(), piece.size());
	std::copy_n(piece.begin(), size, window.begin());
	channel_.commit(size, error_);
	return error_ ? 0 : size;
}

step sender::write()
{
	if (done_ == piece_.size())
		next_piece();
	const auto rest = std::span<const std::byte>{piece_}.subspan(done_);
	progress_.intended = position_ + rest.size();
	const auto n = windows_ ? put_window(rest) : put(rest);
	if (would_block(error_)) {
		error_.clear();
		return step::would_block;
	}
	if (error_)
		return step::ended;
	position_ += n;
	done_ += n;
	records_ += done_ == piece_.size() ? 1U : 0U;
	progress_.accepted = position_;
	return step::moved;
}

void sender::shut()
{
	channel_.shutdown_write();
	progress_.intended = position_;
	shut_ = true;
}

} // namespace torture
