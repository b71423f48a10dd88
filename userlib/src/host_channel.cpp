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
	: ring_channel{options.nonblocking, options.busy_poll}, may_read_{options.read}, may_write_{options.write}
{
	const std::span<const std::byte> read_here = slot.data(1 - slot.side());
	const std::span<std::byte> written_here = slot.data(slot.side());

	if (!options.read && !options.write)
		fail(EINVAL, "channel: neither for reading nor for writing");
	link_ = std::make_unique<host_link>(std::move(slot), reader_.ring(), writer_.ring(), kept_flags(options));
	reader_.start(*link_, read_here, packet());
	writer_.start(*link_, written_here, packet());
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

void host_channel::sleep_in(sleeper who, nanoseconds limit) noexcept
{
	const nanoseconds poll = paces_[who].next(link_->source());
	const bool poll_first = poll.count() > 0 && (limit.count() < 0 || poll < limit);

	if (sets_[who]->sleep(poll_first ? poll : limit))
		count(link_->counters().interrupts);
}

int host_channel::settle_to_sleep(direction which) noexcept
{
	wait_set *const set = set_of(sleeper_of(which));

	if (!set)
		return -EMFILE;
	set->take();
	return 0;
}

int host_channel::sleep(direction which, std::uint64_t) noexcept
{
	sleep_in(sleeper_of(which), no_limit);
	return 0;
}

void host_channel::moved(direction which) noexcept
{
	paces_[sleeper_of(which)].reset();
	handle_pace_.reset();
}

void host_channel::time_handle(ready_handle &handle) noexcept
{
	handle.poll_in(handle_pace_.next(link_->source()));
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
	return ring_read(to);
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
	return ring_recv(to, length);
}

ssize_t host_channel::write(std::span<const std::byte> from) noexcept
{
	if (!may_write_)
		return -EBADF;
	return from.empty() ? 0 : ring_write(from);
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

ssize_t host_channel::send_many(std::span<const iovec> records) noexcept
{
	if (!may_write_)
		return -EBADF;
	return packet() ? ring_send_many(records) : -ENOTSUP;
}

ssize_t host_channel::recv_many(std::span<iovec> records) noexcept
{
	if (!may_read_)
		return -EBADF;
	if (!packet())
		return -ENOTSUP;
	return records.empty() ? -EINVAL : ring_recv_many(records);
}

/* Maps the ring that side @p side writes two times in a row. */
std::error_code host_channel::show_ring(ring_view &view, unsigned side) noexcept
{
	const kvmchan_slot &slot = link_->slot().slot();
	region &where = link_->slot().where();
	std::error_code ec;
	ring_view made{where.fd(), slot.data[side], slot.data_size[side], side == link_->slot().side(), ec};

	if (!ec && where.guarded())
		made.guard(link_->error_word(), ec);
	if (!ec)
		view = std::move(made);
	return ec;
}

int host_channel::wait_reserve(std::size_t least, std::span<std::byte> &window) noexcept
{
	if (!may_write_)
		return -EBADF;
	if (!tx_) {
		if (const std::error_code ec = show_ring(tx_view_, link_->slot().side()))
			return -ec.value();
		writer_.show(tx_view_.bytes());
		tx_ = &writer_;
	}
	return ring_reserve(least, window);
}

int host_channel::wait_peek(std::size_t least, std::span<const std::byte> &window) noexcept
{
	if (!may_read_)
		return -EBADF;
	if (!rx_) {
		if (const std::error_code ec = show_ring(rx_view_, 1 - link_->slot().side()))
			return -ec.value();
		reader_.show(rx_view_.bytes());
		rx_ = &reader_;
	}
	return ring_peek(least, window);
}

/* What is there of @p interest, without arming. */
int host_channel::find_events(event_mask interest) noexcept
{
	const kvmchan_state state = link_->state();
	event_mask found = 0;

	if ((interest & event_readable) && may_read_ && reader_.probe(reader_.wanted()))
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
		ready |= reader_.arm(reader_.wanted());
	if ((interest & event_writable) && may_write_)
		ready |= writer_.arm(writer_.wanted());
	return ready;
}

int host_channel::wait(event_mask interest, nanoseconds timeout) noexcept
{
	const bool reads = interest == event_readable;
	const sleeper who = reads ? sleeping_reader : interest == event_writable ? sleeping_writer : sleeping_both;
	const auto deadline = deadline_of(timeout);
	const auto left = [&] {
		return timeout.count() < 0 ? no_limit : std::max(nanoseconds{deadline - clock::now()}, nanoseconds{0});
	};
	wait_set *const set = set_of(who);

	if (!set)
		return -EMFILE;
	for (;;) {
		if (const int found = find_events(interest))
			return found;
		if (left().count() == 0)
			return 0;
		if (reads && spin_for(reader_.wanted(), left()))
			continue;
		set->take();
		if (arm_events(interest) || find_events(0))
			continue;
		sleep_in(who, left());
	}
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
	const direction_counters &rx = reader_.counters(), &tx = writer_.counters();
	const link_counters &both = link_->counters();

	out.rx_bytes = value(rx.bytes);
	out.tx_bytes = value(tx.bytes);
	out.rx_records = value(rx.records);
	out.tx_records = value(tx.records);
	out.doorbells_sent = value(rx.doorbells_sent) + value(tx.doorbells_sent) + value(both.doorbells_sent);
	out.doorbells_suppressed = value(rx.doorbells_suppressed) + value(tx.doorbells_suppressed);
	out.interrupts = value(both.interrupts);
	out.empty_interrupts = value(both.empty_interrupts);
	out.ring_full = value(tx.ring_full);
	out.protocol_errors = value(both.protocol_errors);
	return 0;
}

} // namespace kvmchan::detail
