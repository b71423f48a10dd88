// SPDX-License-Identifier: MIT
#include "host_channel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>

#include "failure.hpp"

namespace kvmchan::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/*
 * How often a call that must not wait tries again because the peer moved while
 * it was about to give up. A peer that never rests does not keep it here: the
 * handle is left readable instead.
 */
constexpr unsigned tries_max = 4;

clock::time_point deadline_of(nanoseconds timeout) noexcept
{
	const auto now = clock::now();

	return timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
}

std::uint64_t kept_flags(const channel_options &options) noexcept
{
	return (options.write ? 0 : KVMCHAN_LINK_NO_WRITER) | (options.read ? 0 : KVMCHAN_LINK_NO_READER);
}

} // namespace

std::unique_ptr<channel_end> channel_end::open_host(std::shared_ptr<region> where, std::string_view name,
                                                    const channel_options &options)
{
	return std::make_unique<host_channel>(
		host_slot::claim(std::move(where), name, KVMCHAN_KIND_CHANNEL, options.side), options);
}

host_channel::host_channel(host_slot slot, const channel_options &options)
	: may_read_{options.read}, may_write_{options.write}, nonblocking_{options.nonblocking},
	  reader_spin_{options.busy_poll}
{
	if (!options.read && !options.write)
		fail(EINVAL, "channel: neither for reading nor for writing");
	link_ = std::make_unique<host_link>(std::move(slot), reader_.ring(), writer_.ring(), kept_flags(options));
	reader_.start(*link_, packet());
	writer_.start(*link_, packet());
	if (options.rx_lowat || options.tx_lowat) {
		const kvmchan_lowat marks{options.rx_lowat ? options.rx_lowat : reader_.lowat(),
		                          options.tx_lowat ? options.tx_lowat : writer_.lowat()};

		if (const int error = set_lowat(marks))
			fail(-error, error == -ENOTSUP ? "low-water marks: this is a packet channel"
			                               : "low-water marks: 1 to half the ring's size");
	}
}

wait_set *host_channel::set_of(sleeper who) noexcept
{
	if (sets_[who])
		return sets_[who].get();
	try {
		auto made = std::make_unique<wait_set>();

		link_->watch(*made);
		sets_[who] = std::move(made);
	} catch (const std::exception &) {
		return nullptr;
	}
	return sets_[who].get();
}

void host_channel::sleep(sleeper who, nanoseconds limit) noexcept
{
	const nanoseconds poll = paces_[who].next(link_->source());
	const bool poll_first = poll.count() > 0 && (limit.count() < 0 || poll < limit);

	if (sets_[who]->sleep(poll_first ? poll : limit))
		count(link_->counters().interrupts);
}

/*
 * The order that loses no wake-up, here and where a call sleeps: take the edges
 * that are there; arm, and look once more; sleep (or say that it would block).
 * What happens before the look is seen by it, what happens after it is an edge.
 */
template <typename Arm>
ssize_t host_channel::would_block(direction which, Arm arm) noexcept
{
	ready_handle *const handle = handle_.load(std::memory_order_acquire);

	if (handle)
		handle->settle(which);
	if (const int armed = arm())
		return armed < 0 ? armed : 0;
	if (handle)
		handle->poll_in(handle_pace_.next(link_->source()));
	return -EAGAIN;
}

/*
 * @p attempt does the work or returns -EAGAIN; @p spin looks for a while and
 * says whether it saw something; @p arm asks for a wake-up and returns 1 when
 * it is worth another attempt.
 */
template <typename Try, typename Spin, typename Arm>
ssize_t host_channel::run(direction which, Try attempt, Spin spin, Arm arm) noexcept
{
	const sleeper who = which == direction::rx ? sleeping_reader : sleeping_writer;
	bool woken = false;

	for (unsigned tries = 0;; ++tries) {
		const ssize_t done = attempt();

		if (done != -EAGAIN) {
			paces_[who].reset();
			handle_pace_.reset();
			if (ready_handle *const handle = handle_.load(std::memory_order_acquire))
				handle->progress(which);
			return done;
		}
		if (woken)
			count(link_->counters().empty_interrupts);
		woken = false;
		if (spin())
			continue;
		if (nonblocking()) {
			if (const ssize_t error = would_block(which, arm))
				return error;
			if (tries < tries_max)
				continue;
			if (ready_handle *const handle = handle_.load(std::memory_order_acquire))
				handle->raise();
			return -EAGAIN;
		}
		wait_set *const set = set_of(who);

		if (!set)
			return -EMFILE;
		set->take();
		if (const int armed = arm()) {
			if (armed < 0)
				return armed;
			continue;
		}
		sleep(who, no_limit);
		woken = true;
	}
}

