// SPDX-License-Identifier: MIT
/*
 * Random sizes against random sizes, both directions at once; every byte is
 * compared with what a generator of the same seed says.
 */
#include "node.hpp"

#include <algorithm>
#include <exception>
#include <random>
#include <thread>

namespace {

using namespace node;

/* The bytes of a direction, by position: none can be lost, doubled or moved. */
std::uint8_t byte_at(std::uint64_t seed, std::uint64_t position)
{
	return static_cast<std::uint8_t>((position * 0x9e3779b97f4a7c15ULL + seed) >> 40);
}

/* Sizes from 1 to most, each power of two as likely as the others. */
class sizes {
public:
	sizes(std::uint64_t seed, std::size_t most) : random_{seed}, most_{most} {}
	std::size_t next()
	{
		const auto bits = std::uniform_int_distribution<unsigned>{0, 24}(random_);
		return std::clamp<std::size_t>(random_() & ((std::size_t{1} << bits) - 1), 1, most_);
	}

private:
	std::mt19937_64 random_;
	std::size_t most_;
};

struct direction {
	std::uint64_t seed;
	std::uint64_t total;
	std::size_t most;
};

void send(const unique_fd &fd, const direction &d)
{
	sizes next{d.seed * 2 + 1, d.most};
	std::vector<std::uint8_t> chunk;
	for (std::uint64_t sent = 0; sent < d.total;) {
		chunk.resize(std::min<std::uint64_t>(next.next(), d.total - sent));
		for (std::size_t i = 0; i < chunk.size(); ++i)
			chunk[i] = byte_at(d.seed, sent + i);
		const auto n = ::write(fd.get(), chunk.data(), chunk.size());
		if (n != static_cast<ssize_t>(chunk.size()))
			fail("write of " + std::to_string(chunk.size()) + " wrote " + std::to_string(n));
		sent += chunk.size();
	}
}

void check(const std::vector<std::uint8_t> &chunk, std::size_t length, std::uint64_t seed, std::uint64_t at)
{
	for (std::size_t i = 0; i < length; ++i) {
		if (chunk[i] != byte_at(seed, at + i))
			fail("byte " + std::to_string(at + i) + " is wrong", EPROTO);
	}
}

void receive_stream(const unique_fd &fd, const direction &d)
{
	sizes next{d.seed * 2 + 2, d.most};
	std::vector<std::uint8_t> chunk(d.most);
	for (std::uint64_t got = 0; got < d.total;) {
		const auto n = ::read(fd.get(), chunk.data(), next.next());
		if (n <= 0)
			fail("read after " + std::to_string(got));
		check(chunk, static_cast<std::size_t>(n), d.seed, got);
		got += static_cast<std::size_t>(n);
	}
}

/* The reader draws the same sizes: every record has the length it was sent with. */
void receive_records(const unique_fd &fd, const direction &d)
{
	sizes next{d.seed * 2 + 1, d.most};
	std::vector<std::uint8_t> chunk(d.most);
	for (std::uint64_t got = 0; got < d.total;) {
		const auto expected = std::min<std::uint64_t>(next.next(), d.total - got);
		const auto n = ::read(fd.get(), chunk.data(), chunk.size());
		if (n != static_cast<ssize_t>(expected))
			fail("a record of " + std::to_string(n) + " instead of " + std::to_string(expected), EPROTO);
		check(chunk, expected, d.seed, got);
		got += expected;
	}
}

void run(const char *name, std::uint64_t total, std::size_t most)
{
	const auto p = connect(name, O_RDWR, O_RDWR);
	const bool packet = info(p.a).mode == 1;
	if (packet)
		most = std::min<std::size_t>(most, info(p.a).max_record);
	const direction there{7, total, most}, back{8, total, most};
	const auto receive = packet ? receive_records : receive_stream;
	std::vector<std::thread> threads;
	const auto start = [&](auto work, const unique_fd &fd, const direction &d) {
		threads.emplace_back([work, &fd, d] {
			try {
				work(fd, d);
			} catch (const std::exception &e) {
				give_up(e.what());
			}
		});
	};
	start(send, p.a, there);
	start(receive, p.b, there);
	start(send, p.b, back);
	start(receive, p.a, back);
	for (auto &each : threads)
		each.join();
	EXPECT_EQ(info(p.a).rx_ready, 0U);
	EXPECT_EQ(info(p.b).rx_ready, 0U);
}

constexpr std::size_t longest = 8 << 20;

std::uint64_t megabytes(std::uint64_t usual)
{
	return amount("bulk_mib", usual) << 20;
}

TEST(bulk_random, stream_over_4_kib)
{
	run("small", megabytes(8) / 2, longest);
}

TEST(bulk_random, stream_over_4_mib)
{
	run("big", megabytes(8) * 4, longest);
}

TEST(bulk_random, stream_with_rings_of_two_sizes)
{
	run("asym", megabytes(8) / 2, longest);
}

TEST(bulk_random, records_over_4_kib)
{
	run("packet4k", megabytes(8) / 4, longest);
}

TEST(bulk_random, records_over_4_mib)
{
	run("packetbig", megabytes(8) * 2, longest);
}

} // namespace
