// SPDX-License-Identifier: MIT
// One epoll loop with both ends of 64 busy channels.
#include "node.hpp"

#include <map>
#include <memory>

#include <sys/epoll.h>

namespace {

using namespace node;

/* One end: sends a sequence of its own, and checks that of the other end. */
class end {
public:
	end(unique_fd fd, std::uint64_t total, std::uint8_t seed, std::uint8_t peer_seed)
	    : fd_{std::move(fd)}, to_send_{total}, to_read_{total}, next_out_{seed}, next_in_{peer_seed}
	{
	}

	int fd() const { return fd_.get(); }
	bool done() const { return !to_send_ && !to_read_; }
	bool wants_out() const { return to_send_ != 0; }

	void send()
	{
		std::uint8_t chunk[1500];
		const auto most = std::min<std::uint64_t>(to_send_, sizeof(chunk));
		for (std::uint64_t i = 0; i < most; ++i)
			chunk[i] = static_cast<std::uint8_t>(next_out_ + i * 7);
		const auto n = ::write(fd_.get(), chunk, most);
		if (n < 0 && errno == EAGAIN)
			return;
		ASSERT_GT(n, 0);
		to_send_ -= static_cast<std::uint64_t>(n);
		next_out_ = static_cast<std::uint8_t>(next_out_ + n * 7);
	}

	void receive()
	{
		std::uint8_t chunk[1100];
		const auto n = ::read(fd_.get(), chunk, sizeof(chunk));
		if (n < 0 && errno == EAGAIN)
			return;
		ASSERT_GT(n, 0);
		for (ssize_t i = 0; i < n; ++i) {
			ASSERT_EQ(chunk[i], next_in_);
			next_in_ = static_cast<std::uint8_t>(next_in_ + 7);
		}
		to_read_ -= static_cast<std::uint64_t>(n);
	}

private:
	unique_fd fd_;
	std::uint64_t to_send_;
	std::uint64_t to_read_;
	std::uint8_t next_out_;
	std::uint8_t next_in_;
};

void run(bool edges)
{
	constexpr unsigned channels = 64;
	const auto total = amount("many_bytes", 100'000);
	std::map<int, std::unique_ptr<end>> ends;
	const unique_fd set{::epoll_create1(EPOLL_CLOEXEC)};
	for (unsigned c = 0; c < channels; ++c) {
		auto p = connect("many" + std::to_string(c));
		const auto seed = static_cast<std::uint8_t>(c * 3);
		for (auto *fd : {&p.a, &p.b}) {
			const bool first = fd == &p.a;
			const int number = fd->get();
			epoll_event e{EPOLLIN | EPOLLOUT | (edges ? EPOLLET | 0U : 0U), {.fd = number}};
			ASSERT_EQ(::epoll_ctl(set.get(), EPOLL_CTL_ADD, number, &e), 0);
			ends[number] = std::make_unique<end>(std::move(*fd), total,
			                                     static_cast<std::uint8_t>(seed + first),
			                                     static_cast<std::uint8_t>(seed + !first));
		}
	}
	std::size_t busy = ends.size();
	epoll_event events[32];
	while (busy) {
		const auto limit = static_cast<int>(std::chrono::milliseconds{patience}.count());
		const int n = ::epoll_wait(set.get(), events, 32, limit);
		ASSERT_GT(n, 0) << busy << " ends stand still";
		for (int i = 0; i < n; ++i) {
			auto &e = *ends.at(events[i].data.fd);
			const bool was_done = e.done(), had_out = e.wants_out();
			ASSERT_FALSE(events[i].events & (EPOLLERR | EPOLLHUP));
			// An edge comes once: take all that it announces.
			do {
				errno = 0;
				if (events[i].events & EPOLLIN)
					e.receive();
				if (::testing::Test::HasFatalFailure())
					return;
			} while (edges && (events[i].events & EPOLLIN) && errno != EAGAIN);
			do {
				errno = 0;
				if ((events[i].events & EPOLLOUT) && e.wants_out())
					e.send();
				if (::testing::Test::HasFatalFailure())
					return;
			} while (edges && (events[i].events & EPOLLOUT) && e.wants_out() && errno != EAGAIN);
			if (had_out && !e.wants_out() && !edges) {
				epoll_event only_in{EPOLLIN, {.fd = e.fd()}};
				ASSERT_EQ(::epoll_ctl(set.get(), EPOLL_CTL_MOD, e.fd(), &only_in), 0);
			}
			if (!was_done && e.done())
				--busy;
		}
	}
}

TEST(poll_many, channels_by_level)
{
	run(false);
}

TEST(poll_many, channels_by_edge)
{
	run(true);
}

} // namespace
