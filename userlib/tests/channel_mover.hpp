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

/* What came of records that send_records() and its like have sent. */
class record_check {
public:
	record_check(std::uint64_t seed, std::size_t total, std::size_t most)
		: random_{seed + 1}, bytes_{seed}, total_{total}, most_{most}
	{
	}

	bool next(std::span<const std::byte> record)
	{
		if (record.size() != std::min(total_ - done_, random_size(random_, most_)))
			return false;
		if (!std::ranges::all_of(record, [&](std::byte b) { return b == bytes_.next(); }))
			return false;
		done_ += record.size();
		return true;
	}

	std::size_t done() const noexcept { return done_; }

private:
	std::mt19937_64 random_;
	byte_stream bytes_;
	std::size_t total_, most_, done_ = 0;
};

inline std::size_t recv_records(channel &from, how way, std::uint64_t seed, std::size_t total)
{
	record_check check{seed, total, from.max_record()};
	sleeper wait{from, way};
	std::vector<std::byte> buffer(from.max_record());

	for (;;) {
		const auto record = until_done(from, wait, [&](std::error_code &ec) { return from.recv(buffer, ec); });

		if (!record || !check.next(std::span{buffer}.first(record->length)))
			return check.done();
	}
}

/* Through windows: the least that is asked for goes up to half the ring. */
inline void write_windows(channel &to, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{to, way};
	const std::size_t half = to.info().tx_size / 2;

	while (total) {
		const std::size_t least = std::min(total, random_size(random, half));
		const auto window = until_done(to, wait, [&](std::error_code &ec) { return to.reserve(least, ec); });

		if (window.size() < least)
			throw std::runtime_error{"a window that is too small"};
		const auto used = window.first(std::min(total, random() % 2 ? least : window.size()));

		bytes.fill(used);
		to.commit(used.size());
		total -= used.size();
	}
	to.shutdown_write();
}

inline std::size_t read_windows(channel &from, how way, std::uint64_t seed)
{
	std::mt19937_64 random{seed + 2};
	byte_stream bytes{seed};
	sleeper wait{from, way};
	const std::size_t half = from.info().rx_size / 2;
	std::size_t total = 0, left = 0;
	bool ended = false;

	for (;;) {
		const std::size_t least = random_size(random, half);
		const auto window = until_done(from, wait, [&](std::error_code &ec) { return from.peek(least, ec); });

		if (window.empty())
			return total;
		/* Less than was asked for is the rest. */
		if (ended && window.size() > left)
			return total;
		ended |= window.size() < least;
		const auto used = window.first(random() % 2 ? std::min(least, window.size()) : window.size());

		for (const std::byte b : used) {
			if (b != bytes.next())
				return total;
			++total;
		}
		from.consume(used.size());
		left = window.size() - used.size();
	}
}

inline void send_windows(channel &to, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{to, way};

	while (total) {
		const std::size_t length = std::min(total, random_size(random, to.max_record()));
		const auto window = until_done(to, wait, [&](std::error_code &ec) { return to.reserve(length, ec); });

		bytes.fill(window.first(length));
		to.commit(length);
		total -= length;
	}
	to.shutdown_write();
}

inline std::size_t recv_windows(channel &from, how way, std::uint64_t seed, std::size_t total)
{
	record_check check{seed, total, from.max_record()};
	sleeper wait{from, way};

	for (;;) {
		const auto record = until_done(from, wait, [&](std::error_code &ec) { return from.peek(1, ec); });

		if (record.empty() || !check.next(record))
			return check.done();
		from.consume(record.size());
	}
}

/* Many at once: up to 20, of which some may not go or come. */
inline void send_batches(channel &to, how way, std::uint64_t seed, std::size_t total)
{
	std::mt19937_64 random{seed + 1};
	byte_stream bytes{seed};
	sleeper wait{to, way};
	std::vector<std::vector<std::byte>> records(20);
	std::vector<iovec> batch;

	while (total) {
		batch.clear();
		for (auto &record : records) {
			if (!total)
				break;
			record.resize(std::min(total, random_size(random, to.max_record())));
			bytes.fill(record);
			batch.push_back({record.data(), record.size()});
			total -= record.size();
		}
		for (std::span<const iovec> rest = batch; !rest.empty();)
			rest = rest.subspan(
				until_done(to, wait, [&](std::error_code &ec) { return to.send_many(rest, ec); }));
	}
	to.shutdown_write();
}

inline std::size_t recv_batches(channel &from, how way, std::uint64_t seed, std::size_t total)
{
	record_check check{seed, total, from.max_record()};
	sleeper wait{from, way};
	std::vector<std::vector<std::byte>> buffers(20, std::vector<std::byte>(from.max_record()));
	std::vector<iovec> batch(buffers.size());

	for (;;) {
		std::ranges::transform(buffers, batch.begin(), [](auto &b) { return iovec{b.data(), b.size()}; });
		const std::size_t n = until_done(from, wait, [&](std::error_code &ec) { return from.recv_many(batch, ec); });

		if (!n)
			return check.done();
		for (const iovec &one : std::span{batch}.first(n))
			if (!check.next({static_cast<const std::byte *>(one.iov_base), one.iov_len}))
				return check.done();
	}
}

/* By which calls. */
enum class calls { copies, windows, batches };

/** What is moved, and how. */
struct transfer {
	channel_mode mode;
	std::uint64_t ring;
	how way;
	std::size_t total;
	calls by = calls::copies;

	void write(channel &to, std::uint64_t seed) const
	{
		if (by == calls::batches)
			send_batches(to, way, seed, total);
		else if (by == calls::windows)
			mode == channel_mode::packet ? send_windows(to, way, seed, total)
			                             : write_windows(to, way, seed, total);
		else
			mode == channel_mode::packet ? send_records(to, way, seed, total) : write_stream(to, way, seed, total);
	}

	/** Returns how many bytes were right. */
	std::size_t read(channel &from, std::uint64_t seed) const
	{
		if (by == calls::batches)
			return recv_batches(from, way, seed, total);
		if (by == calls::windows)
			return mode == channel_mode::packet ? recv_windows(from, way, seed, total)
			                                    : read_windows(from, way, seed);
		return mode == channel_mode::packet ? recv_records(from, way, seed, total) : read_stream(from, way, seed);
	}

	std::string name() const
	{
		const char *const ways[] = {"blocking", "level", "edge"};
		const char *const by_what[] = {"", "_windows", "_batches"};

		return std::string{mode == channel_mode::packet ? "packet_" : "stream_"} + std::to_string(ring) + "_" +
		       ways[static_cast<int>(way)] + by_what[static_cast<int>(by)];
	}
};

} // namespace kvmchan::test

#endif
