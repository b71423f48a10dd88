// SPDX-License-Identifier: MIT
#include "wait_set.hpp"

#include <array>
#include <cerrno>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "doorbell.hpp"
#include "failure.hpp"

namespace kvmchan::detail {
namespace {

/* What an event is of: the kind above, the descriptor below. */
constexpr std::uint64_t tag_doorbell = std::uint64_t{1} << 32;
constexpr std::uint64_t tag_other = std::uint64_t{2} << 32;
constexpr std::uint64_t tag_again = std::uint64_t{3} << 32;
constexpr std::uint64_t tag_mask = std::uint64_t{0xff} << 32;

timespec to_timespec(std::chrono::nanoseconds time) noexcept
{
	const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);

	return {static_cast<time_t>(seconds.count()), static_cast<long>((time - seconds).count())};
}

} // namespace

wait_set::wait_set()
	: epoll_{::epoll_create1(EPOLL_CLOEXEC)}
{
	if (!epoll_)
		fail(errno, "epoll instance");
}

void wait_set::add(int fd, std::uint32_t events, std::uint64_t tag)
{
	epoll_event event{};

	event.events = events | EPOLLET;
	event.data.u64 = tag | static_cast<std::uint32_t>(fd);
	if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
		fail(errno, "epoll_ctl");
}

void wait_set::add_doorbell(int fd)
{
	add(fd, EPOLLIN | EPOLLOUT, tag_doorbell);
}

void wait_set::add_device(int fd)
{
	add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, tag_other);
}

void wait_set::add_again(int fd)
{
	add(fd, EPOLLIN, tag_again);
}

void wait_set::add_timer()
{
	timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	if (!timer_)
		fail(errno, "timerfd");
	add(timer_.get(), EPOLLIN, tag_other);
}

wake_ups wait_set::take() noexcept
{
	std::array<epoll_event, 16> events;
	wake_ups taken;
	/* More edges than descriptors can only be new ones: they may stay. */
	const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);

	for (int i = 0; i < n; ++i) {
		const epoll_event &event = events[static_cast<std::size_t>(i)];
		const auto fd = static_cast<int>(static_cast<std::uint32_t>(event.data.u64));
		const std::uint64_t tag = event.data.u64 & tag_mask;

		/* An eventfd is added writable and unread: that first edge is none. */
		const bool something = tag == tag_other || (event.events & (EPOLLIN | EPOLLERR));

		if (something)
			(tag == tag_again ? taken.again : taken.real) = true;
		if (tag == tag_doorbell && !(event.events & EPOLLOUT)) {
			drain_doorbell(fd);
			ring_doorbell(fd);
		}
	}
	return taken;
}

void wait_set::poll_in(std::chrono::nanoseconds delay) noexcept
{
	itimerspec spec{};

	spec.it_value = to_timespec(delay);
	::timerfd_settime(timer_.get(), 0, &spec, nullptr);
}

bool wait_set::sleep(std::chrono::nanoseconds delay) noexcept
{
	pollfd entry{epoll_.get(), POLLIN, 0};
	const timespec limit = to_timespec(delay);

	/*
	 * A signal ends this like a wake-up does: the caller looks, and comes back
	 * with what is left of its time.
	 */
	return ::ppoll(&entry, 1, delay.count() < 0 ? nullptr : &limit, nullptr) != 0;
}

} // namespace kvmchan::detail
