// SPDX-License-Identifier: MIT
// Our client against servers that keep to no rule.
#include "ivshmem_client.hpp"

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doorbell.hpp"

namespace kvmchan {
namespace {

using namespace std::chrono_literals;

std::size_t open_descriptors()
{
	return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}));
}

struct recorder : ivshmem_observer {
	void vector_added(std::uint16_t id, std::size_t vectors) override { added.emplace_back(id, vectors); }
	void peer_left(std::uint16_t id) override { left.push_back(id); }

	std::vector<std::pair<std::uint16_t, std::size_t>> added;
	std::vector<std::uint16_t> left;
};

/* The server's end of a socket pair, to send what one likes. */
class ivshmem_client_test : public ::testing::Test {
protected:
	ivshmem_client_test()
	{
		int ends[2];

		if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
			throw std::system_error{errno, std::system_category()};
		server_.reset(ends[0]);
		client_ = ivshmem_client{unique_fd{ends[1]}, options_};
		memory_.reset(::memfd_create("test", MFD_CLOEXEC));
		EXPECT_EQ(::ftruncate(memory_.get(), 4096), 0);
		bell_ = make_doorbell(ec_);
		::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
		stray_.reset(ends[0]);
		::close(ends[1]);
	}

	void bytes(const void *data, std::size_t size, std::initializer_list<int> fds = {})
	{
		alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {};
		iovec vector{const_cast<void *>(data), size};
		msghdr header{};

		header.msg_iov = &vector;
		header.msg_iovlen = 1;
		if (fds.size()) {
			header.msg_control = control;
			header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
			cmsghdr *const c = CMSG_FIRSTHDR(&header);

			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
			std::memcpy(CMSG_DATA(c), fds.begin(), fds.size() * sizeof(int));
		}
		ASSERT_EQ(::sendmsg(server_.get(), &header, MSG_NOSIGNAL), static_cast<ssize_t>(size));
	}

	void message(std::int64_t value, std::initializer_list<int> fds = {}) { bytes(&value, sizeof(value), fds); }

	void greeting(std::int64_t id = 2)
	{
		message(0);
		message(id);
		message(-1, {memory_.get()});
	}

	std::error_code pump(ivshmem_observer *observer = nullptr)
	{
		std::error_code ec;

		client_.pump(observer, ec);
		return ec;
	}

	/* Refused, closed, and nothing of it kept open. */
	void expect_refused(std::errc error = std::errc::protocol_error)
	{
		EXPECT_EQ(pump(), error);
		EXPECT_TRUE(client_.closed());
		EXPECT_EQ(client_.native_handle(), -1);
		EXPECT_EQ(pump(), std::errc::connection_aborted) << "it went on after that";
		client_ = {};
		server_.reset();
		EXPECT_EQ(open_descriptors(), before_ + 3) << "a descriptor was left open";
	}

	std::size_t before_ = open_descriptors();
	std::error_code ec_;
	ivshmem_client_options options_{1, 4, 16};
	unique_fd server_, memory_, bell_, stray_;
	ivshmem_client client_;
};

