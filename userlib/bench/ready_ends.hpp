// SPDX-License-Identifier: MIT
// Many ends in one epoll, all of them ready at once.
#ifndef KVMCHAN_BENCH_READY_ENDS_HPP
#define KVMCHAN_BENCH_READY_ENDS_HPP

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel_ends.hpp"
#include "descriptor_ends.hpp"

namespace kvmchan::bench {

inline constexpr std::array<std::byte, 64> small_message{};

/** Waits for ends until each of @p count has been emptied; returns the seconds that it took. */
class ready_loop {
public:
	void watch(int fd, unsigned index)
	{
		epoll_event event{};

		event.events = EPOLLIN;
		event.data.u32 = index;
		if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event))
			throw std::system_error{errno, std::system_category(), "epoll"};
	}

	/** @p drain empties one end and returns how many messages it had. */
	template <typename Drain>
	double run(std::size_t count, Drain drain)
	{
		using clock = std::chrono::steady_clock;
		std::array<epoll_event, 64> events;
		const auto start = clock::now();

		for (std::size_t done = 0; done < count;) {
			const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);

			for (int i = 0; i < n; ++i)
				done += drain(events[static_cast<std::size_t>(i)].data.u32);
		}
		return std::chrono::duration<double>{clock::now() - start}.count();
	}

private:
	unique_fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
};

class ready_channels {
public:
	/** Of @p count channels so many are made ready, the first ones. */
	ready_channels(unsigned count, bool spin, unsigned ready, unsigned vectors = region_config{}.vectors)
		: region_{{channel_mode::stream, 4096, count, vectors}}, ready_{ready}
	{
		channel_options options;

		if (!spin)
			options.busy_poll = std::chrono::nanoseconds{0};
		for (unsigned i = 0; i < count; ++i) {
			writers_.push_back(region_.open(0, options, i));
			readers_.push_back(region_.open(1, options, i));
			connect(writers_.back(), readers_.back());
			readers_.back().non_blocking(true);
			loop_.watch(readers_.back().native_handle(), i);
			drain(i);
		}
	}

	void fill()
	{
		for (unsigned i = 0; i < ready_; ++i)
			writers_[i].write_all(small_message);
	}
	double empty()
	{
		return loop_.run(ready_, [this](unsigned index) { return drain(index); });
	}

private:
	std::size_t drain(unsigned index)
	{
		std::array<std::byte, 4096> buffer;
		std::size_t got = 0;

		for (;;) {
			std::error_code ec;
			const std::size_t n = readers_[index].read_some(buffer, ec);

			if (ec == std::errc::operation_would_block)
				return got / small_message.size();
			if (ec || !n)
				ended_early();
			got += n;
		}
	}

	served_region region_;
	unsigned ready_;
	ready_loop loop_;
	std::vector<channel> writers_, readers_;
};

class ready_descriptors {
public:
	template <typename Make>
	ready_descriptors(unsigned count, Make make)
	{
		for (unsigned i = 0; i < count; ++i) {
			pairs_.push_back(make());
			const int in = pairs_.back().b().in();

			::fcntl(in, F_SETFL, ::fcntl(in, F_GETFL) | O_NONBLOCK);
			loop_.watch(in, i);
		}
	}

	void fill()
	{
		for (descriptor_pair &pair : pairs_)
			pair.a().send(small_message);
	}
	double empty()
	{
		return loop_.run(pairs_.size(), [this](unsigned index) { return drain(index); });
	}

private:
	/* As channels are: until it would block. */
	std::size_t drain(unsigned index)
	{
		std::array<std::byte, 4096> buffer;
		std::size_t got = 0;

		for (;;) {
			const ssize_t n = ::read(pairs_[index].b().in(), buffer.data(), buffer.size());

			if (n <= 0)
				return got / small_message.size();
			got += static_cast<std::size_t>(n);
		}
	}

	ready_loop loop_;
	std::vector<descriptor_pair> pairs_;
};

} // namespace kvmchan::bench

#endif
