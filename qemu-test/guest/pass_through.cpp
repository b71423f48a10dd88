// SPDX-License-Identifier: MIT
// Other ways to move bytes than read() and write(): splice, sendfile, io_uring.
#include "blocked_thread.hpp"
#include "uring.hpp"

#include <array>
#include <thread>

#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

namespace {

using namespace node;

struct pipe_ends {
	unique_fd out, in;
};

pipe_ends make_pipe()
{
	int fds[2];
	if (::pipe2(fds, O_CLOEXEC) != 0)
		fail("pipe2");
	return {unique_fd{fds[0]}, unique_fd{fds[1]}};
}

unique_fd file_with(std::string_view text)
{
	unique_fd fd{::memfd_create("source", MFD_CLOEXEC)};
	write_all(fd, text);
	::lseek(fd.get(), 0, SEEK_SET);
	return fd;
}

ssize_t splice(const unique_fd &from, const unique_fd &to, std::size_t length, unsigned flags = 0)
{
	return ::splice(from.get(), nullptr, to.get(), nullptr, length, flags);
}

/* ---- splice and sendfile ---- */

TEST(pass_through, a_file_goes_into_a_channel)
{
	const auto p = connect("small", O_RDWR, nonblocking);
	const auto sent = bytes(300'000);
	const auto file = file_with(sent);
	blocked_thread sender{[&] {
		for (std::size_t done = 0; done < sent.size();) {
			const auto n = ::sendfile(p.a.get(), file.get(), nullptr, sent.size() - done);
			if (n <= 0)
				fail("sendfile");
			done += static_cast<std::size_t>(n);
		}
	}};
	EXPECT_TRUE(read_all(p.b, sent.size()) == sent);
	sender.join();
}

TEST(pass_through, a_channel_goes_into_a_pipe_and_a_file)
{
	const auto p = connect("stream", nonblocking, O_RDWR);
	const auto sent = bytes(200'000);
	const auto [out, in] = make_pipe();
	const unique_fd file{::memfd_create("target", MFD_CLOEXEC)};
	std::thread writer{[&] { write_all(p.a, sent); }};
	for (std::size_t done = 0; done < sent.size();) {
		const auto n = splice(p.b, in, sent.size() - done);
		ASSERT_GT(n, 0) << std::strerror(errno);
		for (ssize_t moved = 0; moved < n;) {
			const auto m = splice(out, file, static_cast<std::size_t>(n - moved));
			ASSERT_GT(m, 0);
			moved += m;
		}
		done += static_cast<std::size_t>(n);
	}
	writer.join();
	::lseek(file.get(), 0, SEEK_SET);
	EXPECT_TRUE(read_all(file, sent.size()) == sent);
}

TEST(pass_through, a_pipe_goes_into_a_channel)
{
	const auto p = connect("stream", O_RDWR, nonblocking);
	const auto [out, in] = make_pipe();
	write_all(in, "through a pipe");
	EXPECT_EQ(splice(out, p.a, 14), 14);
	EXPECT_EQ(read_all(p.b, 14), "through a pipe");
}

TEST(pass_through, a_channel_goes_into_another_one)
{
	const auto first = connect("stream"), second = connect("asym");
	const auto [out, in] = make_pipe();
	write_all(first.a, "from channel to channel");
	ASSERT_TRUE(await(first.b, POLLIN));
	EXPECT_EQ(splice(first.b, in, 1000), 23);
	EXPECT_EQ(splice(out, second.b, 1000), 23);
	EXPECT_EQ(read_all(second.a, 23), "from channel to channel");
}

TEST(pass_through, splice_that_would_wait_says_so)
{
	const auto p = connect("small");
	const auto [out, in] = make_pipe();
	EXPECT_EQ(splice(p.b, in, 100, SPLICE_F_NONBLOCK), -1);
	EXPECT_EQ(errno, EAGAIN);
	write_all(p.a, bytes(4096));
	write_all(in, "more");
	EXPECT_EQ(splice(out, p.a, 4, SPLICE_F_NONBLOCK), -1);
	EXPECT_EQ(errno, EAGAIN);
	read_all(p.b, 4096);
	ASSERT_TRUE(await(p.a, POLLOUT));
	EXPECT_EQ(splice(out, p.a, 4), 4) << "the pipe still holds it";
	EXPECT_EQ(read_all(p.b, 4), "more");
}

TEST(pass_through, splice_sees_the_end_of_a_session)
{
	auto p = connect("stream", nonblocking, O_RDWR);
	const auto [out, in] = make_pipe();
	write_all(p.a, "rest");
	p.a.reset();
	EXPECT_EQ(splice(p.b, in, 100), 4);
	EXPECT_EQ(splice(p.b, in, 100), 0);
}

/* ---- io_uring ---- */

TEST(pass_through, io_uring_reads_what_is_there)
{
	const auto p = connect("stream", nonblocking, O_RDWR);
	uring ring;
	char buffer[100];
	write_all(p.a, "ready");
	ASSERT_TRUE(await(p.b, POLLIN));
	ring.transfer(IORING_OP_READ, p.b, buffer, sizeof(buffer), 1);
	EXPECT_EQ(ring.wait().res, 5);
	EXPECT_EQ(std::string(buffer, 5), "ready");
}

TEST(pass_through, io_uring_waits_for_bytes_without_a_thread)
{
	const auto p = connect("stream", nonblocking, O_RDWR);
	uring ring;
	char buffer[100];
	ring.transfer(IORING_OP_READ, p.b, buffer, sizeof(buffer), 7);
	EXPECT_FALSE(ring.completed());
	write_all(p.a, "later");
	const auto done = ring.wait();
	EXPECT_EQ(done.user_data, 7U);
	EXPECT_EQ(done.res, 5);
	EXPECT_EQ(std::string(buffer, 5), "later");
}

TEST(pass_through, io_uring_does_not_wait_when_told_so)
{
	const auto p = connect("stream");
	uring ring;
	char buffer[100];
	ring.transfer(IORING_OP_READ, p.b, buffer, sizeof(buffer), 1, RWF_NOWAIT);
	EXPECT_EQ(ring.wait().res, -EAGAIN);
}

TEST(pass_through, io_uring_writes_when_there_is_room_again)
{
	const auto p = connect("small", O_RDWR, nonblocking);
	uring ring;
	std::string text = bytes(1000, 'A');
	const auto before = bytes(4096);
	EXPECT_EQ(write(p.a, before), 4096);
	ring.transfer(IORING_OP_WRITE, p.a, text.data(), text.size(), 3);
	EXPECT_FALSE(ring.completed());
	EXPECT_EQ(read_all(p.b, 4096), before);
	EXPECT_EQ(ring.wait().res, 1000);
	EXPECT_EQ(read_all(p.b, 1000), text);
}

TEST(pass_through, io_uring_keeps_many_requests)
{
	constexpr std::size_t count = 8;
	const auto p = connect("packet", nonblocking, O_RDWR);
	uring ring;
	std::array<std::array<char, 16>, count> buffers{};
	for (std::size_t i = 0; i < count; ++i)
		ring.transfer(IORING_OP_READ, p.b, buffers[i].data(), 16, i);
	for (std::size_t i = 0; i < count; ++i)
		write_all(p.a, "record " + std::to_string(i));
	std::string seen(count, '.');
	for (std::size_t i = 0; i < count; ++i) {
		const auto done = ring.wait();
		ASSERT_EQ(done.res, 8);
		seen.at(static_cast<std::size_t>(buffers.at(done.user_data)[7] - '0')) = 'x';
	}
	EXPECT_EQ(seen, std::string(count, 'x')) << "each record comes to one request";
}

TEST(pass_through, io_uring_polls)
{
	auto p = connect("stream");
	uring ring;
	io_uring_sqe s{};
	s.opcode = IORING_OP_POLL_ADD;
	s.fd = p.b.get();
	s.poll32_events = POLLIN;
	ring.submit(s);
	EXPECT_FALSE(ring.completed());
	write_all(p.a, "x");
	EXPECT_EQ(ring.wait().res, POLLIN);
	s.poll32_events = POLLRDHUP;
	ring.submit(s);
	EXPECT_FALSE(ring.completed());
	p.a.reset();
	EXPECT_TRUE(ring.wait().res & POLLHUP);
}

TEST(pass_through, io_uring_cancels_what_waits)
{
	const auto p = connect("stream", nonblocking, O_RDWR);
	uring ring;
	char buffer[10];
	ring.transfer(IORING_OP_READ, p.b, buffer, sizeof(buffer), 42);
	EXPECT_FALSE(ring.completed());
	io_uring_sqe s{};
	s.opcode = IORING_OP_ASYNC_CANCEL;
	s.addr = 42;
	s.user_data = 43;
	ring.submit(s);
	for (int i = 0; i < 2; ++i) {
		const auto done = ring.wait();
		EXPECT_EQ(done.res, done.user_data == 42 ? -ECANCELED : 0);
	}
	write_all(p.a, "kept");
	EXPECT_EQ(read_all(p.b, 4), "kept");
}

TEST(pass_through, io_uring_sees_the_peer_leave)
{
	auto p = connect("small", O_RDWR, O_RDWR);
	uring ring;
	char buffer[10] = {};
	ring.transfer(IORING_OP_READ, p.b, buffer, sizeof(buffer), 1);
	EXPECT_FALSE(ring.completed());
	p.a.reset();
	EXPECT_EQ(ring.wait().res, 0);
	ring.transfer(IORING_OP_WRITE, p.b, buffer, sizeof(buffer), 2);
	EXPECT_EQ(ring.wait().res, -EPIPE);
}

} // namespace
