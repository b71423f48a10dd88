// SPDX-License-Identifier: MIT
// The reading half of a host's end.
#ifndef KVMCHAN_HOST_READER_HPP
#define KVMCHAN_HOST_READER_HPP

#include <atomic>
#include <cstdint>
#include <span>

#include <sys/types.h>

#include "host_link.hpp"
#include "shared_format.hpp"

namespace kvmchan::detail {

/**
 * One thread at a time, but for ready() and lowat. The functions do not wait:
 * -EAGAIN says that there is nothing, and arm() that it is worth waiting.
 */
class host_reader {
public:
	/** The end of the ring; host_link fills it in. */
	kvmchan_rx &ring() noexcept { return ring_; }
	void start(host_link &link, bool packet) noexcept;
	/** A new session was opened. */
	void reset() noexcept;

	/** Bytes of a stream, as soon as @p least are there or the end is near. */
	ssize_t take(std::span<std::byte> to, std::uint64_t least) noexcept;
	/** One record; what does not fit is dropped. 1, 0 at the end, -EAGAIN, ... */
	ssize_t take_record(std::span<std::byte> to, std::size_t &length) noexcept;
	/** Would a take() return at once? 1, 0, or an error. */
	int probe(std::uint64_t least) noexcept;
	/**
	 * Asks to be rung when @p least bytes are there, and looks once more.
	 * Returns 1 try again, 0 nothing but a wake-up helps, or an error.
	 */
	int arm(std::uint64_t least) noexcept;

	/** A peer has paired with this session. */
	bool live() const noexcept { return ring_.live; }
	/** Are there @p least bytes, as the peer says? Cheap and unchecked: a hint. */
	bool came(std::uint64_t least) const noexcept { return kvmchan_load(&ring_.peer->tx_prod) - ring_.cons >= least; }

	/** Bytes in the ring, with record heads. Any thread; a snapshot. */
	std::uint64_t ready() const noexcept;
	std::uint64_t size() const noexcept { return ring_.size; }

	/** Low-water mark, 1 to half the ring. Any thread. */
	std::uint64_t lowat() const noexcept { return lowat_.load(std::memory_order_relaxed); }
	void set_lowat(std::uint64_t bytes) noexcept { lowat_.store(bytes, std::memory_order_relaxed); }

private:
	ssize_t nothing(std::uint64_t least, bool &last_look) noexcept;
	ssize_t copy(std::span<std::byte> to) noexcept;
	ssize_t copy_record(std::span<std::byte> to, std::size_t &length) noexcept;
	void commit(std::uint64_t length) noexcept;
	int refresh() noexcept;

	kvmchan_rx ring_{};
	host_link *link_ = nullptr;
	std::span<const std::byte> data_;
	bool packet_ = false;
	std::atomic<std::uint64_t> lowat_{1};
	/* For ready(): where we are, and whether that means anything. */
	std::atomic<std::uint64_t> cons_{0};
	std::atomic<bool> live_{false};
};

} // namespace kvmchan::detail

#endif