/* Not armed, so that the peer does not ring meanwhile. */
bool host_channel::spin_for(std::uint64_t least) noexcept
{
	return reader_.live() && reader_spin_([&] { return reader_.came(least); });
}

ssize_t host_channel::read(std::span<std::byte> to) noexcept
{
	if (!may_read_)
		return -EBADF;
	if (to.empty())
		return 0;
	if (packet()) {
		std::size_t length = 0;
		const int got = recv(to, length);

		return got <= 0 ? got : static_cast<ssize_t>(std::min(length, to.size()));
	}
	/* Who does not wait takes what there is; who waits, waits for the mark. */
	const auto mark = [&] { return std::min<std::uint64_t>(reader_.lowat(), to.size()); };

	return run(
		direction::rx, [&] { return reader_.take(to, nonblocking() ? 1 : mark()); },
		[&] { return spin_for(nonblocking() ? 1 : mark()); },
		[&] { return reader_.arm(nonblocking() ? reader_.lowat() : mark()); });
}

int host_channel::recv(std::span<std::byte> to, std::size_t &length) noexcept
{
	length = 0;
	if (!may_read_)
		return -EBADF;
	if (!packet())
		return -ENOTSUP;
	if (to.empty())
		return -EINVAL;
	return static_cast<int>(run(
		direction::rx, [&] { return reader_.take_record(to, length); }, [&] { return spin_for(1); },
		[&] { return reader_.arm(1); }));
}

ssize_t host_channel::write(std::span<const std::byte> from) noexcept
{
	if (!may_write_)
		return -EBADF;
	if (from.empty())
		return 0;
	/* Room comes by half a ring at a time: far too seldom to look for it. */
	return run(
		direction::tx, [&] { return packet() ? writer_.put_record(from) : writer_.put(from); },
		[] { return false; }, [&] { return writer_.arm(writer_.wanted()); });
}

int host_channel::send(std::span<const std::byte> record) noexcept
{
	if (!packet())
		return may_write_ ? -ENOTSUP : -EBADF;
	if (record.empty())
		return -EINVAL;
	const ssize_t sent = write(record);

	return sent < 0 ? static_cast<int>(sent) : 0;
}

/* What is there of @p interest, without arming. */
int host_channel::find_events(event_mask interest) noexcept
{
	const kvmchan_state state = link_->state();
	event_mask found = 0;

	if ((interest & event_readable) && may_read_ && reader_.probe(packet() ? 1 : reader_.lowat()))
		found |= event_readable;
	if ((interest & event_writable) && may_write_ && writer_.probe(writer_.wanted()))
		found |= event_writable;
	if (state == KVMCHAN_STATE_DISCONNECTED || state == KVMCHAN_STATE_BROKEN)
		found |= event_hangup;
	return static_cast<int>(found);
}

int host_channel::arm_events(event_mask interest) noexcept
{
	int ready = 0;

	if ((interest & event_readable) && may_read_)
		ready |= reader_.arm(packet() ? 1 : reader_.lowat());
	if ((interest & event_writable) && may_write_)
		ready |= writer_.arm(writer_.wanted());
	return ready;
}

int host_channel::wait(event_mask interest, nanoseconds timeout) noexcept
{
	const bool reads = interest == event_readable;
	const sleeper who = reads ? sleeping_reader : interest == event_writable ? sleeping_writer : sleeping_both;
	const auto deadline = deadline_of(timeout);
	wait_set *const set = set_of(who);

	if (!set)
		return -EMFILE;
	for (;;) {
		if (const int found = find_events(interest))
			return found;
		const nanoseconds left = timeout.count() < 0 ? no_limit : deadline - clock::now();

		if (timeout.count() >= 0 && left.count() <= 0)
			return 0;
		if (reads && spin_for(packet() ? 1 : reader_.lowat()))
			continue;
		set->take();
		if (arm_events(interest) || find_events(0))
			continue;
		sleep(who, left);
	}
}

