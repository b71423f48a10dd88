// SPDX-License-Identifier: MIT
#include "receiver.hpp"

#include <algorithm>

namespace torture {

namespace {

constexpr std::size_t largest_read = 40'000;

std::string at(std::uint64_t position)
{
	return "-at-" + std::to_string(position);
}

} // namespace

receiver::receiver(kvmchan::channel &from, channel_progress &progress, std::uint64_t seed, bool windows,
                   std::function<void(std::uint64_t)> paired)
	: channel_{from}, progress_{progress}, random_{static_cast<std::minstd_rand::result_type>(seed)},
	  longest_record_{from.info().max_record ? from.info().rx_size : 0}, windows_{windows && random_() % 2 == 0},
	  paired_{std::move(paired)}, buffer_(std::max(largest_read, longest_record_))
{
}

/* Takes what belongs to the header; gives the rest. */
std::span<const std::byte> receiver::take_header(std::span<const std::byte> bytes)
{
	const auto n = std::min<std::size_t>(bytes.size(), header_size - position_);
	std::copy_n(bytes.begin(), n, header_.begin() + static_cast<std::ptrdiff_t>(position_));
	position_ += n;
	if (position_ < header_size)
		return {};
	const auto tag = session_bytes::tag_in(header_);
	if (!tag)
		throw wrong_bytes{"what-came-first-is-no-header"};
	bytes_.emplace(*tag);
	progress_.peer = *tag;
	paired_(*tag);
	return bytes.subspan(n);
}

void receiver::check(std::span<const std::byte> bytes)
{
	if (longest_record_ && records_ == 0 && bytes.size() != header_size)
		throw wrong_bytes{"first-record-of-" + std::to_string(bytes.size())};
	if (position_ < header_size)
		bytes = take_header(bytes);
	else if (longest_record_ && bytes.size() != bytes_->record_length(records_, longest_record_ - 8))
		throw wrong_bytes{"record-" + std::to_string(records_) + "-has-" + std::to_string(bytes.size())};
	if (!bytes.empty()) {
		if (const auto where = bytes_->mismatch(position_, bytes))
			throw wrong_bytes{"byte" + at(*where)};
	}
	position_ += bytes.size();
	++records_;
	progress_.received = position_;
}

std::size_t receiver::take()
{
	if (longest_record_) {
		const auto record = channel_.recv(buffer_, error_);
		if (!record)
			return 0;
		check(std::span{buffer_}.first(record->copied));
		return record->length;
	}
	const auto size = std::uniform_int_distribution<std::size_t>{1, buffer_.size()}(random_);
	const auto n = channel_.read_some(std::span{buffer_}.first(size), error_);
	if (n)
		check(std::span{buffer_}.first(n));
	return n;
}

std::size_t receiver::take_window()
{
	auto window = channel_.peek(1, error_);
	if (error_ || window.empty())
		return 0;
	if (!longest_record_)
		window = window.first(std::uniform_int_distribution<std::size_t>{1, window.size()}(random_));
	check(window);
	channel_.consume(window.size(), error_);
	return window.size();
}

step receiver::read()
{
	const auto n = windows_ ? take_window() : take();
	if (would_block(error_)) {
		error_.clear();
		return step::would_block;
	}
	return error_ || n == 0 ? step::ended : step::moved;
}

} // namespace torture
