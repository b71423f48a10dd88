// SPDX-License-Identifier: MIT
// What poll() and epoll report in each state, and that they wake up for it.
#include "blocked_thread.hpp"

#include <thread>

#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>

namespace {

using namespace node;

constexpr const char *name = "small";

int shutdown(const unique_fd &fd, unsigned long how)
{
	return ::ioctl(fd.get(), KVMCHAN_IOC_SHUTDOWN, how);
}

/* An epoll set of one descriptor. */
class epoll {
public:
	epoll(const unique_fd &fd, std::uint32_t events) : set_{::epoll_create1(EPOLL_CLOEXEC)}
	{
		epoll_event e{events, {}};
		if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd.get(), &e) != 0)
			fail("epoll_ctl");
	}

	std::uint32_t now() const { return wait(0); }
	std::uint32_t wait(int timeout = static_cast<int>(std::chrono::milliseconds{patience}.count())) const
	{
		epoll_event e{};
		return ::epoll_wait(set_.get(), &e, 1, timeout) == 1 ? e.events : 0;
	}

private:
	unique_fd set_;
};

TEST(poll_states, before_the_peer_comes)
{
	settle(name);
	const auto a = open_side(name, 0);
	EXPECT_EQ(ready(a), POLLOUT);
	write_all(a, bytes(4096));
	EXPECT_EQ(ready(a), 0);
}

