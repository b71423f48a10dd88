// SPDX-License-Identifier: MIT
// Calls on rings whose indices this process moves itself.
#ifndef KVMCHAN_RING_CHANNEL_HPP
#define KVMCHAN_RING_CHANNEL_HPP

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>

#include "busy_poll.hpp"
#include "channel_end.hpp"
#include "ready_handle.hpp"

namespace kvmchan::detail {

/**
 * What the ends of host and guest have in common: when to try, to look, to ask
 * for a wake-up and to sleep. How to sleep is theirs.
 */
class ring_channel : public channel_end {
public:
	int native_handle() noexcept override;
	bool nonblocking() const noexcept override { return nonblocking_.load(std::memory_order_relaxed); }

protected:
	/** @p busy_poll: how long a reader, or a writer, looks before it sleeps. */
	ring_channel(bool nonblocking, std::chrono::nanoseconds busy_poll)
		: nonblocking_{nonblocking}, reader_spin_{busy_poll}, writer_spin_{busy_poll}
	{
	}

	/** For ends that may read or write, that is checked before. */
	ssize_t ring_read(std::span<std::byte> to) noexcept;
	ssize_t ring_write(std::span<const std::byte> from) noexcept;
	int ring_recv(std::span<std::byte> to, std::size_t &length) noexcept;
	ssize_t ring_send_many(std::span<const iovec> records) noexcept;
	ssize_t ring_recv_many(std::span<iovec> records) noexcept;
	int ring_reserve(std::size_t least, std::span<std::byte> &window) noexcept;
	int ring_peek(std::size_t least, std::span<const std::byte> &window) noexcept;
	/** May a reader that found nothing look for a while? */
	bool may_look() const noexcept;
	/** Looks for a while, at most for @p limit (negative: without one), whether @p least bytes come. */
	bool spin_for(std::uint64_t least, std::chrono::nanoseconds limit = no_limit) noexcept;

	virtual ring_link &link() noexcept = 0;
	/** Before a look that decides whether to sleep: takes the edges. 0 or an error. */
	virtual int settle_to_sleep(direction which) noexcept = 0;
	/** Until a wake-up. @p want: what was asked for. 0 or an error. */
	virtual int sleep(direction which, std::uint64_t want) noexcept = 0;
	/** Something moved, so that no polling has to slow down. */
	virtual void moved(direction which) noexcept = 0;
	/** A call would block: where nobody rings, the handle has to be timed. */
	virtual void time_handle(ready_handle &handle) noexcept = 0;
	/** A new handle: adds what it waits for. Throws std::system_error. */
	virtual void watch(wait_set &set) = 0;
	virtual bool handle_needs_timer() const noexcept = 0;
	ready_handle *handle() const noexcept { return handle_.load(std::memory_order_acquire); }

	ring_reader reader_;
	ring_writer writer_;
	std::atomic<bool> nonblocking_;

private:
	template <typename Try, typename Spin, typename Wanted>
	ssize_t run(direction which, Try attempt, Spin spin, Wanted wanted) noexcept;
	ssize_t would_block(direction which, std::uint64_t want) noexcept;
	int arm(direction which, std::uint64_t want) noexcept;
	void doubt(direction which) noexcept;
	bool &quick(direction which) noexcept { return which == direction::rx ? quick_rx_ : quick_tx_; }

	bool spin_for_room(std::uint64_t room) noexcept;

	busy_poll reader_spin_;
	busy_poll writer_spin_;
	std::mutex handle_mutex_; /* making handle_ */
	std::atomic<ready_handle *> handle_{nullptr};
	std::unique_ptr<ready_handle> handle_owner_;
};

} // namespace kvmchan::detail

#endif
