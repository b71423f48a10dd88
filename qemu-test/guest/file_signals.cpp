// SPDX-License-Identifier: MIT
// Signals, fork, inherited and duplicated descriptors, SIGIO.
#include "blocked_thread.hpp"

#include <atomic>
#include <csignal>

#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

using namespace node;

std::atomic<int> signals = 0;

void count(int)
{
	++signals;
}

void catch_signal(int number, int flags)
{
	struct sigaction action {};
	action.sa_handler = count;
	action.sa_flags = flags;
	if (::sigaction(number, &action, nullptr) != 0)
		fail("sigaction");
	signals = 0;
}

TEST(file_signals, end_a_read_without_restart)
{
	catch_signal(SIGUSR1, 0);
	const auto p = connect("stream", nonblocking, O_RDWR);
	std::string text;
	ssize_t n = 0;
	int error = 0;
	blocked_thread reader{[&] {
		n = read(p.b, text);
		error = errno;
	}};
	ASSERT_TRUE(reader.in(SYS_read));
	reader.signal(SIGUSR1);
	reader.join();
	EXPECT_EQ(n, -1);
	EXPECT_EQ(error, EINTR);
	EXPECT_EQ(signals, 1);
	write_all(p.a, "kept");
	EXPECT_EQ(read_all(p.b, 4), "kept");
}

TEST(file_signals, are_not_seen_by_a_read_with_restart)
{
	catch_signal(SIGUSR1, SA_RESTART);
	const auto p = connect("stream", nonblocking, O_RDWR);
	std::string text;
	blocked_thread reader{[&] { read(p.b, text); }};
	for (int i = 1; i <= 3; ++i) {
		ASSERT_TRUE(reader.in(SYS_read));
		reader.signal(SIGUSR1);
		ASSERT_TRUE(eventually([&] { return signals == i; }));
	}
	EXPECT_FALSE(reader.done());
	write_all(p.a, "at last");
	reader.join();
	EXPECT_EQ(text, "at last");
}

