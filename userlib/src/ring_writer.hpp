// SPDX-License-Identifier: MIT
// The writing half of an end that moves its ring's indices itself.
#ifndef KVMCHAN_RING_WRITER_HPP
#define KVMCHAN_RING_WRITER_HPP

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include <sys/types.h>
#include <sys/uio.h>

#include "prefault.hpp"
#include "ring_link.hpp"
#include "session_watch.hpp"
#include "shared_format.hpp"

namespace kvmchan::detail {

/**
 * One thread at a time, but for space() and lowat. The functions do not wait:
 * -EAGAIN says that there is no room, and arm() that it is worth waiting.
 */
class ring_writer {
public:
	/** The end of the ring; who makes the link fills it in. */
	kvmchan_tx &ring() noexcept { return ring_; }
	void start(ring_link &link, std::span<std::byte> data, bool packet) noexcept;
	/** A new session was opened. */
	void reset() noexcept;

	/** As much of @p from as there is room for. */
	ssize_t put(std::span<const std::byte> from) noexcept;
	/** A record, whole: its size, -EAGAIN, -EMSGSIZE, ... */
	ssize_t put_record(std::span<const std::byte> record) noexcept;
	/** As many records as there is room for: how many, -EAGAIN, ... */
	ssize_t put_records(std::span<const iovec> records) noexcept;
	/** Would a put() of anything return at once? 1, 0, or an error. */
	int probe(std::uint64_t want) noexcept;
	/**
	 * Asks to be rung when @p want bytes are free, and looks once more.
	 * Returns 1 try again, 0 nothing but a wake-up helps, or an error.
	 */
	int arm(std::uint64_t want) noexcept;
	/** The session may have changed: the next call looks. */
	void doubt() noexcept { session_.forget(); }

	/** The ring, mapped two times in a row, for the functions that follow. */
	void show(std::span<std::byte> twice) noexcept
	{
		view_ = twice.data();
		data_ = twice.first(data_.size());
		ahead_.restart(data_);
	}
	bool shown() const noexcept { return view_; }
	/** 0 with room for @p least bytes (of a record's payload), -EAGAIN, ... */
	int reserve(std::uint64_t least, std::span<std::byte> &window) noexcept;
	/** The same where nothing stands in the way; else false. */
	bool quick_reserve(std::uint64_t least, std::span<std::byte> &window) noexcept;
	/** 0, -EINVAL beyond what was reserved, or an error. */
	int commit(std::size_t size) noexcept;

	/**
	 * The room that who waits for room waits for: the low-water mark, or more
	 * if the last record that found none needs more. Any thread.
	 */
	std::uint64_t wanted() const noexcept { return std::max(lowat(), wish_.load(std::memory_order_relaxed)); }

	/** The peer has paired with this session. */
	bool live() const noexcept { return ring_.live; }
	/** Are there @p room bytes free, as the peer says? Cheap and unchecked: a hint. */
	bool came(std::uint64_t room) const noexcept
	{
		return ring_.size - (ring_.prod - kvmchan_load(&ring_.peer->rx_cons)) >= room;
	}
	/** Room in the ring for @p bytes of payload, as one record where there are such. */
	std::uint64_t space_of(std::uint64_t bytes) const noexcept { return packet_ ? kvmchan_record_space(bytes) : bytes; }
	/** The least room with which a call that has @p bytes to write goes on before it sleeps. */
	std::uint64_t useful_room(std::uint64_t bytes) const noexcept
	{
		return packet_ ? space_of(bytes) : std::min<std::uint64_t>(bytes, ring_.size / 4);
	}

	/** Free bytes of the ring. Any thread; a snapshot. */
	std::uint64_t space() const noexcept;
	std::uint64_t size() const noexcept { return ring_.size; }
	bool packet() const noexcept { return packet_; }
	/** Longest record, 0 for a stream. */
	std::uint64_t max_record() const noexcept;

	/** Low-water mark, 1 to half the ring. Any thread. */
	std::uint64_t lowat() const noexcept { return lowat_.load(std::memory_order_relaxed); }
	void set_lowat(std::uint64_t bytes) noexcept { lowat_.store(bytes, std::memory_order_relaxed); }

