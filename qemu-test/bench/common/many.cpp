// SPDX-License-Identifier: MIT
#include "many.hpp"

#include "buffer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <sys/epoll.h>

namespace bench {

namespace {

/* Bytes after which the next channel has its turn. */
constexpr std::size_t turn = 64 * 1024;
/* Only for who looks at the control words in between. */
constexpr int patience_ms = 5;

} // namespace

void many_channels::resize(std::size_t count)
{
	if (!epoll_)
		epoll_ = kvmchan::unique_fd{::epoll_create1(EPOLL_CLOEXEC)};
	while (channels_.size() > count)
		channels_.pop_back();
	while (channels_.size() < count) {
		auto &channel = channels_.emplace_back(open_(channels_.size()));
		channel.non_blocking(true);
		epoll_event interest{.events = EPOLLIN | EPOLLET, .data = {.u64 = channels_.size() - 1}};
		if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel.native_handle(), &interest) != 0)
			throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
	}
	ready_.clear();
	for (std::size_t i = 0; i < count; ++i)
		ready_.push_back(i);
	is_ready_.assign(count, true);
}

void many_channels::wait(bool idle)
{
	std::array<epoll_event, 64> events;
	const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), idle ? patience_ms : 0);
	for (int i = 0; i < n; ++i) {
		const auto index = static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64);
		if (!is_ready_[index]) {
			is_ready_[index] = true;
			ready_.push_back(index);
		}
	}
}

void many_channels::run(const mover &move, const std::function<bool()> &over)
{
	// What came while nobody looked has no edge any more.
	resize(channels_.size());
	while (!over()) {
		std::vector<std::size_t> still;
		for (const auto index : ready_) {
			is_ready_[index] = move(channels_[index]);
			if (is_ready_[index])
				still.push_back(index);
		}
		ready_ = std::move(still);
		wait(ready_.empty());
	}
}

void many_channels::source(std::size_t message, std::size_t offset, control &words)
{
	const buffer bytes{message, offset};
	std::uint64_t total = 0;
	run(
		[&](kvmchan::channel &channel) {
			std::error_code ec;
			for (std::size_t moved = 0; moved < turn;) {
				const auto n = channel.write_some(bytes.bytes(), ec);
				if (ec == std::errc::operation_would_block)
					return false;
				if (ec)
					throw std::system_error{ec, "write"};
				moved += n;
				total += n;
			}
			return true;
		},
		[&] { return words.stop.load(std::memory_order_relaxed) != 0; });
	words.sent.store(total);
}

void many_channels::sink(std::size_t room, std::size_t offset, control &words)
{
	const buffer bytes{std::max(room, turn), offset};
	std::uint64_t total = 0;
	run(
		[&](kvmchan::channel &channel) {
			std::error_code ec;
			const auto n = channel.read_some(bytes.bytes(), ec);
			if (ec == std::errc::operation_would_block)
				return false;
			if (ec || n == 0)
				throw std::system_error{ec, "read from one of many channels"};
			words.received.store(total += n, std::memory_order_release);
			return true;
		},
		[&] { return words.stop.load(std::memory_order_relaxed) != 0 && words.sent.load() == total; });
}

} // namespace bench
