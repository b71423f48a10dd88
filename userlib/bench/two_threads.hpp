// SPDX-License-Identifier: MIT
// Messages between two threads: how many, and how long one takes there and back.
#ifndef KVMCHAN_BENCH_TWO_THREADS_HPP
#define KVMCHAN_BENCH_TWO_THREADS_HPP

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "latencies.hpp"
#include "pinning.hpp"

namespace kvmchan::bench {

using clock = std::chrono::steady_clock;

/**
 * A message is numbered at its beginning and its end, so that one that was
 * lost, doubled or torn ends the benchmark; the last one says that it is.
 */
class message {
public:
	static constexpr std::uint64_t last = std::uint64_t{1} << 63;

	explicit message(std::size_t size) : bytes_(size) {}

	std::span<std::byte> bytes() noexcept { return bytes_; }
	void number(std::uint64_t value) noexcept
	{
		std::memcpy(bytes_.data(), &value, sizeof(value));
		std::memcpy(bytes_.data() + bytes_.size() - sizeof(value), &value, sizeof(value));
	}
	/** Is it @p expected? Returns whether it is the last one. */
	bool check(std::uint64_t expected) const
	{
		std::uint64_t begin = 0, end = 0;

		std::memcpy(&begin, bytes_.data(), sizeof(begin));
		std::memcpy(&end, bytes_.data() + bytes_.size() - sizeof(end), sizeof(end));
		if (begin != end || (begin & ~last) != expected)
			throw std::runtime_error{"a message is not the one that was sent"};
		return begin & last;
	}

private:
	std::vector<std::byte> bytes_;
};

/** A thread whose failure ends the program: the other one would wait for ever. */
template <typename Work>
std::thread run_thread(place where, Work work)
{
	return std::thread{[where, work] {
		try {
			run_at(where);
			work();
		} catch (const std::exception &error) {
			std::fprintf(stderr, "bench-host: %s\n", error.what());
			std::_Exit(1);
		}
	}};
}

/** MB/s of messages of @p size for about @p duration, as the reader sees @p bytes come. */
template <typename Pair>
double stream_messages(Pair &pair, std::size_t size, std::chrono::nanoseconds duration, bool pinned,
                       std::uint64_t &bytes)
{
	double rate = 0;

	bytes = 0;
	std::thread reader = run_thread(pinned ? place::second : place::anywhere, [&] {
		message got{size};

		pair.b().recv(got.bytes());
		const auto start = clock::now();
		bool ended = got.check(0);
		std::uint64_t count = 0;

		while (!ended) {
			pair.b().recv(got.bytes());
			ended = got.check(++count);
		}
		const std::chrono::duration<double, std::micro> took = clock::now() - start;

		bytes = count * size;
		rate = static_cast<double>(bytes) / took.count();
	});
	std::thread writer = run_thread(pinned ? place::first : place::anywhere, [&] {
		/* The clock costs as much as a small message. */
		const std::uint64_t messages_per_look = size < 4096 ? 64 : 1;
		message next{size};
		const auto end = clock::now() + duration;
		std::uint64_t count = 0;

		while (count % messages_per_look || !count || clock::now() < end) {
			next.number(count++);
			pair.a().send(next.bytes());
		}
		next.number(count | message::last);
		pair.a().send(next.bytes());
	});

	reader.join();
	writer.join();
	return rate;
}

/** Messages of @p size there and back, one at a time, for about @p duration. */
template <typename Pair>
latencies bounce_messages(Pair &pair, std::size_t size, std::chrono::nanoseconds duration, bool pinned)
{
	constexpr std::uint64_t warm_up = 200;
	latencies took;
	std::thread echo = run_thread(pinned ? place::second : place::anywhere, [&] {
		message got{size};

		for (std::uint64_t count = 1;; ++count) {
			pair.b().recv(got.bytes());
			pair.b().send(got.bytes());
			if (got.check(count))
				break;
		}
	});
	std::thread caller = run_thread(pinned ? place::first : place::anywhere, [&] {
		message next{size};
		clock::time_point end;
		bool ended = false;

		for (std::uint64_t count = 1; !ended; ++count) {
			if (count == warm_up)
				end = clock::now() + duration;
			ended = count > warm_up && clock::now() >= end;
			next.number(ended ? count | message::last : count);
			const auto start = clock::now();

			pair.a().send(next.bytes());
			pair.a().recv(next.bytes());
			if (count >= warm_up)
				took.add(clock::now() - start);
			next.check(count);
		}
	});

	caller.join();
	echo.join();
	return took;
}

} // namespace kvmchan::bench

#endif