TEST_F(ivshmem_client_test, honest_server)
{
	recorder seen;

	greeting(2);
	message(0, {bell_.get()});
	message(0, {bell_.get()});
	message(2, {bell_.get()});
	EXPECT_FALSE(client_.complete());
	EXPECT_FALSE(pump(&seen));
	EXPECT_FALSE(client_.complete()) << "peer 0 has two";
	message(2, {bell_.get()});
	EXPECT_FALSE(pump(&seen));
	EXPECT_TRUE(client_.complete());
	EXPECT_EQ(client_.id(), 2);
	EXPECT_EQ(client_.vectors(), 2U);
	EXPECT_EQ(client_.vectors(0), 2U);
	EXPECT_EQ(client_.peers(), std::vector<std::uint16_t>{0});
	EXPECT_EQ(seen.added.size(), 4U);
	EXPECT_EQ(::fcntl(client_.memory_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	EXPECT_EQ(::fcntl(client_.vector_fd(0), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	EXPECT_TRUE(client_.ring(0, 1));
	EXPECT_TRUE(drain_doorbell(bell_.get()));
	EXPECT_FALSE(client_.ring(0, 2));
	EXPECT_FALSE(client_.ring(1, 0));

	message(0);
	EXPECT_FALSE(pump(&seen));
	EXPECT_EQ(seen.left, std::vector<std::uint16_t>{0});
	EXPECT_EQ(client_.vectors(0), 0U);
}

TEST_F(ivshmem_client_test, messages_in_pieces)
{
	const std::int64_t own = 0x0201;
	const auto *raw = reinterpret_cast<const char *>(&own);

	message(0);
	for (int i = 0; i < 8; ++i) {
		EXPECT_FALSE(pump());
		bytes(raw + i, 1);
	}
	const std::int64_t marker = -1;

	bytes(&marker, 3, {memory_.get()});
	EXPECT_FALSE(pump());
	bytes(reinterpret_cast<const char *>(&marker) + 3, 5);
	message(0x0201, {bell_.get()});
	EXPECT_FALSE(pump());
	EXPECT_TRUE(client_.complete());
	EXPECT_EQ(client_.id(), 0x0201);
}

TEST_F(ivshmem_client_test, wrong_version)
{
	message(1);
	expect_refused();
}

TEST_F(ivshmem_client_test, version_with_a_descriptor)
{
	message(0, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, absurd_own_ids)
{
	message(0);
	message(65536);
	expect_refused();
}

TEST_F(ivshmem_client_test, negative_own_id)
{
	message(0);
	message(INT64_MIN);
	expect_refused();
}

TEST_F(ivshmem_client_test, absurd_peer_id)
{
	greeting();
	message(std::int64_t{1} << 32, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, negative_peer_id)
{
	greeting();
	message(-2, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, memory_without_a_descriptor)
{
	message(0);
	message(2);
	message(-1);
	expect_refused();
}

TEST_F(ivshmem_client_test, memory_that_is_an_eventfd)
{
	message(0);
	message(2);
	message(-1, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, memory_twice)
{
	greeting();
	message(-1, {memory_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, vectors_before_the_memory)
{
	message(0);
	message(2);
	message(2, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, eventfd_that_is_a_socket)
{
	greeting();
	message(1, {stray_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, eventfd_that_is_memory)
{
	greeting();
	message(1, {memory_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, two_descriptors)
{
	greeting();
	message(1, {bell_.get(), bell_.get()});
	expect_refused();
}

/* More than the control buffer holds: the kernel cuts and says so. */
TEST_F(ivshmem_client_test, many_descriptors)
{
	const int b = bell_.get();

	greeting();
	message(1, {b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b});
	expect_refused();
}

/* It would look as if the peer left. */
TEST_F(ivshmem_client_test, descriptor_that_finds_no_room)
{
	rlimit before{}, low{};

	greeting();
	message(1, {bell_.get()});
	EXPECT_FALSE(pump());
	message(1, {bell_.get()});
	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 3;
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
	const std::error_code ec = pump();

	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
	EXPECT_EQ(ec, std::errc::protocol_error);
	EXPECT_TRUE(client_.closed());
}

TEST_F(ivshmem_client_test, second_descriptor_in_the_second_piece)
{
	const std::int64_t value = 1;

	greeting();
	bytes(&value, 4, {bell_.get()});
	EXPECT_FALSE(pump());
	bytes(reinterpret_cast<const char *>(&value) + 4, 4, {bell_.get()});
	expect_refused();
}

TEST_F(ivshmem_client_test, end_inside_of_a_message)
{
	const std::int64_t value = 1;

	greeting();
	bytes(&value, 5, {bell_.get()});
	EXPECT_FALSE(pump());
	server_.reset();
	expect_refused();
}

TEST_F(ivshmem_client_test, stranger_leaves)
{
	greeting();
	message(9);
	expect_refused();
}

TEST_F(ivshmem_client_test, we_leave)
{
	greeting();
	message(2, {bell_.get()});
	message(2);
	expect_refused();
}

TEST_F(ivshmem_client_test, more_vectors_than_we_bear)
{
	greeting();
	for (int i = 0; i < 5; ++i)
		message(1, {bell_.get()});
	expect_refused(std::errc::value_too_large);
}

TEST_F(ivshmem_client_test, more_eventfds_than_we_bear)
{
	greeting();
	for (int i = 0; i < 17; ++i)
		message(100 + i, {bell_.get()});
	expect_refused(std::errc::value_too_large);
}

TEST_F(ivshmem_client_test, departures_make_room)
{
	greeting();
	for (int i = 0; i < 100; ++i) {
		message(100 + i, {bell_.get()});
		message(100 + i);
	}
	EXPECT_FALSE(pump());
	EXPECT_TRUE(client_.peers().empty());
}

TEST_F(ivshmem_client_test, silent_server_is_a_time_out)
{
	std::error_code ec;

	message(0);
	message(2);
	client_.handshake(30ms, ec);
	EXPECT_EQ(ec, std::errc::timed_out);
}

TEST_F(ivshmem_client_test, early_end_is_told)
{
	std::error_code ec;

	server_.reset();
	client_.handshake(20s, ec);
	EXPECT_EQ(ec, std::errc::connection_aborted);
}

TEST_F(ivshmem_client_test, handshake_that_takes_its_time)
{
	std::error_code ec;
	std::thread server{[this] {
		std::this_thread::sleep_for(20ms);
		greeting(3);
		std::this_thread::sleep_for(20ms);
		message(3, {bell_.get()});
	}};

	client_.handshake(20s, ec);
	server.join();
	EXPECT_FALSE(ec) << ec.message();
	EXPECT_EQ(client_.id(), 3);
}

/* A server that never stops must not keep pump() from coming back. */
TEST_F(ivshmem_client_test, endless_server)
{
	std::atomic<bool> stop{false};

	greeting();
	std::thread server{[&] {
		while (!stop) {
			message(5, {bell_.get()});
			message(5);
		}
	}};

	for (int i = 0; i < 5; ++i)
		EXPECT_FALSE(pump());
	stop = true;
	/* Unblocks a send that waits for room. */
	pollfd entry{client_.native_handle(), POLLIN, 0};
	while (::poll(&entry, 1, 50) == 1)
		EXPECT_FALSE(pump());
	server.join();
}

TEST_F(ivshmem_client_test, survives_its_server)
{
	greeting();
	message(1, {bell_.get()});
	message(2, {bell_.get()});
	EXPECT_FALSE(pump());
	server_.reset();
	EXPECT_EQ(pump(), std::errc::connection_aborted);
	EXPECT_TRUE(client_.ring(1, 0));
	EXPECT_GE(client_.memory_fd(), 0);
}

TEST(ivshmem_client, nobody_there)
{
	std::error_code ec;

	ivshmem_client::connect("/nonexistent/socket", 1s, {}, ec);
	EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
	ivshmem_client::connect(std::string(200, 'x'), 1s, {}, ec);
	EXPECT_EQ(ec, std::errc::filename_too_long);
}

} // namespace
} // namespace kvmchan