TEST(file_signals, end_a_write_with_what_was_written)
{
	for (const int flags : {0, SA_RESTART}) {
		catch_signal(SIGUSR1, flags);
		const auto p = connect("small", O_RDWR, nonblocking);
		ssize_t n = 0;
		blocked_thread writer{[&] { n = write(p.a, bytes(10'000)); }};
		ASSERT_TRUE(writer.in(SYS_write));
		writer.signal(SIGUSR1);
		writer.join();
		EXPECT_EQ(n, 4096) << "the count of what the peer will get";
		EXPECT_EQ(read_all(p.b, 4096), bytes(4096));
	}
}

TEST(file_signals, end_a_write_that_wrote_nothing)
{
	catch_signal(SIGUSR1, 0);
	const auto p = connect("packet4k", O_RDWR, nonblocking);
	write_all(p.a, bytes(2000));
	ssize_t n = 0;
	int error = 0;
	blocked_thread writer{[&] {
		n = write(p.a, bytes(4000));
		error = errno;
	}};
	ASSERT_TRUE(writer.in(SYS_write));
	writer.signal(SIGUSR1);
	writer.join();
	EXPECT_EQ(n, -1);
	EXPECT_EQ(error, EINTR);
	std::string text;
	EXPECT_EQ(read(p.b, text), 2000);
	EXPECT_EQ(read(p.b, text), -1) << "no part of the record was sent";
}

TEST(file_signals, end_the_wait_for_another_writer)
{
	catch_signal(SIGUSR1, 0);
	auto p = connect("small", O_RDWR, nonblocking);
	write_all(p.a, bytes(4096));
	int error = 0;
	blocked_thread first{[&] { write(p.a, "first"); }};
	ASSERT_TRUE(first.in(SYS_write));
	blocked_thread second{[&] {
		if (write(p.a, "second") < 0)
			error = errno;
	}};
	ASSERT_TRUE(second.in(SYS_write));
	second.signal(SIGUSR1);
	second.join();
	EXPECT_EQ(error, EINTR);
	EXPECT_FALSE(first.done());
	read_all(p.b, 4096);
	first.join();
	EXPECT_EQ(read_all(p.b, 5), "first");
}

/* ---- whose descriptor is it ---- */

TEST(file_signals, a_duplicate_keeps_the_session)
{
	auto p = connect("stream");
	const auto copy = p.a.duplicate();
	p.a.reset();
	write_all(copy, "by the copy");
	EXPECT_EQ(read_all(p.b, 11), "by the copy");
	EXPECT_EQ(state(p.b), std::uint32_t{KVMCHAN_STATE_CONNECTED});
}

/* Runs a function in a child process; 0 if it returned true. */
template <typename Work>
pid_t in_child(Work work)
{
	const pid_t pid = ::fork();
	if (pid == 0) {
		bool fine = false;
		try {
			fine = work();
		} catch (const std::exception &) {
		}
		::_exit(fine ? 0 : 1);
	}
	return pid;
}

int ended(pid_t pid)
{
	int status = -1;
	while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return status;
}

TEST(file_signals, a_child_takes_the_session_over)
{
	auto p = connect("stream");
	const pid_t child = in_child([&] {
		if (read_all(p.a, 2) != "go")
			return false;
		write_all(p.a, "from the child");
		return true;
	});
	p.a.reset();
	write_all(p.b, "go");
	EXPECT_EQ(read_all(p.b, 14), "from the child");
	EXPECT_TRUE(at_end(p.b)) << "its exit ends the session";
	EXPECT_EQ(ended(child), 0);
}

TEST(file_signals, a_killed_process_ends_its_session)
{
	settle("stream");
	const auto b = open_side("stream", 1);
	const pid_t child = in_child([&] {
		const auto a = open_side("stream", 0, O_RDWR);
		write(a, "hello");
		char c;
		return ::read(a.get(), &c, 1) == 1;
	});
	EXPECT_EQ(read_all(b, 5), "hello");
	::kill(child, SIGKILL);
	EXPECT_EQ(ended(child), SIGKILL);
	EXPECT_TRUE(at_end(b));
	EXPECT_TRUE(ready(b) & POLLHUP);
	EXPECT_TRUE(try_side("stream", 0)) << "it still holds the node";
}

/* ---- SIGIO ---- */

void want_signals(const unique_fd &fd)
{
	if (::fcntl(fd.get(), F_SETOWN, ::getpid()) < 0 ||
	    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_ASYNC) < 0)
		fail("fcntl");
}

TEST(file_signals, tell_of_bytes_and_of_room)
{
	catch_signal(SIGIO, SA_RESTART);
	const auto p = connect("small");
	std::string text;
	want_signals(p.b);
	EXPECT_EQ(read(p.b, text), -1);
	signals = 0;
	write_all(p.a, "news");
	EXPECT_TRUE(eventually([] { return signals > 0; }));
	EXPECT_EQ(read_all(p.b, 4), "news");
	while (write(p.b, bytes(4096)) > 0) {
	}
	signals = 0;
	read_all(p.a, 4096);
	EXPECT_TRUE(eventually([] { return signals > 0; }));
}

TEST(file_signals, tell_of_the_peers_end)
{
	catch_signal(SIGIO, SA_RESTART);
	auto p = connect("stream");
	want_signals(p.b);
	signals = 0;
	p.a.reset();
	EXPECT_TRUE(eventually([] { return signals > 0; }));
}

TEST(file_signals, tell_of_bytes_even_who_never_tried_to_read)
{
	catch_signal(SIGIO, SA_RESTART);
	const auto p = connect("stream");
	want_signals(p.b);
	signals = 0;
	write_all(p.a, "first contact");
	EXPECT_TRUE(eventually([] { return signals > 0; }));
}

} // namespace