int host_channel::native_handle() noexcept
{
	const std::lock_guard lock{handle_mutex_};

	if (handle_owner_)
		return handle_owner_->fd();
	try {
		auto made = std::make_unique<ready_handle>(true);

		link_->watch(made->set());
		handle_owner_ = std::move(made);
	} catch (const std::system_error &error) {
		return -error.code().value();
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	handle_.store(handle_owner_.get(), std::memory_order_release);
	return handle_owner_->fd();
}

int host_channel::device_handle() const noexcept
{
	return -ENODEV;
}

int host_channel::set_nonblocking(bool on) noexcept
{
	nonblocking_.store(on, std::memory_order_relaxed);
	return 0;
}

int host_channel::info(kvmchan_info &out) noexcept
{
	const host_slot &slot = link_->slot();
	region_bells *const bells = slot.where().bells();
	const std::uint64_t bell = kvmchan_load(&slot.peer_session()->bell);
	const auto snapshot = slot.where().snapshot();

	out = {};
	static_assert(sizeof(out.name) == sizeof(slot.slot().name));
	std::memcpy(out.name, slot.slot().name, sizeof(out.name));
	out.kind = slot.slot().kind;
	out.mode = slot.slot().mode;
	out.side = slot.side();
	out.state = link_->state();
	out.peer = bell & KVMCHAN_BELL_RINGABLE ? kvmchan_bell_peer(bell) : KVMCHAN_PEER_ANY;
	out.vector = bells ? slot.vector() : KVMCHAN_PEER_ANY;
	out.rx_size = reader_.size();
	out.tx_size = writer_.size();
	out.max_record = writer_.max_record();
	out.rx_ready = reader_.ready();
	out.tx_space = writer_.space();
	std::memcpy(out.incarnation, snapshot->superblock().incarnation, sizeof(out.incarnation));
	return 0;
}

int host_channel::shutdown(int how) noexcept
{
	const bool read = how == SHUT_RD || how == SHUT_RDWR;
	const bool write = how == SHUT_WR || how == SHUT_RDWR;

	if (!read && !write)
		return -EINVAL;
	if ((read && !may_read_) || (write && !may_write_))
		return -EBADF;
	link_->add_flags((read ? KVMCHAN_LINK_NO_READER : 0) | (write ? KVMCHAN_LINK_NO_WRITER : 0));
	return 0;
}

int host_channel::reconnect() noexcept
{
	const int error = link_->reopen(reader_.ring(), writer_.ring());

	if (error)
		return error;
	reader_.reset();
	writer_.reset();
	return 0;
}

int host_channel::lowat(kvmchan_lowat &out) noexcept
{
	if (packet())
		return -ENOTSUP;
	out = {reader_.lowat(), writer_.lowat()};
	return 0;
}

int host_channel::set_lowat(const kvmchan_lowat &marks) noexcept
{
	if (packet())
		return -ENOTSUP;
	if (!marks.rx || !marks.tx || marks.rx > reader_.size() / 2 || marks.tx > writer_.size() / 2)
		return -ERANGE;
	reader_.set_lowat(marks.rx);
	writer_.set_lowat(marks.tx);
	/* Who sleeps has armed for the old marks. */
	link_->wake();
	return 0;
}

int host_channel::counters(channel_counters &out) noexcept
{
	const host_counters &from = link_->counters();
	const auto value = [](const std::atomic<std::uint64_t> &counter) {
		return counter.load(std::memory_order_relaxed);
	};

	out = {value(from.rx_bytes),   value(from.tx_bytes),       value(from.rx_records),
	       value(from.tx_records), value(from.doorbells_sent), value(from.doorbells_suppressed),
	       value(from.interrupts), value(from.empty_interrupts), value(from.ring_full),
	       value(from.protocol_errors)};
	return 0;
}

} // namespace kvmchan::detail
