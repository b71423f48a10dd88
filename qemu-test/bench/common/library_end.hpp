// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"

#include <kvmchan/channel.hpp>

#include <memory>
#include <utility>

namespace bench {

/** The library's read_some(), write_all(), and their like for records. */
class library_end final : public end {
public:
	explicit library_end(std::shared_ptr<kvmchan::channel> channel, std::size_t batch = 1)
	    : channel_{std::move(channel)}, packet_{channel_->mode() == kvmchan::channel_mode::packet}, batch_{batch}
	{
	}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		if (packet_)
			channel_->send(from);
		else
			channel_->write_all(from);
	}

	std::size_t read(std::span<std::byte> to) override
	{
		const auto n = packet_ ? receive(to) : channel_->read_some(to);
		if (n == 0)
			ended();
		return n;
	}

	std::size_t batch() const override { return batch_; }

private:
	std::size_t receive(std::span<std::byte> to)
	{
		const auto record = channel_->recv(to);
		return record ? record->copied : 0;
	}

	std::shared_ptr<kvmchan::channel> channel_;
	bool packet_;
	std::size_t batch_;
};

} // namespace bench
