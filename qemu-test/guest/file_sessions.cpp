// SPDX-License-Identifier: MIT
// How sessions end and begin: end of file, half-close, boundaries, reconnect.
#include "blocked_thread.hpp"

#include <atomic>
#include <csignal>

#include <sys/socket.h>

namespace {

using namespace node;

constexpr const char *name = "stream";

int shutdown(const unique_fd &fd, unsigned long how)
{
	return ::ioctl(fd.get(), KVMCHAN_IOC_SHUTDOWN, how);
}

TEST(file_sessions, end_with_a_drained_ring_and_then_end_of_file)
{
	auto p = connect(name);
	const auto sent = bytes(20'000);
	write_all(p.a, sent);
	p.a.reset();
	EXPECT_EQ(read_all(p.b, 10'000), sent.substr(0, 10'000));
	EXPECT_EQ(read_all(p.b, 10'000), sent.substr(10'000));
	for (int i = 0; i < 3; ++i)
		EXPECT_TRUE(at_end(p.b)) << "the end stays the end";
}

TEST(file_sessions, that_ended_refuse_writes_without_a_signal)
{
	ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
	auto p = connect(name);
	p.b.reset();
	EXPECT_TRUE(writing_fails_with(p.a, EPIPE));
	int room = -1;
	ASSERT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_SPACE, &room), 0);
	EXPECT_EQ(room, 0);
}

TEST(file_sessions, wake_a_blocked_reader_at_their_end)
{
	auto p = connect(name, nonblocking, O_RDWR);
	std::string text;
	ssize_t n = -2;
	blocked_thread reader{[&] { n = read(p.b, text); }};
	ASSERT_TRUE(reader.in(SYS_read));
	p.a.reset();
	reader.join();
	EXPECT_EQ(n, 0);
}

TEST(file_sessions, wake_a_blocked_writer_at_their_end)
{
	auto p = connect("small", O_RDWR, nonblocking);
	write_all(p.a, bytes(4096));
	ssize_t n = 0;
	int error = 0;
	blocked_thread writer{[&] {
		n = write(p.a, "more");
		error = errno;
	}};
	ASSERT_TRUE(writer.in(SYS_write));
	p.b.reset();
	writer.join();
	EXPECT_EQ(n, -1);
	EXPECT_EQ(error, EPIPE);
}

