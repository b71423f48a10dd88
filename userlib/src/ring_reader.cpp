// SPDX-License-Identifier: MIT
#include "ring_reader.hpp"

#include <algorithm>
#include <cerrno>

#include "ring_copy.hpp"

namespace kvmchan::detail {

void ring_reader::start(ring_link &link, std::span<const std::byte> data, bool packet) noexcept
{
	link_ = &link;
	data_ = data;
	packet_ = packet;
	session_.start(link);
	ahead_.restart(data);
}

void ring_reader::reset() noexcept
{
	live_.store(false, std::memory_order_relaxed);
	held_ = 0;
	again_ = false;
	session_.forget();
	wish(0);
	ahead_.restart(data_);
}

int ring_reader::refresh() noexcept
{
	return kvmchan_rx_refresh(&ring_) ? link_->broken() : 0;
}

int ring_reader::violated() noexcept
{
	ring_.error = -EPROTO;
	return link_->broken();
}

/*
 * The ring has less than @p least, and a wake-up is asked for @p want. Looks at
 * the session, then at the ring once more. Returns 0 when there is something to
 * take, -EAGAIN, or an error; @p last_look means that no more will come, so that
 * 0 may find nothing.
 */
ssize_t ring_reader::nothing(std::uint64_t least, std::uint64_t want, bool &last_look) noexcept
{
	const auto before = session_.now();
	const unsigned todo = link_->sync_rx(ring_, want);

	session_.forget();
	live_.store(ring_.live, std::memory_order_relaxed);
	cons_.store(ring_.cons, std::memory_order_relaxed);
	/* Refused: what the window shows is not ours any more. */
	if (!ring_.live)
		held_ = 0;
	if (link_->error())
		return -link_->error();
	if (const int error = refresh())
		return error;
	last_look = (todo & KVMCHAN_END) || (link_->flags() & KVMCHAN_LINK_NO_READER);
	if (!last_look && ring_.live)
		session_.remember(before);
	return last_look || kvmchan_rx_used(&ring_) >= least ? 0 : -EAGAIN;
}

/*
 * What a call that takes something begins with: 1 when @p least bytes are there
 * or, at the end, any; 0 when no more will come; -EAGAIN or an error.
 */
ssize_t ring_reader::enough(std::uint64_t least) noexcept
{
	bool last_look = false;

	if (link_->error())
		return -link_->error();
	if (link_->flags() & KVMCHAN_LINK_NO_READER)
		return 0;
	if (const int error = refresh())
		return error;
	if (kvmchan_rx_used(&ring_) < least) {
		if (session_.same())
			return -EAGAIN;
		if (const ssize_t error = nothing(least, 0, last_look))
			return error;
	}
	return kvmchan_rx_used(&ring_) != 0;
}

/* What was copied, unless its memory was taken away meanwhile: then it is none of the peer's. */
ssize_t ring_reader::taken(ssize_t copied) const noexcept
{
	return link_->error() == ENODEV ? -ENODEV : copied;
}

ssize_t ring_reader::take(std::span<std::byte> to, std::uint64_t least) noexcept
{
	held_ = 0;
	wish(0);
	const ssize_t found = enough(least);

	return found == 1 ? copy(to) : found;
}

ssize_t ring_reader::copy(std::span<std::byte> to) noexcept
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
	tally(counters_.bytes, done);
	return !done && ring_.error ? -link_->error() : taken(static_cast<ssize_t>(done));
}

ssize_t ring_reader::take_record(std::span<std::byte> to, std::size_t &length) noexcept
{
	held_ = 0;
	length = 0;
	const ssize_t found = enough(1);

	return found == 1 ? copy_record(to, length) : found;
}

ssize_t ring_reader::copy_record(std::span<std::byte> to, std::size_t &length) noexcept
{
	const __s64 payload = head_at(0);
	kvmchan_window window;

	if (payload < 0)
		return violated();
	length = static_cast<std::size_t>(payload);
	kvmchan_rx_window(&ring_, head_size, std::min(length, to.size()), &window);
	copy_out(data_, window, to.data());
	commit(kvmchan_record_space(length));
	tally(counters_.bytes, length);
	tally(counters_.records);
	return taken(1);
}

ssize_t ring_reader::take_records(std::span<iovec> to) noexcept
{
	std::uint64_t at = 0, bytes = 0;
	std::size_t done = 0;
	__s64 length = 0;

	held_ = 0;
	if (const ssize_t found = enough(1); found != 1)
		return found;
	for (; done < to.size() && at < kvmchan_rx_used(&ring_); ++done) {
		iovec &record = to[done];
		kvmchan_window window;

		length = head_at(at);
		if (length < 0 || static_cast<std::size_t>(length) > record.iov_len)
			break;
		record.iov_len = static_cast<std::size_t>(length);
		kvmchan_rx_window(&ring_, at + head_size, record.iov_len, &window);
		copy_out(data_, window, static_cast<std::byte *>(record.iov_base));
		at += kvmchan_record_space(record.iov_len);
		bytes += record.iov_len;
	}
	/* What stopped it after the first record is the next call's affair. */
	if (!done)
		return length < 0 ? violated() : -EMSGSIZE;
	commit(at);
	tally(counters_.bytes, bytes);
	tally(counters_.records, done);
	return taken(static_cast<ssize_t>(done));
}

ssize_t ring_reader::peek(std::uint64_t least, std::span<const std::byte> &window) noexcept
{
	const std::uint64_t need = packet_ ? 1 : std::max<std::uint64_t>(least, 1);

	window = {};
	if (need > ring_.size)
		return -ERANGE;
	/* A writer may wait for as much: both would sleep for ever. */
	const bool too_much = need > ring_.size / 2;

	if (too_much)
		doubt();
	const ssize_t found = enough(need);

	if (found == -EAGAIN && too_much)
		return -ERANGE;
	wish(found == -EAGAIN ? need : 0);
	if (found != 1)
		return found;
	return open_window(window) ? 1 : violated();
}

int ring_reader::probe(std::uint64_t least) noexcept
{
	bool last_look = false;

	if (link_->error() || (link_->flags() & KVMCHAN_LINK_NO_READER))
		return 1;
	if (refresh() || kvmchan_rx_used(&ring_) >= least)
		return 1;
	return nothing(least, 0, last_look) == -EAGAIN ? 0 : 1;
}

int ring_reader::arm(std::uint64_t least) noexcept
{
	const bool was_live = ring_.live;
	bool last_look = false;

	if (link_->arms()) {
		const int armed = kvmchan_rx_arm(&ring_, least);

		if (armed)
			return armed < 0 ? link_->broken() : 1;
	}
	const ssize_t found = nothing(least, least, last_look);

	if (found != -EAGAIN)
		return 1;
	/* Paired just now: the event that we stored is none of this session's. */
	return ring_.live != was_live;
}

std::uint64_t ring_reader::ready() const noexcept
{
	if (!live_.load(std::memory_order_relaxed))
		return 0;
	const std::uint64_t used = kvmchan_load(&ring_.peer->tx_prod) - cons_.load(std::memory_order_relaxed);

	return used > ring_.size ? 0 : used;
}

} // namespace kvmchan::detail
