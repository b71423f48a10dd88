// SPDX-License-Identifier: MIT
// Packet mode: whole records, cut records, records that do not fit.
#include "blocked_thread.hpp"

#include <array>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

namespace {

using namespace node;

constexpr const char *name = "packet4k";
constexpr std::size_t ring = 4096, head = 8;

std::uint32_t last_record(const unique_fd &fd)
{
	std::uint32_t length = 0;
	if (::ioctl(fd.get(), KVMCHAN_IOC_LAST_RECORD, &length) != 0)
		fail("KVMCHAN_IOC_LAST_RECORD");
	return length;
}

int next_record(const unique_fd &fd)
{
	int length = -1;
	if (::ioctl(fd.get(), FIONREAD, &length) != 0)
		fail("FIONREAD");
	return length;
}

TEST(file_packets, keep_their_boundaries)
{
	const auto p = connect(name);
	std::string text;
	EXPECT_EQ(write(p.a, "one"), 3);
	EXPECT_EQ(write(p.a, "twotwo"), 6);
	EXPECT_EQ(write(p.a, "3"), 1);
	for (const std::string_view expected : {"one", "twotwo", "3"}) {
		EXPECT_EQ(next_record(p.b), static_cast<int>(expected.size()));
		EXPECT_EQ(read(p.b, text), static_cast<ssize_t>(expected.size()));
		EXPECT_EQ(text, expected);
		EXPECT_EQ(last_record(p.b), expected.size());
	}
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(next_record(p.b), 0);
}

TEST(file_packets, are_cut_by_a_short_read_and_say_so)
{
	const auto p = connect(name);
	std::string text;
	write_all(p.a, "0123456789");
	write_all(p.a, "next");
	EXPECT_EQ(read(p.b, text, 4), 4);
	EXPECT_EQ(text, "0123");
	EXPECT_EQ(last_record(p.b), 10U);
	EXPECT_EQ(read(p.b, text), 4) << "the rest of the cut record is gone";
	EXPECT_EQ(text, "next");
	EXPECT_EQ(last_record(p.b), 4U);
}

TEST(file_packets, may_fill_the_ring_but_not_more)
{
	const auto p = connect(name);
	const auto most = info(p.a).max_record;
	EXPECT_EQ(most, ring - head);
	EXPECT_EQ(write(p.a, bytes(most + 1)), -1);
	EXPECT_EQ(errno, EMSGSIZE);
	EXPECT_EQ(info(p.a).tx_space, ring) << "a refused record leaves nothing behind";
	const auto text = bytes(most);
	EXPECT_EQ(write(p.a, text), static_cast<ssize_t>(most));
	EXPECT_EQ(info(p.a).tx_space, 0U);
	std::string got;
	EXPECT_EQ(read(p.b, got), static_cast<ssize_t>(most));
	EXPECT_EQ(got, text);
}

TEST(file_packets, too_long_are_refused_even_when_the_ring_is_full)
{
	const auto p = connect(name, O_RDWR, nonblocking);
	write_all(p.a, bytes(ring - head));
	EXPECT_EQ(write(p.a, bytes(ring)), -1) << "and it may not wait";
	EXPECT_EQ(errno, EMSGSIZE);
}

TEST(file_packets, go_whole_or_not_at_all)
{
	const auto p = connect(name);
	std::string text;
	EXPECT_EQ(write(p.a, bytes(2000)), 2000);
	EXPECT_EQ(write(p.a, bytes(3000, 'A')), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(info(p.a).tx_space, ring - head - 2000);
	EXPECT_EQ(write(p.a, "small"), 5) << "a shorter one may overtake it";
	EXPECT_EQ(read(p.b, text), 2000);
	EXPECT_TRUE(eventually([&] { return write(p.a, bytes(3000, 'A')) == 3000; }));
	EXPECT_EQ(read(p.b, text), 5);
	EXPECT_EQ(read(p.b, text), 3000);
	EXPECT_EQ(text, bytes(3000, 'A'));
}

TEST(file_packets, block_until_all_of_them_finds_room)
{
	const auto p = connect(name, O_RDWR, nonblocking);
	std::string text;
	for (int i = 0; i < 4; ++i)
		write_all(p.a, bytes(1000));
	ssize_t n = 0;
	blocked_thread writer{[&] { n = write(p.a, bytes(3500, 'A')); }};
	ASSERT_TRUE(writer.in(SYS_write));
	for (int i = 0; i < 4; ++i) {
		EXPECT_FALSE(writer.done());
		EXPECT_EQ(read(p.b, text), 1000);
	}
	writer.join();
	EXPECT_EQ(n, 3500);
	EXPECT_EQ(read(p.b, text), 3500);
	EXPECT_EQ(text, bytes(3500, 'A'));
}

TEST(file_packets, are_gathered_and_scattered)
{
	const auto p = connect(name);
	std::array<iovec, 3> out{{{const_cast<char *>("he"), 2}, {const_cast<char *>("ll"), 2}, {const_cast<char *>("o"), 1}}};
	EXPECT_EQ(::writev(p.a.get(), out.data(), 3), 5);
	char x[3], y[100];
	std::array<iovec, 2> in{{{x, sizeof(x)}, {y, sizeof(y)}}};
	ASSERT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(::readv(p.b.get(), in.data(), 2), 5);
	EXPECT_EQ(std::string(x, 3) + std::string(y, 2), "hello");
}

TEST(file_packets, of_nothing_are_not_sent)
{
	const auto p = connect(name);
	EXPECT_EQ(::write(p.a.get(), "", 0), 0);
	EXPECT_EQ(info(p.a).tx_space, ring);
	write_all(p.a, "real");
	std::string text;
	EXPECT_EQ(read(p.b, text), 4);
}

TEST(file_packets, of_every_length_pass_the_rings_end)
{
	const auto p = connect(name);
	std::string text;
	for (std::size_t length = 1; length <= ring - head; length += 1 + length / 9) {
		for (char c = 'a'; c < 'g'; ++c) {
			write_all(p.a, bytes(length, c));
			ASSERT_EQ(read(p.b, text), static_cast<ssize_t>(length));
			ASSERT_EQ(text, bytes(length, c)) << length;
		}
	}
}

TEST(file_packets, that_a_closed_session_left_are_read_to_the_last)
{
	auto p = connect(name);
	for (const std::string_view text : {"alpha", "beta", "gamma"})
		write_all(p.a, text);
	p.a.reset();
	std::string text;
	for (const std::string_view expected : {"alpha", "beta", "gamma"}) {
		EXPECT_GT(read(p.b, text), 0);
		EXPECT_EQ(text, expected);
	}
	EXPECT_TRUE(at_end(p.b));
}

TEST(file_packets, know_what_streams_do_not_and_the_other_way_round)
{
	const auto packet = open_side(name, 0), stream = open_side("stream", 0);
	std::uint32_t length = 0;
	EXPECT_EQ(::ioctl(stream.get(), KVMCHAN_IOC_LAST_RECORD, &length), -1);
	EXPECT_EQ(errno, EOPNOTSUPP);
	kvmchan_lowat lowat{1, 1};
	EXPECT_EQ(::ioctl(packet.get(), KVMCHAN_IOC_SET_LOWAT, &lowat), -1);
	EXPECT_EQ(errno, EOPNOTSUPP);
}

/* A long record goes from and to memory that nobody has touched before. */
TEST(file_packets, of_megabytes_go_through_untouched_memory)
{
	constexpr std::size_t length = 3 << 20;
	const auto p = connect("packetbig");
	const auto fresh = [&] {
		void *at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			fail("mmap");
		return static_cast<char *>(at);
	};
	char *const from = fresh(), *const to = fresh();
	EXPECT_EQ(::write(p.a.get(), from, length), static_cast<ssize_t>(length)) << std::strerror(errno);
	EXPECT_TRUE(await(p.b, POLLIN));
	to[length - 1] = 'x';
	EXPECT_EQ(::read(p.b.get(), to, length), static_cast<ssize_t>(length)) << std::strerror(errno);
	EXPECT_EQ(to[length - 1], 0);
	::munmap(from, length);
	::munmap(to, length);
}

TEST(file_packets, of_many_writers_stay_whole)
{
	constexpr std::size_t records = 2000, writers = 3;
	const auto p = connect(name, O_RDWR, nonblocking);
	std::vector<std::thread> threads;
	for (std::size_t w = 0; w < writers; ++w)
		threads.emplace_back([&, w] {
			for (std::size_t i = 0; i < records; ++i)
				EXPECT_GT(write(p.a, std::string(1 + (i * 31 + w) % 900, static_cast<char>('a' + w))), 0);
		});
	std::array<std::size_t, writers> seen{};
	std::string text;
	for (std::size_t i = 0; i < records * writers;) {
		if (read(p.b, text) < 0) {
			ASSERT_EQ(errno, EAGAIN);
			ASSERT_TRUE(await(p.b, POLLIN));
			continue;
		}
		ASSERT_EQ(text, std::string(text.size(), text[0]));
		auto &count = seen.at(static_cast<std::size_t>(text[0] - 'a'));
		ASSERT_EQ(text.size(), 1 + (count++ * 31 + static_cast<std::size_t>(text[0] - 'a')) % 900);
		++i;
	}
	for (auto &each : threads)
		each.join();
}

} // namespace
