// SPDX-License-Identifier: MIT
// The reading half of an end that moves its ring's indices itself.
#ifndef KVMCHAN_RING_READER_HPP
#define KVMCHAN_RING_READER_HPP

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
 * One thread at a time, but for ready() and lowat. The functions do not wait:
 * -EAGAIN says that there is nothing, and arm() that it is worth waiting.
 */
class ring_reader {
public:
	/** The end of the ring; who makes the link fills it in. */
	kvmchan_rx &ring() noexcept { return ring_; }
	void start(ring_link &link, std::span<const std::byte> data, bool packet) noexcept;
	/** A new session was opened. */
	void reset() noexcept;

	/** Bytes of a stream, as soon as @p least are there or the end is near. */
	ssize_t take(std::span<std::byte> to, std::uint64_t least) noexcept;
	/** One record; what does not fit is dropped. 1, 0 at the end, -EAGAIN, ... */
	ssize_t take_record(std::span<std::byte> to, std::size_t &length) noexcept;
	/**
	 * The records that are there, up to one that does not fit: how many, 0 at
	 * the end, -EMSGSIZE when the first one does not fit.
	 */
	ssize_t take_records(std::span<iovec> to) noexcept;
	/** Would a take() return at once? 1, 0, or an error. */
	int probe(std::uint64_t least) noexcept;
	/**
	 * Asks to be rung when @p least bytes are there, and looks once more.
	 * Returns 1 try again, 0 nothing but a wake-up helps, or an error.
	 */
	int arm(std::uint64_t least) noexcept;
	/** The session may have changed: the next call that finds too little looks. */
	void doubt() noexcept { session_.forget(); }

	/** The ring, mapped two times in a row, for the functions that follow. */
	void show(std::span<const std::byte> twice) noexcept
	{
		view_ = twice.data();
		data_ = twice.first(data_.size());
		ahead_.restart(data_);
	}
	bool shown() const noexcept { return view_; }
	/** 1 with a window, 0 at the end, -EAGAIN, ... A record needs no @p least. */
	ssize_t peek(std::uint64_t least, std::span<const std::byte> &window) noexcept;
	/** The same where nothing stands in the way; else false. */
	bool quick_peek(std::uint64_t least, std::span<const std::byte> &window) noexcept;
	/** 0, -EINVAL beyond the window, or an error. */
	int consume(std::size_t size) noexcept;

	/** A peer has paired with this session. */
	bool live() const noexcept { return ring_.live; }
	/** Are there @p least bytes, as the peer says? Cheap and unchecked: a hint. */
	bool came(std::uint64_t least) const noexcept { return kvmchan_load(&ring_.peer->tx_prod) - ring_.cons >= least; }
	/**
	 * The bytes that who waits for some waits for: the low-water mark, or more
	 * if the last peek that found too few needs more. Any thread.
	 */
	std::uint64_t wanted() const noexcept { return std::max(lowat(), wish_.load(std::memory_order_relaxed)); }

	/** Bytes in the ring, with record heads. Any thread; a snapshot. */
	std::uint64_t ready() const noexcept;
	std::uint64_t size() const noexcept { return ring_.size; }
	bool packet() const noexcept { return packet_; }

	/** Low-water mark, 1 to half the ring. Any thread. */
	std::uint64_t lowat() const noexcept { return lowat_.load(std::memory_order_relaxed); }
	void set_lowat(std::uint64_t bytes) noexcept { lowat_.store(bytes, std::memory_order_relaxed); }

	const direction_counters &counters() const noexcept { return counters_; }

private:
	ssize_t enough(std::uint64_t least) noexcept;
	ssize_t nothing(std::uint64_t least, std::uint64_t want, bool &last_look) noexcept;
	ssize_t taken(ssize_t copied) const noexcept;
	ssize_t copy(std::span<std::byte> to) noexcept;
	ssize_t copy_record(std::span<std::byte> to, std::size_t &length) noexcept;
	__s64 head_at(std::uint64_t at) noexcept;
	bool look(std::uint64_t least) noexcept;
	bool open_window(std::span<const std::byte> &window) noexcept;
	int violated() noexcept;
	void wish(std::uint64_t least) noexcept { wish_.store(least, std::memory_order_relaxed); }
	void commit(std::uint64_t length) noexcept;
	int refresh() noexcept;

