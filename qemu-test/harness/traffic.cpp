// SPDX-License-Identifier: MIT
#include "traffic.hpp"

#include "error.hpp"
#include "unique_fd.hpp"

#include <fmt/core.h>

#include <cerrno>

#include <sys/epoll.h>

namespace harness {

namespace {

bool would_block(const std::error_code &ec)
{
	return ec == std::errc::operation_would_block || ec == std::errc::resource_unavailable_try_again;
}

} // namespace

echoed_traffic::echoed_traffic(const kvmchan::region &where, const std::string &name, const traffic_plan &plan)
	: channel_{where, name, {.non_blocking = true, .side = {}, .busy_poll = plan.busy_poll}}, plan_{plan}, pattern_{plan.seed},
	  packet_{channel_.mode() == kvmchan::channel_mode::packet}, random_{plan.seed}
{
	if (packet_)
		plan_.largest = std::min(plan_.largest, channel_.max_record());
	out_.resize(plan_.largest);
	in_.resize(plan_.largest);
}

/* Both ends of the check need it: records keep their lengths. */
std::size_t echoed_traffic::record_length(std::uint64_t index) const
{
	std::uint32_t draw = 0;
	pattern{~plan_.seed}.fill(index * sizeof draw, std::as_writable_bytes(std::span{&draw, 1}));
	return 1 + draw % plan_.largest;
}

bool echoed_traffic::send()
{
	if (out_begin_ == out_end_) {
		if (sent_ >= plan_.bytes) {
			if (!shut_)
				channel_.shutdown_write();
			shut_ = true;
			return false;
		}
		std::uniform_int_distribution<std::size_t> size{1, plan_.largest};
		out_begin_ = 0;
		out_end_ = packet_ ? record_length(records_sent_)
		                   : std::min<std::uint64_t>(size(random_), plan_.bytes - sent_);
		pattern_.fill(sent_, std::span{out_}.first(out_end_));
	}
	const auto rest = std::span<const std::byte>{out_}.subspan(out_begin_, out_end_ - out_begin_);
	std::error_code ec;
	const auto n = channel_.write_some(rest, ec);
	if (would_block(ec))
		return false;
	if (ec)
		throw std::system_error{ec, fmt::format("write after {} bytes", sent_)};
	sent_ += n;
	out_begin_ += n;
	records_sent_ += packet_;
	return true;
}

bool echoed_traffic::receive()
{
	std::uniform_int_distribution<std::size_t> size{1, in_.size()};
	const auto room = std::span{in_}.first(packet_ ? in_.size() : size(random_));
	std::error_code ec;
	const auto n = channel_.read_some(room, ec);
	if (would_block(ec))
		return false;
	if (ec)
		throw std::system_error{ec, fmt::format("read after {} bytes", received_)};
	if (n == 0) {
		if (received_ != sent_ || !shut_)
			throw error{fmt::format("the end came after {} bytes of {}", received_, sent_)};
		over_ = true;
		return false;
	}
	if (packet_ && n != record_length(records_received_++))
		throw error{fmt::format("record {} came with {} bytes", records_received_ - 1, n)};
	if (const auto where = pattern_.mismatch(received_, room.first(n)))
		throw error{fmt::format("wrong byte at {}", *where)};
	received_ += n;
	return true;
}

bool echoed_traffic::run()
{
	bool more = true;
	while (more && !over_) {
		// Both are tried each time: neither direction may starve the other.
		more = send();
		more = receive() || more;
	}
	return over_;
}

void run_all(std::vector<std::unique_ptr<echoed_traffic>> &all, milliseconds limit)
{
	const kvmchan::unique_fd poller{epoll_create1(EPOLL_CLOEXEC)};
	for (std::size_t i = 0; i < all.size(); ++i) {
		epoll_event want{};
		want.events = EPOLLIN | EPOLLET;
		want.data.u64 = i;
		if (epoll_ctl(poller.get(), EPOLL_CTL_ADD, all[i]->handle(), &want) != 0)
			throw std::system_error{errno, std::system_category(), "epoll_ctl"};
		all[i]->run();
	}
	const auto deadline = deadline_after(limit);
	for (std::size_t left = all.size(); left > 0;) {
		epoll_event ready[16];
		const int n = epoll_wait(poller.get(), ready, 16, 1000);
		for (int i = 0; i < n; ++i) {
			auto &one = *all[ready[i].data.u64];
			if (!one.run())
				continue;
			epoll_ctl(poller.get(), EPOLL_CTL_DEL, one.handle(), nullptr);
			--left;
		}
		if (clock::now() < deadline)
			continue;
		std::string how;
		for (const auto &one : all)
			how += fmt::format("{}: {} sent, {} received\n", one->channel().name(), one->sent(),
			                   one->received());
		throw deadline_error{"traffic does not end\n" + how};
	}
}

} // namespace harness
