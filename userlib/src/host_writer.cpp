// SPDX-License-Identifier: MIT
#include "host_writer.hpp"

#include <algorithm>
#include <cerrno>

#include "ring_copy.hpp"

namespace kvmchan::detail {
namespace {

constexpr std::uint64_t head_size = sizeof(kvmchan_record);

} // namespace

void host_writer::start(host_link &link, bool packet) noexcept
{
	link_ = &link;
	packet_ = packet;
	data_ = link.slot().data(link.slot().side());
	lowat_.store(ring_.size / 2, std::memory_order_relaxed);
	reset();
}

void host_writer::reset() noexcept
{
	wish_.store(0, std::memory_order_relaxed);
	live_.store(false, std::memory_order_relaxed);
	prod_.store(ring_.prod, std::memory_order_relaxed);
	cons_.store(ring_.prod, std::memory_order_relaxed);
}

int host_writer::refresh() noexcept
{
	const int error = kvmchan_tx_refresh(&ring_) ? link_->broken() : 0;

	cons_.store(ring_.cons, std::memory_order_relaxed);
	return error;
}

void host_writer::commit(std::uint64_t length) noexcept
{
	link_->kick(kvmchan_tx_commit(&ring_, length));
	prod_.store(ring_.prod, std::memory_order_relaxed);
}

/* The session, at each call: a writer shall hear of its peer's death early. */
ssize_t host_writer::check() noexcept
{
	const unsigned todo = link_->sync_tx(ring_);

	live_.store(ring_.live, std::memory_order_relaxed);
	prod_.store(ring_.prod, std::memory_order_relaxed);
	if (link_->error())
		return -link_->error();
	if ((todo & KVMCHAN_END) || (link_->flags() & KVMCHAN_LINK_NO_WRITER))
		return -EPIPE;
	if (todo & KVMCHAN_HOLD)
		return -EAGAIN;
	return refresh();
}

ssize_t host_writer::put(std::span<const std::byte> from) noexcept
{
	std::size_t done = 0;

	if (const ssize_t error = check())
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
		commit(n);
		done += n;
	}
	count(link_->counters().tx_bytes, done);
	if (done)
		return static_cast<ssize_t>(done);
	if (link_->error())
		return -link_->error();
	count(link_->counters().ring_full);
	return -EAGAIN;
}

ssize_t host_writer::put_record(std::span<const std::byte> record) noexcept
{
	const std::uint64_t space = kvmchan_record_space(record.size());
	kvmchan_record head{};
	kvmchan_window window;

	if (record.size() > max_record())
		return -EMSGSIZE;
	if (const ssize_t error = check())
		return error;
	if (kvmchan_tx_free(&ring_) < space) {
		wish_.store(space, std::memory_order_relaxed);
		count(link_->counters().ring_full);
		return -EAGAIN;
	}
	wish_.store(0, std::memory_order_relaxed);
	head.length = static_cast<__u32>(record.size());
	kvmchan_tx_window(&ring_, 0, head_size, &window);
	copy_in(data_, window, reinterpret_cast<const std::byte *>(&head));
	kvmchan_tx_window(&ring_, head_size, record.size(), &window);
	copy_in(data_, window, record.data());
	commit(space);
	count(link_->counters().tx_bytes, record.size());
	count(link_->counters().tx_records);
	return static_cast<ssize_t>(record.size());
}

int host_writer::probe(std::uint64_t want) noexcept
{
	const ssize_t error = check();

	if (error == -EAGAIN)
		return 0;
	return error || kvmchan_tx_free(&ring_) >= want;
}

int host_writer::arm(std::uint64_t want) noexcept
{
	const bool was_live = ring_.live;
	const int armed = kvmchan_tx_arm(&ring_, want);

	if (armed < 0)
		return link_->broken();
	const ssize_t error = check();

	/* On hold, room is no use. */
	if (error == -EAGAIN)
		return 0;
	return error || kvmchan_tx_free(&ring_) >= want || ring_.live != was_live;
}

std::uint64_t host_writer::max_record() const noexcept
{
	return packet_ ? std::min<std::uint64_t>(kvmchan_record_max(ring_.size), 0xffffffffU) : 0;
}

std::uint64_t host_writer::space() const noexcept
{
	const std::uint64_t prod = prod_.load(std::memory_order_relaxed);
	const std::uint64_t cons = live_.load(std::memory_order_relaxed) ? kvmchan_load(&ring_.peer->rx_cons)
	                                                                  : cons_.load(std::memory_order_relaxed);

	return prod - cons > ring_.size ? 0 : ring_.size - (prod - cons);
}

} // namespace kvmchan::detail
