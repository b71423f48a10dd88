// SPDX-License-Identifier: MIT
// read() and write() of streams: what goes in comes out, and who waits when.
#include "blocked_thread.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <thread>

#include <sys/syscall.h>
#include <sys/uio.h>

namespace {

using namespace node;

constexpr std::size_t small_ring = 4096;

TEST(file_transfer, carries_bytes_both_ways)
{
	const auto p = connect("stream");
	EXPECT_EQ(write(p.a, "there"), 5);
	EXPECT_EQ(write(p.b, "and back"), 8);
	EXPECT_EQ(read_all(p.b, 5), "there");
	EXPECT_EQ(read_all(p.a, 8), "and back");
}

TEST(file_transfer, reads_a_part_and_leaves_the_rest)
{
	const auto p = connect("stream");
	std::string text;
	write_all(p.a, "0123456789");
	EXPECT_EQ(read_all(p.b, 3), "012");
	EXPECT_EQ(read(p.b, text, 100), 7);
	EXPECT_EQ(text, "3456789");
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EAGAIN);
}

TEST(file_transfer, uses_the_whole_ring_and_then_would_block)
{
	const auto p = connect("small");
	const auto sent = bytes(small_ring + 100);
	EXPECT_EQ(write(p.a, sent), static_cast<ssize_t>(small_ring));
	EXPECT_EQ(write(p.a, "x"), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(read_all(p.b, 1), sent.substr(0, 1));
	EXPECT_TRUE(eventually([&] { return info(p.a).tx_space == 1; }));
	EXPECT_EQ(write(p.a, "yz"), 1) << "one byte of room is room";
	EXPECT_EQ(read_all(p.b, small_ring), sent.substr(1, small_ring - 1) + "y");
}

TEST(file_transfer, keeps_order_around_the_rings_end)
{
	const auto p = connect("small");
	for (std::size_t size = 1; size < 300; ++size) {
		const auto sent = bytes(13 * size % small_ring + 1, static_cast<char>('!' + size % 50));
		write_all(p.a, sent);
		ASSERT_EQ(read_all(p.b, sent.size()), sent) << size;
	}
}

TEST(file_transfer, blocks_a_reader_until_bytes_come)
{
	const auto p = connect("stream", nonblocking, O_RDWR);
	std::string text;
	blocked_thread reader{[&] { read(p.b, text, 100); }};
	ASSERT_TRUE(reader.in(SYS_read));
	EXPECT_EQ(write(p.a, "wake up"), 7);
	reader.join();
	EXPECT_EQ(text, "wake up") << "a reader takes what is there";
}

TEST(file_transfer, blocks_a_reader_until_the_peer_comes_and_writes)
{
	settle("stream");
	const auto b = open_side("stream", 1, O_RDWR);
	std::string text;
	blocked_thread reader{[&] { read(b, text, 100); }};
	ASSERT_TRUE(reader.in(SYS_read));
	const auto a = open_side("stream", 0);
	write_all(a, "late");
	reader.join();
	EXPECT_EQ(text, "late");
}

TEST(file_transfer, blocks_a_writer_until_all_is_written)
{
	const auto p = connect("small", O_RDWR, nonblocking);
	const auto sent = bytes(40 * small_ring + 7);
	ssize_t written = 0;
	blocked_thread writer{[&] { written = write(p.a, sent); }};
	ASSERT_TRUE(writer.in(SYS_write));
	EXPECT_EQ(read_all(p.b, sent.size()), sent);
	writer.join();
	EXPECT_EQ(written, static_cast<ssize_t>(sent.size()));
}

TEST(file_transfer, gathers_and_scatters)
{
	const auto p = connect("small");
	const auto big = bytes(3000);
	std::array<iovec, 4> out{{{const_cast<char *>("ab"), 2}, {nullptr, 0},
	                          {const_cast<char *>(big.data()), big.size()}, {const_cast<char *>("z"), 1}}};
	EXPECT_EQ(::writev(p.a.get(), out.data(), 4), 3003);
	char first = 0, last[3000];
	std::array<iovec, 3> in{{{&first, 1}, {nullptr, 0}, {last, sizeof(last)}}};
	ASSERT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(::readv(p.b.get(), in.data(), 3), 3001);
	EXPECT_EQ(first, 'a');
	EXPECT_EQ(std::string(last, 3000), "b" + big.substr(0, 2999));
	EXPECT_EQ(read_all(p.b, 2), big.substr(2999) + "z");
}

TEST(file_transfer, of_nothing_is_nothing)
{
	settle("stream");
	const auto a = open_side("stream", 0, O_RDWR);
	EXPECT_EQ(::read(a.get(), nullptr, 0), 0) << "it may not block either";
	EXPECT_EQ(::write(a.get(), nullptr, 0), 0);
	EXPECT_EQ(info(a).tx_space, info(a).tx_size);
}

TEST(file_transfer, counts_what_is_there_and_what_has_room)
{
	const auto p = connect("small");
	int there = -1, room = -1;
	write_all(p.a, bytes(1000));
	ASSERT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_SPACE, &room), 0);
	EXPECT_EQ(room, 3096);
	ASSERT_EQ(::ioctl(p.b.get(), FIONREAD, &there), 0);
	EXPECT_EQ(there, 1000);
	read_all(p.b, 400);
	ASSERT_EQ(::ioctl(p.b.get(), FIONREAD, &there), 0);
	EXPECT_EQ(there, 600);
	ASSERT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_SPACE, &room), 0);
	EXPECT_EQ(room, 3496);
}

