// SPDX-License-Identifier: MIT
#include "ring_channel.hpp"

#include <algorithm>
#include <cerrno>

namespace kvmchan::detail {
namespace {

/*
 * How often a call that must not wait tries again because the peer moved while
 * it was about to give up. A peer that never rests does not keep it here: the
 * handle is left readable instead.
 */
constexpr unsigned tries_max = 4;

} // namespace

int ring_channel::arm(direction which, std::uint64_t want) noexcept
{
	return which == direction::rx ? reader_.arm(want) : writer_.arm(want);
}

/* Whoever was woken may have been woken for the session's sake. */
void ring_channel::doubt(direction which) noexcept
{
	which == direction::rx ? reader_.doubt() : writer_.doubt();
}

/*
 * The order that loses no wake-up, here and where a call sleeps: take the edges
 * that are there; arm, and look once more; sleep (or say that it would block).
 * What happens before the look is seen by it, what happens after it is an edge.
 */
ssize_t ring_channel::would_block(direction which, std::uint64_t want) noexcept
{
	ready_handle *const waiter = handle();

	quick(which) = false;
	if (waiter)
		waiter->settle(which);
	if (const int armed = arm(which, want))
		return armed < 0 ? armed : 0;
	if (waiter)
		time_handle(*waiter);
	return -EAGAIN;
}

/*
 * @p attempt does the work or returns -EAGAIN; @p spin looks for a while and
 * says whether it saw something; @p wanted is what a wake-up is asked for.
 */
template <typename Try, typename Spin, typename Wanted>
ssize_t ring_channel::run(direction which, Try attempt, Spin spin, Wanted wanted) noexcept
{
	bool woken = false;

	for (unsigned tries = 0;; ++tries) {
		const ssize_t done = attempt();

		if (done != -EAGAIN) {
			moved(which);
			if (ready_handle *const waiter = handle())
				waiter->progress(which);
			quick(which) = which == direction::rx ? rx_ != nullptr : tx_ != nullptr;
			return done;
		}
		if (woken)
			count(link().counters().empty_interrupts);
		woken = false;
		if (spin())
			continue;
		if (nonblocking()) {
			if (const ssize_t error = would_block(which, wanted()))
				return error;
			if (tries < tries_max)
				continue;
			if (ready_handle *const waiter = handle())
				waiter->raise();
			return -EAGAIN;
		}
		if (const int error = settle_to_sleep(which))
			return error;
		/* Where the driver arms, it does so before it lets us sleep. */
		if (const int armed = link().arms() ? arm(which, wanted()) : 0) {
			if (armed < 0)
				return armed;
			continue;
		}
		if (const int error = sleep(which, wanted()))
			return error;
		doubt(which);
		woken = true;
	}
}

/*
 * Whoever looks has not armed, so that the peer does not ring meanwhile. Who
 * sleeps is woken when half the ring is free; who looks goes on with less.
 */
bool ring_channel::spin_for_room(std::uint64_t room) noexcept
{
	return !nonblocking() && writer_.live() && writer_spin_([&] { return writer_.came(room); });
}

/*
 * A read that must not wait holds an event loop up, which may have other channels
 * to go to. One that is all by itself will sleep next, and so it may look before.
 */
bool ring_channel::may_look() const noexcept
{
	return !nonblocking() || (handle() && ready_handle::is_the_only_one());
}

bool ring_channel::spin_for(std::uint64_t least, std::chrono::nanoseconds limit) noexcept
{
	const auto most = limit.count() < 0 ? std::chrono::nanoseconds::max() : limit;

	return reader_.live() && reader_spin_([&] { return reader_.came(least); }, most);
}

ssize_t ring_channel::ring_read(std::span<std::byte> to) noexcept
{
	/* Who does not wait takes what there is; who waits, waits for the mark. */
	const auto mark = [&] { return std::min<std::uint64_t>(reader_.lowat(), to.size()); };

	return run(
		direction::rx, [&] { return reader_.take(to, nonblocking() ? 1 : mark()); },
		[&] { return may_look() && spin_for(nonblocking() ? 1 : mark()); },
		[&] { return nonblocking() ? reader_.lowat() : mark(); });
}

int ring_channel::ring_recv(std::span<std::byte> to, std::size_t &length) noexcept
{
	return static_cast<int>(run(
		direction::rx, [&] { return reader_.take_record(to, length); },
		[&] { return may_look() && spin_for(1); },
		[] { return std::uint64_t{1}; }));
}

ssize_t ring_channel::ring_recv_many(std::span<iovec> records) noexcept
{
	return run(
		direction::rx, [&] { return reader_.take_records(records); },
		[&] { return may_look() && spin_for(1); },
		[] { return std::uint64_t{1}; });
}

int ring_channel::ring_peek(std::size_t least, std::span<const std::byte> &window) noexcept
{
	const std::uint64_t need = reader_.packet() ? 1 : std::max<std::size_t>(least, 1);

	/* Who asks by wait() or by the handle afterwards, waits for the mark, too. */
	return static_cast<int>(run(
		direction::rx, [&] { return reader_.peek(least, window); },
		[&] { return may_look() && spin_for(need); },
		[&] { return nonblocking() ? reader_.wanted() : need; }));
}

ssize_t ring_channel::ring_write(std::span<const std::byte> from) noexcept
{
	return run(
		direction::tx, [&] { return writer_.packet() ? writer_.put_record(from) : writer_.put(from); },
		[&] { return spin_for_room(writer_.useful_room(from.size())); }, [&] { return writer_.wanted(); });
}

ssize_t ring_channel::ring_send_many(std::span<const iovec> records) noexcept
{
	return run(
		direction::tx, [&] { return writer_.put_records(records); },
		[&] { return spin_for_room(writer_.useful_room(records.front().iov_len)); },
		[&] { return writer_.wanted(); });
}

int ring_channel::ring_reserve(std::size_t least, std::span<std::byte> &window) noexcept
{
	return static_cast<int>(run(
		direction::tx, [&] { return writer_.reserve(least, window); },
		[&] { return spin_for_room(writer_.space_of(std::max<std::size_t>(least, 1))); },
		[&] { return writer_.wanted(); }));
}

int ring_channel::native_handle() noexcept
{
	const std::lock_guard lock{handle_mutex_};

	if (handle_owner_)
		return handle_owner_->fd();
	try {
		auto made = std::make_unique<ready_handle>(handle_needs_timer());

		watch(made->set());
		handle_owner_ = std::move(made);
	} catch (const std::system_error &error) {
		return -error.code().value();
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	handle_.store(handle_owner_.get(), std::memory_order_release);
	return handle_owner_->fd();
}

} // namespace kvmchan::detail