	kvmchan_rx ring_{};
	ring_link *link_ = nullptr;
	const std::byte *view_ = nullptr;
	/* What the window has left: payload, and the ring's bytes of a record. */
	std::size_t held_ = 0;
	std::uint64_t held_space_ = 0;
	/* Nothing was consumed since the last peek: whoever peeks again wants more. */
	bool again_ = false;
	bool packet_ = false;
	/* A session in which more may come. */
	session_watch session_;
	std::span<const std::byte> data_;
	prefault ahead_{prefault::access::read};
	direction_counters counters_;
	std::atomic<std::uint64_t> lowat_{1};
	std::atomic<std::uint64_t> wish_{0};
	/* For ready(): where we are, and whether that means anything. */
	std::atomic<std::uint64_t> cons_{0};
	std::atomic<bool> live_{false};
};

inline void ring_reader::commit(std::uint64_t length) noexcept
{
	if (!kvmchan_rx_commit(&ring_, length))
		tally(counters_.doorbells_suppressed);
	else if (link_->ring_peer(direction::rx))
		tally(counters_.doorbells_sent);
	cons_.store(ring_.cons, std::memory_order_relaxed);
	ahead_.reach(ring_.cons, length);
}

/* The payload of the record @p at bytes from here, or -EPROTO. */
inline __s64 ring_reader::head_at(std::uint64_t at) noexcept
{
	constexpr std::uint64_t size = sizeof(kvmchan_record);
	const std::uint64_t offset = kvmchan_ring_offset(ring_.size, ring_.cons + at);
	kvmchan_record head;

	/* A record is published whole: a part of a head is a violation. */
	if (kvmchan_rx_used(&ring_) - at < size)
		return -EPROTO;
	/* Copied once; the copy is what counts. */
	if (const std::uint64_t to_end = ring_.size - offset; to_end < size) {
		std::memcpy(&head, data_.data() + offset, to_end);
		std::memcpy(reinterpret_cast<std::byte *>(&head) + to_end, data_.data(), size - to_end);
	} else {
		std::memcpy(&head, data_.data() + offset, size);
	}
	kvmchan_rx from_there = ring_;

	from_there.cons += at;
	return kvmchan_rx_record(&from_there, &head);
}

/* Are there @p least bytes? The peer's word only counts when it has to. */
inline bool ring_reader::look(std::uint64_t least) noexcept
{
	if (kvmchan_rx_used(&ring_) >= least && !again_)
		return true;
	return !kvmchan_rx_refresh(&ring_) && kvmchan_rx_used(&ring_) >= least;
}

inline bool ring_reader::open_window(std::span<const std::byte> &window) noexcept
{
	const std::uint64_t offset = kvmchan_ring_offset(ring_.size, ring_.cons);

	if (!packet_) {
		held_ = kvmchan_rx_used(&ring_);
		window = {view_ + offset, held_};
	} else {
		/* A record that was seen stays as it was seen. */
		if (!held_) {
			const __s64 length = head_at(0);

			if (length < 0)
				return false;
			held_ = static_cast<std::size_t>(length);
			held_space_ = kvmchan_record_space(held_);
		}
		window = {view_ + offset + sizeof(kvmchan_record), held_};
	}
	again_ = true;
	return true;
}

inline bool ring_reader::quick_peek(std::uint64_t least, std::span<const std::byte> &window) noexcept
{
	return link_->clear(KVMCHAN_LINK_NO_READER) && look(packet_ ? 1 : std::max<std::uint64_t>(least, 1)) &&
	       open_window(window);
}

inline int ring_reader::consume(std::size_t size) noexcept
{
	if (size > held_)
		return -EINVAL;
	if (const int error = link_->error())
		return -error;
	if (!held_)
		return 0;
	if (packet_) {
		const std::size_t length = held_;

		held_ = 0;
		again_ = false;
		commit(held_space_);
		tally(counters_.bytes, length);
		tally(counters_.records);
	} else if (size) {
		held_ -= size;
		again_ = false;
		commit(size);
		tally(counters_.bytes, size);
	}
	return 0;
}

} // namespace kvmchan::detail

#endif