TEST(file_transfer, before_the_peer_comes_waits_for_it)
{
	settle("stream");
	const auto a = open_side("stream", 0);
	const auto sent = bytes(65536);
	EXPECT_EQ(write(a, sent), 65536) << "the whole ring is there before the peer is";
	EXPECT_EQ(write(a, "x"), -1);
	EXPECT_EQ(errno, EAGAIN);
	const auto b = open_side("stream", 1);
	EXPECT_EQ(read_all(b, 65536), sent);
}

TEST(file_transfer, survives_a_writer_that_came_and_went)
{
	settle("stream");
	const auto sent = bytes(5000);
	write_all(open_side("stream", 0), sent);
	const auto b = open_side("stream", 1);
	EXPECT_EQ(read_all(b, sent.size()), sent);
	EXPECT_TRUE(at_end(b));
}

TEST(file_transfer, without_waiting_when_one_call_asks_for_it)
{
	const auto p = connect("small", O_RDWR, O_RDWR);
	char buffer[8192] = {};
	iovec io{buffer, sizeof(buffer)};
	EXPECT_EQ(::preadv2(p.b.get(), &io, 1, -1, RWF_NOWAIT), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(::pwritev2(p.a.get(), &io, 1, -1, RWF_NOWAIT), static_cast<ssize_t>(small_ring));
	EXPECT_EQ(::pwritev2(p.a.get(), &io, 1, -1, RWF_NOWAIT), -1);
	EXPECT_EQ(errno, EAGAIN);
}

/* Each block is of one letter and longer than the ring. */
TEST(file_transfer, of_many_writers_does_not_interleave)
{
	constexpr std::size_t block = 3 * small_ring / 2, blocks = 12, writers = 4;
	const auto p = connect("small", O_RDWR, nonblocking);
	std::vector<std::thread> threads;
	for (std::size_t w = 0; w < writers; ++w)
		threads.emplace_back([&, w] {
			const std::string text(block, static_cast<char>('a' + w));
			for (std::size_t i = 0; i < blocks; ++i)
				EXPECT_EQ(write(p.a, text), static_cast<ssize_t>(block));
		});
	std::array<std::size_t, writers> seen{};
	for (std::size_t i = 0; i < blocks * writers; ++i) {
		const auto text = read_all(p.b, block);
		EXPECT_EQ(text, std::string(block, text.at(0))) << "block " << i;
		++seen.at(static_cast<std::size_t>(text.at(0) - 'a'));
	}
	for (auto &each : threads)
		each.join();
	EXPECT_EQ(seen, (std::array<std::size_t, writers>{blocks, blocks, blocks, blocks}));
}

/* Several readers share a stream: every byte comes to exactly one of them. */
TEST(file_transfer, to_many_readers_gives_each_byte_once)
{
	constexpr std::size_t total = 400'000, readers = 4;
	auto p = connect("small", O_RDWR, O_RDWR);
	std::array<std::size_t, 256> sum{};
	std::mutex mutex;
	std::vector<std::thread> threads;
	for (std::size_t r = 0; r < readers; ++r)
		threads.emplace_back([&] {
			std::array<std::size_t, 256> mine{};
			std::string text;
			while (read(p.b, text, 777) > 0)
				for (const char c : text)
					++mine[static_cast<unsigned char>(c)];
			const std::lock_guard lock{mutex};
			for (std::size_t i = 0; i < sum.size(); ++i)
				sum[i] += mine[i];
		});
	std::string sent(total, '\0');
	std::array<std::size_t, 256> expected{};
	for (std::size_t i = 0; i < total; ++i) {
		sent[i] = static_cast<char>(i * 7);
		++expected[static_cast<unsigned char>(sent[i])];
	}
	EXPECT_EQ(write(p.a, sent), static_cast<ssize_t>(total));
	p.a.reset();
	for (auto &each : threads)
		each.join();
	EXPECT_EQ(sum, expected);
}

} // namespace
