// SPDX-License-Identifier: MIT
#include "host_reader.hpp"

#include <algorithm>
#include <cerrno>

#include "ring_copy.hpp"

namespace kvmchan::detail {
namespace {

constexpr std::uint64_t head_size = sizeof(kvmchan_record);

} // namespace

void host_reader::start(host_link &link, bool packet) noexcept
{
	link_ = &link;
	packet_ = packet;
	data_ = link.slot().data(1 - link.slot().side());
}

void host_reader::reset() noexcept
{
	live_.store(false, std::memory_order_relaxed);
}

int host_reader::refresh() noexcept
{
	return kvmchan_rx_refresh(&ring_) ? link_->broken() : 0;
}

void host_reader::commit(std::uint64_t length) noexcept
{
	link_->kick(kvmchan_rx_commit(&ring_, length));
	cons_.store(ring_.cons, std::memory_order_relaxed);
}

/*
 * The ring has less than @p least. Looks at the session, then at the ring once
 * more. Returns 0 when there is something to take, -EAGAIN, or an error;
 * @p last_look means that no more will come, so that 0 may find nothing.
 */
ssize_t host_reader::nothing(std::uint64_t least, bool &last_look) noexcept
{
	const unsigned todo = link_->sync_rx(ring_);

	live_.store(ring_.live, std::memory_order_relaxed);
	cons_.store(ring_.cons, std::memory_order_relaxed);
	if (link_->error())
		return -link_->error();
	if (const int error = refresh())
		return error;
	last_look = (todo & KVMCHAN_END) || (link_->flags() & KVMCHAN_LINK_NO_READER);
	return last_look || kvmchan_rx_used(&ring_) >= least ? 0 : -EAGAIN;
}

ssize_t host_reader::take(std::span<std::byte> to, std::uint64_t least) noexcept
{
	bool last_look = false;

	if (link_->error())
		return -link_->error();
	if (link_->flags() & KVMCHAN_LINK_NO_READER)
		return 0;
	if (const int error = refresh())
		return error;
	if (kvmchan_rx_used(&ring_) < least)
		if (const ssize_t error = nothing(least, last_look))
			return error;
	return copy(to);
}

ssize_t host_reader::copy(std::span<std::byte> to) noexcept
{
	std::size_t done = 0;

	while (done < to.size()) {
		kvmchan_window window;

		/* What was there is used up: look whether more came meanwhile. */
		if (!kvmchan_rx_used(&ring_) && (refresh() || !kvmchan_rx_used(&ring_)))
			break;
		const std::size_t n = std::min({std::size_t{kvmchan_rx_used(&ring_)}, to.size() - done, copy_chunk});

		kvmchan_rx_window(&ring_, 0, n, &window);
		copy_out(data_, window, to.data() + done);
		commit(n);
		done += n;
	}
	count(link_->counters().rx_bytes, done);
	if (!done && ring_.error)
		return -link_->error();
	return static_cast<ssize_t>(done);
}

ssize_t host_reader::take_record(std::span<std::byte> to, std::size_t &length) noexcept
{
	bool last_look = false;

	length = 0;
	if (link_->error())
		return -link_->error();
	if (link_->flags() & KVMCHAN_LINK_NO_READER)
		return 0;
	if (const int error = refresh())
		return error;
	if (!kvmchan_rx_used(&ring_))
		if (const ssize_t error = nothing(1, last_look))
			return error;
	return kvmchan_rx_used(&ring_) ? copy_record(to, length) : 0;
}

ssize_t host_reader::copy_record(std::span<std::byte> to, std::size_t &length) noexcept
{
	kvmchan_record head;
	kvmchan_window window;

	/* A record is published whole: a part of a head is a violation. */
	if (kvmchan_rx_used(&ring_) < head_size) {
		ring_.error = -EPROTO;
		return link_->broken();
	}
	kvmchan_rx_window(&ring_, 0, head_size, &window);
	copy_out(data_, window, reinterpret_cast<std::byte *>(&head));

	const __s64 payload = kvmchan_rx_record(&ring_, &head);

	if (payload < 0)
		return link_->broken();
	length = static_cast<std::size_t>(payload);
	const std::size_t n = std::min(length, to.size());

	kvmchan_rx_window(&ring_, head_size, n, &window);
	copy_out(data_, window, to.data());
	commit(kvmchan_record_space(length));
	count(link_->counters().rx_bytes, length);
	count(link_->counters().rx_records);
	return 1;
}

int host_reader::probe(std::uint64_t least) noexcept
{
	bool last_look = false;

	if (link_->error() || (link_->flags() & KVMCHAN_LINK_NO_READER))
		return 1;
	if (refresh() || kvmchan_rx_used(&ring_) >= least)
		return 1;
	return nothing(least, last_look) == -EAGAIN ? 0 : 1;
}

int host_reader::arm(std::uint64_t least) noexcept
{
	const bool was_live = ring_.live;
	bool last_look = false;
	const int armed = kvmchan_rx_arm(&ring_, least);

	if (armed < 0)
		return link_->broken();
	if (armed)
		return 1;
	const ssize_t found = nothing(least, last_look);

	if (found != -EAGAIN)
		return 1;
	/* Paired just now: the event that we stored is none of this session's. */
	return ring_.live != was_live;
}

std::uint64_t host_reader::ready() const noexcept
{
	if (!live_.load(std::memory_order_relaxed))
		return 0;
	const std::uint64_t used = kvmchan_load(&ring_.peer->tx_prod) - cons_.load(std::memory_order_relaxed);

	return used > ring_.size ? 0 : used;
}

} // namespace kvmchan::detail
