// SPDX-License-Identifier: MIT
// The writing half of a host's end.
#ifndef KVMCHAN_HOST_WRITER_HPP
#define KVMCHAN_HOST_WRITER_HPP

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>

#include <sys/types.h>

#include "host_link.hpp"
#include "shared_format.hpp"

namespace kvmchan::detail {

/**
 * One thread at a time, but for space() and lowat. The functions do not wait:
 * -EAGAIN says that there is no room, and arm() that it is worth waiting.
 */
class host_writer {
public:
	/** The end of the ring; host_link fills it in. */
	kvmchan_tx &ring() noexcept { return ring_; }
	void start(host_link &link, bool packet) noexcept;
	/** A new session was opened. */
	void reset() noexcept;

	/** As much of @p from as there is room for. */
	ssize_t put(std::span<const std::byte> from) noexcept;
	/** A record, whole: its size, -EAGAIN, -EMSGSIZE, ... */
	ssize_t put_record(std::span<const std::byte> record) noexcept;
	/** Would a put() of anything return at once? 1, 0, or an error. */
	int probe(std::uint64_t want) noexcept;
	/**
	 * Asks to be rung when @p want bytes are free, and looks once more.
	 * Returns 1 try again, 0 nothing but a wake-up helps, or an error.
	 */
	int arm(std::uint64_t want) noexcept;

	/**
	 * The room that who waits for room waits for: the low-water mark, or more
	 * if the last record that found none needs more. Any thread.
	 */
	std::uint64_t wanted() const noexcept { return std::max(lowat(), wish_.load(std::memory_order_relaxed)); }

	/** Free bytes of the ring. Any thread; a snapshot. */
	std::uint64_t space() const noexcept;
	std::uint64_t size() const noexcept { return ring_.size; }
	/** Longest record, 0 for a stream. */
	std::uint64_t max_record() const noexcept;

	/** Low-water mark, 1 to half the ring. Any thread. */
	std::uint64_t lowat() const noexcept { return lowat_.load(std::memory_order_relaxed); }
	void set_lowat(std::uint64_t bytes) noexcept { lowat_.store(bytes, std::memory_order_relaxed); }

private:
	ssize_t check() noexcept;
	int refresh() noexcept;
	void commit(std::uint64_t length) noexcept;

	kvmchan_tx ring_{};
	host_link *link_ = nullptr;
	std::span<std::byte> data_;
	bool packet_ = false;
	std::atomic<std::uint64_t> lowat_{1};
	/* What a record that found no room would take. */
	std::atomic<std::uint64_t> wish_{0};
	/* For space(). */
	std::atomic<std::uint64_t> prod_{0};
	std::atomic<std::uint64_t> cons_{0};
	std::atomic<bool> live_{false};
};

} // namespace kvmchan::detail

#endif
