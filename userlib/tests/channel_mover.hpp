// SPDX-License-Identifier: MIT
// Moves seeded bytes and records through channels, in several ways.
#ifndef KVMCHAN_CHANNEL_MOVER_HPP
#define KVMCHAN_CHANNEL_MOVER_HPP

#include <algorithm>
#include <random>
#include <stdexcept>

#include <sys/epoll.h>

#include "channel_fixture.hpp"
#include "unique_fd.hpp"

namespace kvmchan::test {

/* Mostly small, sometimes larger than any ring here. */
inline std::size_t random_size(std::mt19937_64 &random, std::size_t most)
{
	const std::size_t limit = random() % 4 ? 100 : most;

	return 1 + random() % std::min(limit, most);
}

/* What moves the bytes: blocking calls, or an event loop on the handle. */
enum class how { blocking, level_triggered, edge_triggered };

/* Sleeps until a channel that would block has something to do. */
class sleeper {
public:
	sleeper(channel &on, how way)
	{
		if (way == how::blocking)
			return;
		on.non_blocking(true);
		epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
		epoll_event event{};

		event.events = EPOLLIN | (way == how::edge_triggered ? static_cast<std::uint32_t>(EPOLLET) : 0);
		::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, on.native_handle(), &event);
	}

	void sleep()
	{
		epoll_event event;

		/* A minute is for ever here: a lost wake-up fails the test. */
		const int n = ::epoll_wait(epoll_.get(), &event, 1, 60'000);

		if (n != 1)
			throw std::runtime_error{"no wake-up for a minute"};
	}

private:
	unique_fd epoll_;
};

template <typename Call>
auto until_done(channel &, sleeper &wait, Call call)
{
	for (;;) {
		std::error_code ec;
		const auto result = call(ec);

		if (!ec)
			return result;
		if (ec != std::errc::operation_would_block)
			throw std::system_error{ec};
		wait.sleep();
	}
}

inline void write_stream(channel &to, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{to, way};
	std::vector<std::byte> buffer;

	while (total) {
		buffer.resize(std::min(total, random_size(random, 300'000)));
		bytes.fill(buffer);
		for (std::span<const std::byte> rest = buffer; !rest.empty();)
			rest = rest.subspan(
				until_done(to, wait, [&](std::error_code &ec) { return to.write_some(rest, ec); }));
		total -= buffer.size();
	}
	to.shutdown_write();
}

/* Returns how many bytes came and were right. */
inline std::size_t read_stream(channel &from, how way, std::uint64_t seed)
{
	std::mt19937_64 random{seed + 2};
	byte_stream bytes{seed};
	sleeper wait{from, way};
	std::vector<std::byte> buffer(300'000);
	std::size_t total = 0;

	for (;;) {
		const auto room = std::span{buffer}.first(random_size(random, buffer.size()));
		const std::size_t n =
			until_done(from, wait, [&](std::error_code &ec) { return from.read_some(room, ec); });

		if (!n)
			return total;
		for (std::size_t i = 0; i < n; ++i)
			if (room[i] != bytes.next())
				return total + i;
		total += n;
	}
}

inline void send_records(channel &to, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{to, way};
	std::vector<std::byte> record;

	while (total) {
		record.resize(std::min(total, random_size(random, to.max_record())));
		bytes.fill(record);
		until_done(to, wait, [&](std::error_code &ec) {
			to.send(record, ec);
			return 0;
		});
		total -= record.size();
	}
	to.shutdown_write();
}

inline std::size_t recv_records(channel &from, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{from, way};
	std::vector<std::byte> buffer(from.max_record());
	std::size_t done = 0;

	for (;;) {
		const auto record = until_done(from, wait, [&](std::error_code &ec) { return from.recv(buffer, ec); });

		if (!record)
			return done;
		if (record->length != std::min(total - done, random_size(random, from.max_record())))
			return done;
		for (std::size_t i = 0; i < record->length; ++i)
			if (buffer[i] != bytes.next())
				return done;
		done += record->length;
	}
}

/** What is moved, and how. */
struct transfer {
	channel_mode mode;
	std::uint64_t ring;
	how way;
	std::size_t total;

	void write(channel &to, std::uint64_t seed) const
	{
		mode == channel_mode::packet ? send_records(to, way, seed, total) : write_stream(to, way, seed, total);
	}

	/** Returns how many bytes were right. */
	std::size_t read(channel &from, std::uint64_t seed) const
	{
		return mode == channel_mode::packet ? recv_records(from, way, seed, total) : read_stream(from, way, seed);
	}

	std::string name() const
	{
		const char *const ways[] = {"blocking", "level", "edge"};

		return std::string{mode == channel_mode::packet ? "packet_" : "stream_"} + std::to_string(ring) + "_" +
		       ways[static_cast<int>(way)];
	}
};

} // namespace kvmchan::test

#endif
