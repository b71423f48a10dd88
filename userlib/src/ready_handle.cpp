// SPDX-License-Identifier: MIT
#include "ready_handle.hpp"

#include "doorbell.hpp"

namespace kvmchan::detail {

ready_handle::ready_handle(bool with_timer)
{
	std::error_code ec;

	again_ = make_doorbell(ec);
	if (ec)
		throw std::system_error{ec, "eventfd"};
	if (with_timer)
		set_.add_timer();
	set_.add_again(again_.get());
	/* Whoever begins to watch has not looked yet. */
	raise();
	there_.fetch_add(1, std::memory_order_relaxed);
}

void ready_handle::settle(direction which) noexcept
{
	const auto mine = static_cast<unsigned>(which);
	const unsigned other = 1 - mine;
	const std::lock_guard lock{mutex_};
	const wake_ups taken = set_.take();

	if (taken.real) {
		++edges_;
		raises_ = 0;
	}
	seen_[mine] = edges_;
	waiting_[mine] = true;
	if ((taken.real || taken.again) && waiting_[other] && seen_[other] != edges_ && raises_ < raises_max) {
		++raises_;
		raise();
	}
}

void ready_handle::progress(direction which) noexcept
{
	const std::lock_guard lock{mutex_};

	waiting_[static_cast<unsigned>(which)] = false;
}

void ready_handle::raise() noexcept
{
	ring_doorbell(again_.get());
}

void ready_handle::poll_in(std::chrono::nanoseconds delay) noexcept
{
	const std::lock_guard lock{mutex_};

	/* Where the peer rings the timer is off, and stays off. */
	if (!delay.count() && !timed_)
		return;
	timed_ = delay.count() != 0;
	set_.poll_in(delay);
}

} // namespace kvmchan::detail
