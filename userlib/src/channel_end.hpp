// SPDX-License-Identifier: MIT
// One end of a channel, in a guest or on the host.
#ifndef KVMCHAN_CHANNEL_END_HPP
#define KVMCHAN_CHANNEL_END_HPP

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sys/types.h>
#include <sys/uio.h>

#include "ring_reader.hpp"
#include "ring_writer.hpp"
#include "spin.h"
#include "uapi/kvmchan.h"

namespace kvmchan::detail {

class region;

/** Conditions to wait for, and found; the values are those of the C API. */
using event_mask = unsigned;
inline constexpr event_mask event_readable = 1;
inline constexpr event_mask event_writable = 2;
inline constexpr event_mask event_hangup = 4;

struct channel_options {
	bool nonblocking = false;
	bool read = true;
	bool write = true;
	/** Host: the side to take; negative: the one that falls to us. */
	int side = -1;
	/** 0: the default. */
	std::uint64_t rx_lowat = 0;
	std::uint64_t tx_lowat = 0;
	/** How long a reader looks before it sleeps, where that pays; 0: not at all. Not for a node. */
	std::chrono::nanoseconds busy_poll = std::chrono::microseconds{KVMCHAN_SPIN_DEFAULT_US};
	/** Guest: windows that the device leaves behind are ENODEV and not SIGBUS. */
	bool guard = false;
};

/** What was counted since the end was opened (in a guest: since the module came). */
struct channel_counters {
	std::uint64_t rx_bytes = 0;
	std::uint64_t tx_bytes = 0;
	std::uint64_t rx_records = 0;
	std::uint64_t tx_records = 0;
	std::uint64_t doorbells_sent = 0;
	std::uint64_t doorbells_suppressed = 0;
	std::uint64_t interrupts = 0;
	std::uint64_t empty_interrupts = 0;
	std::uint64_t ring_full = 0;
	std::uint64_t protocol_errors = 0;
};

/** A time-out that means none. */
inline constexpr std::chrono::nanoseconds no_limit{-1};

/**
 * The interface behind the C API. Functions return what the C API returns:
 * a count or 0, or a negated errno value; they do not throw. One thread may
 * read while one writes; the rest may be called from either.
 */
class channel_end {
public:
	/** The end of a channel in a guest: a device node. Throws std::system_error. */
	static std::unique_ptr<channel_end> open_device(const std::string &device, const channel_options &options);
	/** The host's end. Throws std::system_error. */
	static std::unique_ptr<channel_end> open_host(std::shared_ptr<region> where, std::string_view name,
	                                              const channel_options &options);

	virtual ~channel_end() = default;

	virtual ssize_t read(std::span<std::byte> to) noexcept = 0;
	virtual ssize_t write(std::span<const std::byte> from) noexcept = 0;
	/** 1 and the record's whole length, 0 at the end, or an error. */
	virtual int recv(std::span<std::byte> to, std::size_t &length) noexcept = 0;
	virtual int send(std::span<const std::byte> record) noexcept = 0;
	/** As many records as go at once: how many, or an error. */
	virtual ssize_t send_many(std::span<const iovec> records) noexcept = 0;
	virtual ssize_t recv_many(std::span<iovec> records) noexcept = 0;

	/** 0 and a window on free room, at least @p least; or an error. */
	int reserve(std::size_t least, std::span<std::byte> &window) noexcept
	{
		return quick_tx_ && tx_->quick_reserve(least, window) ? 0 : wait_reserve(least, window);
	}
	int commit(std::size_t size) noexcept { return tx_ ? tx_->commit(size) : size ? -EINVAL : 0; }
	/** 1 and a window on what is there, 0 at the end, or an error. */
	int peek(std::size_t least, std::span<const std::byte> &window) noexcept
	{
		return quick_rx_ && rx_->quick_peek(least, window) ? 1 : wait_peek(least, window);
	}
	int consume(std::size_t size) noexcept { return rx_ ? rx_->consume(size) : size ? -EINVAL : 0; }

	/** The events of @p interest (and hang-up) that are there; 0: time-out. */
	virtual int wait(event_mask interest, std::chrono::nanoseconds timeout) noexcept = 0;

	virtual int native_handle() noexcept = 0;
	virtual int device_handle() const noexcept = 0;
	virtual bool nonblocking() const noexcept = 0;
	virtual int set_nonblocking(bool on) noexcept = 0;

	virtual int info(kvmchan_info &out) noexcept = 0;
	virtual int shutdown(int how) noexcept = 0;
	virtual int reconnect() noexcept = 0;
	virtual int lowat(kvmchan_lowat &out) noexcept = 0;
	virtual int set_lowat(const kvmchan_lowat &marks) noexcept = 0;
	virtual int counters(channel_counters &out) noexcept = 0;

protected:
	virtual int wait_reserve(std::size_t least, std::span<std::byte> &window) noexcept = 0;
	virtual int wait_peek(std::size_t least, std::span<const std::byte> &window) noexcept = 0;

	/*
	 * The halves whose rings are mapped, so that a message costs no virtual
	 * call. Quick: while no call of that direction has found that it would
	 * have to wait. Each pair is for its direction's thread alone.
	 */
	ring_reader *rx_ = nullptr;
	ring_writer *tx_ = nullptr;
	bool quick_rx_ = false;
	bool quick_tx_ = false;
};

} // namespace kvmchan::detail

#endif
