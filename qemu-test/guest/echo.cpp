// SPDX-License-Identifier: MIT
/*
 * Gives back on each channel what comes on it, all channels in one
 * edge-triggered epoll loop, until each has come to its end.
 *
 *   ECHO_COUNT   channels to wait for and to serve
 *   ECHO_BUFFER  largest read, bytes (default 8 MiB); each read has a random
 *                size up to that
 */
#include "unique_fd.hpp"
#include "uapi/kvmchan.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

using kvmchan::unique_fd;

std::size_t number(const char *name, std::size_t otherwise)
{
	const char *text = std::getenv(name);
	return text ? std::strtoull(text, nullptr, 0) : otherwise;
}

class echo {
public:
	echo(unique_fd fd, std::size_t largest, std::uint64_t seed) : fd_{std::move(fd)}, random_{seed}
	{
		kvmchan_info info{};
		if (ioctl(fd_.get(), KVMCHAN_IOC_INFO, &info) == 0 && info.max_record)
			record_ = info.max_record;
		buffer_.resize(record_ ? record_ : largest);
	}

	int fd() const { return fd_.get(); }

	/* Until it would block: what an edge asks for. True: all is over. */
	bool run()
	{
		while (!over_ && (held() ? put() : take()))
			;
		return over_;
	}

	int error() const { return error_; }

private:
	std::size_t held() const { return end_ - begin_; }

	bool stop(int error)
	{
		error_ = error;
		over_ = true;
		return false;
	}

	bool take()
	{
		std::uniform_int_distribution<std::size_t> size{1, buffer_.size()};
		const auto n = read(fd_.get(), buffer_.data(), record_ ? buffer_.size() : size(random_));
		if (n > 0) {
			begin_ = 0;
			end_ = static_cast<std::size_t>(n);
			return true;
		}
		return n < 0 && errno == EAGAIN ? false : stop(n ? errno : 0);
	}

	bool put()
	{
		const auto n = write(fd_.get(), buffer_.data() + begin_, held());
		if (n > 0)
			begin_ += static_cast<std::size_t>(n);
		return n > 0 || (errno == EAGAIN ? false : stop(errno));
	}

	unique_fd fd_;
	std::minstd_rand random_;
	std::size_t record_ = 0;
	std::vector<char> buffer_;
	std::size_t begin_ = 0;
	std::size_t end_ = 0;
	bool over_ = false;
	int error_ = 0;
};

/* The nodes may still be coming. */
unique_fd open_node(std::size_t index)
{
	const std::string path = "/dev/kvmchan" + std::to_string(index);
	for (;;) {
		unique_fd fd{open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
		if (fd || errno != ENOENT)
			return fd;
		usleep(20'000);
	}
}

TEST(echo, gives_back_all_that_comes)
{
	const auto count = number("ECHO_COUNT", 1);
	const unique_fd poller{epoll_create1(EPOLL_CLOEXEC)};
	std::deque<echo> all;
	for (std::size_t i = 0; i < count; ++i) {
		unique_fd fd = open_node(i);
		ASSERT_TRUE(fd) << "kvmchan" << i << ": errno " << errno;
		all.emplace_back(std::move(fd), number("ECHO_BUFFER", 8 << 20), i);
		epoll_event want{};
		want.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
		want.data.u64 = i;
		ASSERT_EQ(epoll_ctl(poller.get(), EPOLL_CTL_ADD, all.back().fd(), &want), 0);
	}
	for (std::size_t left = count; left > 0;) {
		epoll_event ready[16];
		const int n = epoll_wait(poller.get(), ready, 16, -1);
		ASSERT_TRUE(n > 0 || errno == EINTR);
		for (int i = 0; i < n; ++i) {
			auto &one = all[ready[i].data.u64];
			if (!one.run())
				continue;
			EXPECT_EQ(one.error(), 0) << "kvmchan" << ready[i].data.u64;
			epoll_ctl(poller.get(), EPOLL_CTL_DEL, one.fd(), nullptr);
			--left;
		}
	}
}

} // namespace
