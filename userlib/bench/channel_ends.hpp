// SPDX-License-Identifier: MIT
// Channels as ends of a path: one message in, the same message out.
#ifndef KVMCHAN_BENCH_CHANNEL_ENDS_HPP
#define KVMCHAN_BENCH_CHANNEL_ENDS_HPP

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>

#include "served_region.hpp"

namespace kvmchan::bench {

[[noreturn]] inline void ended_early()
{
	throw std::runtime_error{"the other end is gone"};
}

/** By read() and write() of a stream. */
class stream_end {
public:
	static constexpr channel_mode mode = channel_mode::stream;

	explicit stream_end(channel over) : channel_{std::move(over)} {}

	void send(std::span<const std::byte> message) { channel_.write_all(message); }
	void recv(std::span<std::byte> message)
	{
		while (!message.empty()) {
			const std::size_t n = channel_.read_some(message);

			if (!n)
				ended_early();
			message = message.subspan(n);
		}
	}
	channel &over() { return channel_; }

private:
	channel channel_;
};

/** By send() and recv() of records. */
class packet_end {
public:
	static constexpr channel_mode mode = channel_mode::packet;

	explicit packet_end(channel over) : channel_{std::move(over)} {}

	void send(std::span<const std::byte> message) { channel_.send(message); }
	void recv(std::span<std::byte> message)
	{
		if (!channel_.recv(message))
			ended_early();
	}
	channel &over() { return channel_; }

private:
	channel channel_;
};

/** Can messages be made and read in the ring itself? */
template <typename Channel>
concept has_mapping = requires(Channel over) {
	over.commit(over.reserve().size());
	over.consume(over.peek().size());
};

/**
 * In the ring itself. Each message is filled in and read where it lies; a
 * reader gives back what it has read when all that it saw is read, or much.
 */
template <typename Channel>
class mapped_end {
public:
	static constexpr channel_mode mode = channel_mode::stream;

	explicit mapped_end(Channel over) : channel_{std::move(over)} {}

	void send(std::span<const std::byte> message)
	{
		while (!message.empty()) {
			const std::span<std::byte> room = channel_.reserve();
			const std::size_t n = std::min(room.size(), message.size());

			std::memcpy(room.data(), message.data(), n);
			channel_.commit(n);
			message = message.subspan(n);
		}
	}
	void recv(std::span<std::byte> message)
	{
		while (!message.empty()) {
			if (seen_.empty() && (seen_ = channel_.peek()).empty())
				ended_early();
			const std::size_t n = std::min(seen_.size(), message.size());

			std::memcpy(message.data(), seen_.data(), n);
			seen_ = seen_.subspan(n);
			read_ += n;
			message = message.subspan(n);
			if (seen_.empty() || read_ >= much)
				channel_.consume(std::exchange(read_, 0));
		}
	}
	Channel &over() { return channel_; }

private:
	static constexpr std::size_t much = 64 * 1024;

	Channel channel_;
	std::span<const std::byte> seen_;
	std::size_t read_ = 0;
};

/** In the ring itself, records. */
template <typename Channel>
class mapped_packet_end {
public:
	static constexpr channel_mode mode = channel_mode::packet;

	explicit mapped_packet_end(Channel over) : channel_{std::move(over)} {}

	void send(std::span<const std::byte> message)
	{
		std::memcpy(channel_.reserve(message.size()).data(), message.data(), message.size());
		channel_.commit(message.size());
	}
	void recv(std::span<std::byte> message)
	{
		const std::span<const std::byte> record = channel_.peek();

		if (record.size() != message.size())
			ended_early();
		std::memcpy(message.data(), record.data(), record.size());
		channel_.consume(record.size());
	}
	Channel &over() { return channel_; }

private:
	Channel channel_;
};

/** Two ends of a channel of their own. */
template <typename End>
class channel_pair {
public:
	explicit channel_pair(const channel_options &options = {})
		: region_{{End::mode}}, a_{region_.open(0, options)}, b_{region_.open(1, options)}
	{
	}

	End &a() noexcept { return a_; }
	End &b() noexcept { return b_; }
	std::uint64_t doorbells()
	{
		return a_.over().counters().doorbells_sent + b_.over().counters().doorbells_sent;
	}

private:
	served_region region_;
	End a_, b_;
};

} // namespace kvmchan::bench

#endif