TEST(file_sessions, half_closed_for_writing_still_read)
{
	const auto p = connect(name);
	write_all(p.a, "last words");
	ASSERT_EQ(shutdown(p.a, SHUT_WR), 0);
	EXPECT_EQ(write(p.a, "x"), -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_EQ(read_all(p.b, 10), "last words");
	EXPECT_TRUE(at_end(p.b));
	write_all(p.b, "answer");
	EXPECT_EQ(read_all(p.a, 6), "answer");
	EXPECT_EQ(state(p.a), std::uint32_t{KVMCHAN_STATE_CONNECTED});
}

TEST(file_sessions, half_closed_for_reading_still_write)
{
	const auto p = connect(name);
	ASSERT_EQ(shutdown(p.a, SHUT_RD), 0);
	EXPECT_TRUE(at_end(p.a));
	EXPECT_TRUE(writing_fails_with(p.b, EPIPE));
	write_all(p.a, "still heard");
	EXPECT_EQ(read_all(p.b, 11), "still heard");
}

TEST(file_sessions, shut_down_for_both_are_over_for_both)
{
	const auto p = connect(name);
	ASSERT_EQ(shutdown(p.a, SHUT_RDWR), 0);
	EXPECT_TRUE(at_end(p.a));
	EXPECT_EQ(write(p.a, "x"), -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_TRUE(at_end(p.b));
	EXPECT_TRUE(writing_fails_with(p.b, EPIPE));
}

TEST(file_sessions, refuse_a_wrong_shutdown)
{
	const auto p = connect(name);
	for (const auto how : {3UL, 4UL, ~0UL}) {
		EXPECT_EQ(shutdown(p.a, how), -1);
		EXPECT_EQ(errno, EINVAL);
	}
	settle("small");
	const auto reader = open_side("small", 0, O_RDONLY);
	for (const auto how : {SHUT_WR, SHUT_RDWR}) {
		EXPECT_EQ(shutdown(reader, static_cast<unsigned long>(how)), -1);
		EXPECT_EQ(errno, EBADF);
	}
	EXPECT_EQ(shutdown(reader, SHUT_RD), 0);
	const auto writer = open_side("small", 0, O_WRONLY);
	EXPECT_EQ(shutdown(writer, SHUT_RD), -1);
	EXPECT_EQ(errno, EBADF);
	EXPECT_EQ(write(p.a, "fine"), 4) << "the refused ones changed nothing";
}

TEST(file_sessions, wake_a_reader_that_is_shut_down_from_beside)
{
	const auto p = connect(name, nonblocking, O_RDWR);
	std::string text;
	ssize_t n = -2;
	blocked_thread reader{[&] { n = read(p.b, text); }};
	ASSERT_TRUE(reader.in(SYS_read));
	ASSERT_EQ(shutdown(p.b, SHUT_RD), 0);
	reader.join();
	EXPECT_EQ(n, 0);
}

TEST(file_sessions, go_on_with_a_new_writer_as_a_fifo_does)
{
	settle(name);
	const auto reader = open_side(name, 0, O_RDONLY | O_NONBLOCK);
	auto writer = open_side(name, 0, O_WRONLY | O_NONBLOCK);
	const auto b = open_side(name, 1);
	write_all(writer, "first");
	EXPECT_EQ(read_all(b, 5), "first");
	writer.reset();
	EXPECT_TRUE(at_end(b));
	writer = open_side(name, 0, O_WRONLY | O_NONBLOCK);
	EXPECT_TRUE(eventually([&] {
		std::string text;
		return read(b, text) < 0 && errno == EAGAIN;
	})) << "a writer is there again";
	write_all(writer, "second");
	EXPECT_EQ(read_all(b, 6), "second");
	write_all(b, "answer");
	EXPECT_EQ(read_all(reader, 6), "answer");
}

TEST(file_sessions, go_on_with_a_new_reader)
{
	settle(name);
	auto reader = open_side(name, 0, O_RDONLY | O_NONBLOCK);
	const auto writer = open_side(name, 0, O_WRONLY | O_NONBLOCK);
	const auto b = open_side(name, 1);
	ASSERT_TRUE(connected(reader, b));
	reader.reset();
	EXPECT_TRUE(writing_fails_with(b, EPIPE));
	reader = open_side(name, 0, O_RDONLY | O_NONBLOCK);
	EXPECT_TRUE(eventually([&] { return write(b, "again") == 5; }));
	EXPECT_EQ(read_all(reader, 5), "again");
}

TEST(file_sessions, show_their_boundary_to_the_old_file)
{
	auto p = connect(name);
	write_all(p.a, "old");
	p.a.reset();
	const auto fresh = open_side(name, 0);
	EXPECT_EQ(read_all(p.b, 100), "old");
	EXPECT_TRUE(at_end(p.b));
	EXPECT_TRUE(ready(p.b) & POLLHUP);
	EXPECT_TRUE(writing_fails_with(p.b, EPIPE));
	p.b.reset();
	p.b = open_side(name, 1);
	EXPECT_TRUE(connected(fresh, p.b));
	write_all(fresh, "new");
	EXPECT_EQ(read_all(p.b, 3), "new");
}

TEST(file_sessions, do_not_mix_their_bytes)
{
	auto p = connect(name);
	write_all(p.a, "old bytes");
	p.a.reset();
	const auto fresh = open_side(name, 0);
	// The peer may still be reading the old session's bytes from the ring.
	EXPECT_EQ(write(fresh, "new"), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_FALSE(ready(fresh) & POLLOUT);
	EXPECT_EQ(read_all(p.b, 100), "old bytes");
	EXPECT_EQ(write(fresh, "new"), -1) << "it has not let go of the old session";
	EXPECT_EQ(errno, EAGAIN);
	p.b.reset();
	EXPECT_TRUE(await(fresh, POLLOUT) & POLLOUT);
	write_all(fresh, "new");
	const auto b = open_side(name, 1);
	EXPECT_EQ(read_all(b, 3), "new");
}

TEST(file_sessions, wake_a_writer_that_waits_for_the_old_one_to_go)
{
	auto p = connect(name);
	p.a.reset();
	const auto fresh = open_side(name, 0, O_RDWR);
	ssize_t n = 0;
	blocked_thread writer{[&] { n = write(fresh, "patient"); }};
	ASSERT_TRUE(writer.in(SYS_write));
	p.b.reset();
	writer.join();
	EXPECT_EQ(n, 7);
	EXPECT_EQ(read_all(open_side(name, 1), 7), "patient");
}

TEST(file_sessions, drop_what_nobody_read_when_the_next_begins)
{
	auto p = connect(name);
	write_all(p.a, bytes(60'000));
	p.a.reset();
	p.b.reset();
	p.a = open_side(name, 0);
	p.b = open_side(name, 1);
	ASSERT_TRUE(connected(p.a, p.b));
	EXPECT_EQ(info(p.b).rx_ready, 0U);
	EXPECT_EQ(info(p.a).tx_space, 65536U);
	write_all(p.a, "only this");
	EXPECT_EQ(read_all(p.b, 9), "only this");
}

TEST(file_sessions, begin_anew_on_the_same_file)
{
	auto p = connect(name);
	write_all(p.a, "unread");
	p.a.reset();
	p.a = open_side(name, 0);
	EXPECT_TRUE(eventually([&] { return state(p.b) == KVMCHAN_STATE_DISCONNECTED; }));
	ASSERT_EQ(::ioctl(p.b.get(), KVMCHAN_IOC_RECONNECT), 0);
	EXPECT_TRUE(connected(p.a, p.b));
	write_all(p.a, "fresh");
	EXPECT_EQ(read_all(p.b, 5), "fresh");
	write_all(p.b, "too");
	EXPECT_EQ(read_all(p.a, 3), "too");
}

TEST(file_sessions, that_reconnect_are_over_for_the_peer)
{
	const auto p = connect(name);
	write_all(p.a, "before");
	ASSERT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_RECONNECT), 0);
	EXPECT_EQ(read_all(p.b, 100), "before");
	EXPECT_TRUE(ready(p.b) & POLLHUP);
	ASSERT_EQ(::ioctl(p.b.get(), KVMCHAN_IOC_RECONNECT), 0);
	EXPECT_TRUE(connected(p.a, p.b));
}

TEST(file_sessions, do_not_reconnect_over_somebody_elses_head)
{
	settle(name);
	const auto reader = open_side(name, 0, O_RDONLY);
	auto writer = open_side(name, 0, O_WRONLY);
	EXPECT_EQ(::ioctl(reader.get(), KVMCHAN_IOC_RECONNECT), -1);
	EXPECT_EQ(errno, EBUSY);
	writer.reset();
	EXPECT_EQ(::ioctl(reader.get(), KVMCHAN_IOC_RECONNECT), 0);
}

TEST(file_sessions, let_a_sleeping_reader_go_on_after_reconnect)
{
	const auto p = connect(name, nonblocking, O_RDWR);
	std::string text;
	blocked_thread reader{[&] { read(p.b, text); }};
	ASSERT_TRUE(reader.in(SYS_read));
	ASSERT_EQ(::ioctl(p.b.get(), KVMCHAN_IOC_RECONNECT), 0);
	ASSERT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_RECONNECT), 0);
	write_all(p.a, "hello again");
	reader.join();
	EXPECT_EQ(text, "hello again");
}

/*
 * Sender and receiver open and close as they like. Every session of the
 * receiver sees one message or a part of one, never a mixture.
 */
TEST(file_sessions, in_quick_succession_stay_apart)
{
	constexpr std::size_t rounds = 500;
	settle(name);
	std::atomic<bool> done = false;
	std::thread sender{[&] {
		for (std::size_t i = 0; !done; ++i) {
			const auto a = open_side(name, 0, O_WRONLY);
			const char letter = i < rounds ? static_cast<char>('A' + i % 26) : '.';
			write(a, std::string(1 + i * 37 % 3000, letter));
		}
	}};
	std::size_t seen = 0, mixed = 0;
	while (!done) {
		const auto b = open_side(name, 1, O_RDONLY);
		std::string all, some;
		while (read(b, some, 1000) > 0)
			all += some;
		seen += !all.empty();
		mixed += all != std::string(all.size(), all.empty() ? 'x' : all[0]);
		done = !all.empty() && all[0] == '.';
	}
	sender.join();
	EXPECT_EQ(mixed, 0U);
	EXPECT_GT(seen, 2U);
}

} // namespace