TEST(poll_states, with_and_without_bytes)
{
	const auto p = connect(name);
	EXPECT_EQ(ready(p.b), POLLOUT);
	write_all(p.a, "x");
	EXPECT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(ready(p.b, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM),
	          POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	read_all(p.b, 1);
	EXPECT_EQ(ready(p.b), POLLOUT);
}

TEST(poll_states, when_the_peer_has_closed)
{
	auto p = connect(name);
	write_all(p.a, "left");
	p.a.reset();
	EXPECT_TRUE(eventually([&] { return ready(p.b) & POLLHUP; }));
	EXPECT_EQ(ready(p.b), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR) << "bytes, and writing fails at once";
	read_all(p.b, 4);
	EXPECT_EQ(ready(p.b) & (POLLIN | POLLHUP | POLLRDHUP), POLLIN | POLLHUP | POLLRDHUP) << "end of file";
}

TEST(poll_states, when_the_peer_will_not_write_any_more)
{
	const auto p = connect(name);
	ASSERT_EQ(shutdown(p.a, SHUT_WR), 0);
	EXPECT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(ready(p.b), POLLIN | POLLOUT | POLLRDHUP) << "no hang-up: it still reads";
}

TEST(poll_states, when_the_peer_will_not_read_any_more)
{
	const auto p = connect(name);
	ASSERT_EQ(shutdown(p.a, SHUT_RD), 0);
	EXPECT_TRUE(eventually([&] { return ready(p.b) & POLLERR; }));
	EXPECT_EQ(ready(p.b), POLLOUT | POLLERR);
}

TEST(poll_states, of_files_for_one_direction)
{
	settle(name);
	const auto reader = open_side(name, 0, O_RDONLY | O_NONBLOCK), writer = open_side(name, 0, O_WRONLY | O_NONBLOCK);
	const auto b = open_side(name, 1);
	ASSERT_TRUE(connected(reader, b));
	EXPECT_EQ(ready(reader), 0);
	EXPECT_EQ(ready(writer), POLLOUT);
	write_all(b, "x");
	EXPECT_TRUE(await(reader, POLLIN));
	EXPECT_EQ(ready(reader), POLLIN);
	EXPECT_EQ(ready(writer), POLLOUT);
}

TEST(poll_states, report_room_when_half_the_ring_is_free)
{
	const auto p = connect(name);
	write_all(p.a, bytes(4096));
	EXPECT_EQ(ready(p.a), 0);
	read_all(p.b, 2047);
	EXPECT_TRUE(eventually([&] { return info(p.a).tx_space == 2047; }));
	EXPECT_EQ(ready(p.a), 0);
	read_all(p.b, 1);
	EXPECT_EQ(await(p.a, POLLOUT), POLLOUT);
}

TEST(poll_states, report_room_for_a_record_when_it_fits)
{
	const auto p = connect("packet4k");
	std::string text;
	for (int i = 0; i < 4; ++i)
		write_all(p.a, bytes(992));
	EXPECT_EQ(write(p.a, bytes(2500)), -1);
	read(p.b, text);
	EXPECT_TRUE(eventually([&] { return info(p.a).tx_space >= 1000; }));
	EXPECT_EQ(ready(p.a), 0) << "1096 bytes are free, the record needs 2512";
	read(p.b, text);
	EXPECT_TRUE(eventually([&] { return info(p.a).tx_space >= 2000; }));
	EXPECT_EQ(ready(p.a), 0);
	read(p.b, text);
	EXPECT_EQ(await(p.a, POLLOUT), POLLOUT);
	EXPECT_EQ(write(p.a, bytes(2500)), 2500);
}

/* ---- waking ---- */

TEST(poll_states, wake_a_poller_for_bytes_and_for_room)
{
	const auto p = connect(name);
	short seen = 0;
	{
		blocked_thread poller{[&] { seen = await(p.b, POLLIN); }};
		ASSERT_TRUE(poller.in(poll_call));
		write_all(p.a, "x");
		poller.join();
	}
	EXPECT_EQ(seen, POLLIN);
	read_all(p.b, 1);
	write_all(p.a, bytes(4096));
	blocked_thread poller{[&] { seen = await(p.a, POLLOUT); }};
	ASSERT_TRUE(poller.in(poll_call));
	read_all(p.b, 4096);
	poller.join();
	EXPECT_EQ(seen, POLLOUT);
}

TEST(poll_states, wake_who_asks_for_nothing_but_the_end)
{
	for (const short events : {short{0}, short{POLLRDHUP}}) {
		auto p = connect(name);
		short seen = 0;
		blocked_thread poller{[&] { seen = await(p.b, events); }};
		ASSERT_TRUE(poller.in(poll_call));
		p.a.reset();
		poller.join();
		EXPECT_EQ(seen, POLLHUP | POLLERR | events);
	}
}

TEST(poll_states, wake_an_epoll_that_asks_for_nothing_but_the_end)
{
	for (const std::uint32_t events : {0U, static_cast<unsigned>(EPOLLRDHUP), EPOLLET | 0U}) {
		auto p = connect(name);
		const epoll set{p.b, events};
		EXPECT_EQ(set.now(), 0U);
		p.a.reset();
		EXPECT_TRUE(set.wait() & EPOLLHUP) << events;
	}
}

TEST(poll_states, wake_who_asks_only_for_half_the_end)
{
	const auto p = connect(name);
	const epoll set{p.b, EPOLLRDHUP};
	ASSERT_EQ(shutdown(p.a, SHUT_WR), 0);
	EXPECT_EQ(set.wait(), static_cast<std::uint32_t>(EPOLLRDHUP));
}

TEST(poll_states, wake_a_writer_whose_peer_stops_reading)
{
	const auto p = connect(name);
	write_all(p.a, bytes(4096));
	const epoll set{p.a, EPOLLOUT};
	EXPECT_EQ(set.now(), 0U);
	ASSERT_EQ(shutdown(p.b, SHUT_RD), 0);
	EXPECT_EQ(set.wait(), static_cast<std::uint32_t>(EPOLLOUT | EPOLLERR));
}

TEST(poll_states, wake_select)
{
	const auto p = connect(name);
	write_all(p.a, "x");
	fd_set in;
	FD_ZERO(&in);
	FD_SET(p.b.get(), &in);
	timeval limit{patience.count(), 0};
	EXPECT_EQ(::select(p.b.get() + 1, &in, nullptr, nullptr, &limit), 1);
	EXPECT_TRUE(FD_ISSET(p.b.get(), &in));
}

/* ---- epoll ---- */

TEST(poll_states, stay_for_a_level_and_come_once_for_an_edge)
{
	const auto p = connect(name);
	const epoll level{p.b, EPOLLIN}, edge{p.b, EPOLLIN | EPOLLET};
	EXPECT_EQ(level.now(), 0U);
	EXPECT_EQ(edge.now(), 0U);
	write_all(p.a, "x");
	EXPECT_EQ(edge.wait(), static_cast<std::uint32_t>(EPOLLIN));
	EXPECT_EQ(edge.now(), 0U);
	EXPECT_EQ(level.wait(), static_cast<std::uint32_t>(EPOLLIN));
	EXPECT_EQ(level.wait(), static_cast<std::uint32_t>(EPOLLIN));
	read_all(p.b, 1);
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(level.now(), 0U);
	write_all(p.a, "y");
	EXPECT_EQ(edge.wait(), static_cast<std::uint32_t>(EPOLLIN)) << "a new edge";
}

TEST(poll_states, come_once_for_one_shot)
{
	const auto p = connect(name);
	const epoll set{p.b, EPOLLIN | EPOLLONESHOT};
	write_all(p.a, "x");
	EXPECT_EQ(set.wait(), static_cast<std::uint32_t>(EPOLLIN));
	write_all(p.a, "y");
	EXPECT_EQ(set.now(), 0U);
}

/* A long record waits: epoll sleeps as long as it does not fit. */
TEST(poll_states, do_not_spin_for_a_record_that_does_not_fit)
{
	constexpr int rounds = 50;
	const auto p = connect("packet4k");
	const epoll set{p.a, EPOLLOUT};
	int wakes = 0;
	std::thread reader{[&] {
		std::string text;
		for (std::size_t got = 0; got < rounds * 5;) {
			if (read(p.b, text) > 0)
				++got;
			else
				await(p.b, POLLIN);
			std::this_thread::sleep_for(1ms);
		}
	}};
	for (int round = 0; round < rounds; ++round) {
		for (int i = 0; i < 4; ++i)
			write_all(p.a, bytes(900));
		while (write(p.a, bytes(3900)) < 0) {
			ASSERT_EQ(errno, EAGAIN);
			ASSERT_TRUE(set.wait());
			++wakes;
		}
	}
	reader.join();
	EXPECT_LE(wakes, 2 * rounds) << "it was woken for room that was not enough";
}

} // namespace