	const direction_counters &counters() const noexcept { return counters_; }

private:
	ssize_t check(std::uint64_t want) noexcept;
	ssize_t check_if_changed() noexcept;
	ssize_t full(std::uint64_t room) noexcept;
	int refresh() noexcept;
	void publish(std::uint64_t length) noexcept;
	void fill_record(std::uint64_t at, std::span<const std::byte> record) noexcept;
	std::uint64_t most() const noexcept { return packet_ ? max_record() : ring_.size; }
	bool unchanged() const noexcept;
	void open_window(std::span<std::byte> &window) noexcept;
	void wish(std::uint64_t room) noexcept { wish_.store(room, std::memory_order_relaxed); }

	kvmchan_tx ring_{};
	ring_link *link_ = nullptr;
	std::byte *view_ = nullptr;
	std::size_t reserved_ = 0;
	/* Nothing was committed since the last reserve: whoever reserves again wants more. */
	bool again_ = false;
	bool packet_ = false;
	/* A session in which we may write. */
	session_watch session_;
	std::span<std::byte> data_;
	prefault ahead_{prefault::access::write};
	direction_counters counters_;
	std::atomic<std::uint64_t> lowat_{1};
	/* What a record or a reserve that found no room would take. */
	std::atomic<std::uint64_t> wish_{0};
	/* For space(). */
	std::atomic<std::uint64_t> prod_{0};
	std::atomic<std::uint64_t> cons_{0};
	std::atomic<bool> live_{false};
};

inline void ring_writer::publish(std::uint64_t length) noexcept
{
	if (!kvmchan_tx_commit(&ring_, length))
		tally(counters_.doorbells_suppressed);
	else if (link_->ring_peer(direction::tx))
		tally(counters_.doorbells_sent);
	prod_.store(ring_.prod, std::memory_order_relaxed);
	ahead_.reach(ring_.prod, length);
}

inline bool ring_writer::unchanged() const noexcept
{
	return link_->clear(KVMCHAN_LINK_NO_WRITER) && session_.same();
}

inline void ring_writer::open_window(std::span<std::byte> &window) noexcept
{
	const std::uint64_t offset = kvmchan_ring_offset(ring_.size, ring_.prod);
	const std::uint64_t free = kvmchan_tx_free(&ring_);

	if (packet_) {
		constexpr std::uint64_t head = sizeof(kvmchan_record), unit = KVMCHAN_RECORD_ALIGN;

		/* Whole units: the padding has to fit, too. */
		reserved_ = std::min((free - head) / unit * unit, max_record());
		window = {view_ + offset + head, reserved_};
	} else {
		reserved_ = free;
		window = {view_ + offset, reserved_};
	}
	again_ = true;
}

inline bool ring_writer::quick_reserve(std::uint64_t least, std::span<std::byte> &window) noexcept
{
	least = std::max<std::uint64_t>(least, 1);
	if (!unchanged() || least > most())
		return false;
	const std::uint64_t need = space_of(least);

	if ((again_ || kvmchan_tx_free(&ring_) < need) &&
	    (kvmchan_tx_refresh(&ring_) || kvmchan_tx_free(&ring_) < need))
		return false;
	open_window(window);
	return true;
}

inline int ring_writer::commit(std::size_t size) noexcept
{
	if (size > reserved_)
		return -EINVAL;
	if (const int error = link_->error())
		return -error;
	if (packet_ || !size)
		reserved_ = 0;
	else
		reserved_ -= size;
	if (!size)
		return 0;
	again_ = false;
	if (packet_) {
		kvmchan_record head{};

		head.length = static_cast<__u32>(size);
		std::memcpy(view_ + kvmchan_ring_offset(ring_.size, ring_.prod), &head, sizeof(head));
		tally(counters_.records);
	}
	publish(space_of(size));
	tally(counters_.bytes, size);
	return 0;
}

} // namespace kvmchan::detail

#endif
