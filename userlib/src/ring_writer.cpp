// SPDX-License-Identifier: MIT
#include "ring_writer.hpp"

#include <algorithm>
#include <cerrno>

#include "ring_copy.hpp"

namespace kvmchan::detail {

void ring_writer::start(ring_link &link, std::span<std::byte> data, bool packet) noexcept
{
	link_ = &link;
	packet_ = packet;
	data_ = data;
	session_.start(link);
	lowat_.store(ring_.size / 2, std::memory_order_relaxed);
	reset();
}

void ring_writer::reset() noexcept
{
	wish(0);
	reserved_ = 0;
	again_ = false;
	session_.forget();
	live_.store(false, std::memory_order_relaxed);
	prod_.store(ring_.prod, std::memory_order_relaxed);
	cons_.store(ring_.cons, std::memory_order_relaxed);
	ahead_.restart(data_);
}

int ring_writer::refresh() noexcept
{
	const int error = kvmchan_tx_refresh(&ring_) ? link_->broken() : 0;

	cons_.store(ring_.cons, std::memory_order_relaxed);
	return error;
}

ssize_t ring_writer::check(std::uint64_t want) noexcept
{
	const auto before = session_.now();
	const unsigned todo = link_->sync_tx(ring_, want);

	session_.forget();
	live_.store(ring_.live, std::memory_order_relaxed);
	prod_.store(ring_.prod, std::memory_order_relaxed);
	if (link_->error())
		return -link_->error();
	if ((todo & KVMCHAN_END) || (link_->flags() & KVMCHAN_LINK_NO_WRITER))
		return -EPIPE;
	if (todo & KVMCHAN_HOLD)
		return -EAGAIN;
	session_.remember(before);
	return refresh();
}

/* A writer shall hear of its peer's death early. */
ssize_t ring_writer::check_if_changed() noexcept
{
	return unchanged() && !kvmchan_tx_refresh(&ring_) ? 0 : check(0);
}

/* The record and its head, @p at bytes past the end. */
void ring_writer::fill_record(std::uint64_t at, std::span<const std::byte> record) noexcept
{
	kvmchan_record head{};
	kvmchan_window window;

	head.length = static_cast<__u32>(record.size());
	kvmchan_tx_window(&ring_, at, head_size, &window);
	copy_in(data_, window, reinterpret_cast<const std::byte *>(&head));
	kvmchan_tx_window(&ring_, at + head_size, record.size(), &window);
	copy_in(data_, window, record.data());
}

/* There is no room: what whoever waits for some has to wait for. */
ssize_t ring_writer::full(std::uint64_t room) noexcept
{
	wish(room);
	tally(counters_.ring_full);
	return -EAGAIN;
}

ssize_t ring_writer::put(std::span<const std::byte> from) noexcept
{
	std::size_t done = 0;

	reserved_ = 0;
	if (const ssize_t error = check_if_changed())
		return error;
	while (done < from.size()) {
		const std::size_t wish = std::min(from.size() - done, copy_chunk);
		kvmchan_window window;

		if (kvmchan_tx_free(&ring_) < wish && refresh())
			break;
		const std::size_t n = std::min(std::size_t{kvmchan_tx_free(&ring_)}, wish);

		if (!n)
			break;
		kvmchan_tx_window(&ring_, 0, n, &window);
		copy_in(data_, window, from.data() + done);
		publish(n);
		done += n;
	}
	tally(counters_.bytes, done);
	if (done)
		return static_cast<ssize_t>(done);
	if (link_->error())
		return -link_->error();
	return full(0);
}

ssize_t ring_writer::put_record(std::span<const std::byte> record) noexcept
{
	const std::uint64_t space = kvmchan_record_space(record.size());

	if (record.size() > max_record())
		return -EMSGSIZE;
	reserved_ = 0;
	if (const ssize_t error = check_if_changed())
		return error;
	if (kvmchan_tx_free(&ring_) < space)
		return full(space);
	wish(0);
	fill_record(0, record);
	publish(space);
	tally(counters_.bytes, record.size());
	tally(counters_.records);
	return static_cast<ssize_t>(record.size());
}

ssize_t ring_writer::put_records(std::span<const iovec> records) noexcept
{
	std::uint64_t at = 0, bytes = 0;
	std::size_t done = 0;
	const auto refusal = [&](const iovec &record) {
		return !record.iov_len ? -EINVAL : record.iov_len > max_record() ? -EMSGSIZE : 0;
	};

	if (records.empty())
		return -EINVAL;
	if (const int error = refusal(records.front()))
		return error;
	const std::uint64_t first = kvmchan_record_space(records.front().iov_len);

	reserved_ = 0;
	if (const ssize_t error = check_if_changed())
		return error;
	if (kvmchan_tx_free(&ring_) < first)
		return full(first);
	wish(0);
	for (; done < records.size() && !refusal(records[done]); ++done) {
		const iovec &record = records[done];
		const std::uint64_t space = kvmchan_record_space(record.iov_len);

		if (kvmchan_tx_free(&ring_) - at < space)
			break;
		fill_record(at, {static_cast<const std::byte *>(record.iov_base), record.iov_len});
		at += space;
		bytes += record.iov_len;
	}
	publish(at);
	tally(counters_.bytes, bytes);
	tally(counters_.records, done);
	return static_cast<ssize_t>(done);
}

int ring_writer::reserve(std::uint64_t least, std::span<std::byte> &window) noexcept
{
	least = std::max<std::uint64_t>(least, 1);
	window = {};
	if (least > most())
		return packet_ ? -EMSGSIZE : -ERANGE;
	const std::uint64_t need = space_of(least);
	/* A reader may wait for as much: both would sleep for ever. */
	const bool too_much = !packet_ && need > ring_.size / 2;
	const ssize_t error = too_much ? check(0) : check_if_changed();

	if (error && error != -EAGAIN)
		return static_cast<int>(error);
	if (error || kvmchan_tx_free(&ring_) < need) {
		if (too_much)
			return -ERANGE;
		wish(need);
		return static_cast<int>(error ? error : full(need));
	}
	wish(0);
	open_window(window);
	return 0;
}

int ring_writer::probe(std::uint64_t want) noexcept
{
	const ssize_t error = check(0);

	if (error == -EAGAIN)
		return 0;
	return error || kvmchan_tx_free(&ring_) >= want;
}

int ring_writer::arm(std::uint64_t want) noexcept
{
	const bool was_live = ring_.live;

	if (link_->arms() && kvmchan_tx_arm(&ring_, want) < 0)
		return link_->broken();
	const ssize_t error = check(want);

	/* On hold, room is no use. */
	if (error == -EAGAIN)
		return 0;
	return error || kvmchan_tx_free(&ring_) >= want || ring_.live != was_live;
}

std::uint64_t ring_writer::max_record() const noexcept
{
	return packet_ ? std::min<std::uint64_t>(kvmchan_record_max(ring_.size), 0xffffffffU) : 0;
}

std::uint64_t ring_writer::space() const noexcept
{
	const std::uint64_t prod = prod_.load(std::memory_order_relaxed);
	const std::uint64_t cons = live_.load(std::memory_order_relaxed) ? kvmchan_load(&ring_.peer->rx_cons)
	                                                                  : cons_.load(std::memory_order_relaxed);

	return prod - cons > ring_.size ? 0 : ring_.size - (prod - cons);
}

} // namespace kvmchan::detail
