// SPDX-License-Identifier: MIT
// C++: one end of a channel, in a guest or on the host.
#ifndef KVMCHAN_CHANNEL_HPP
#define KVMCHAN_CHANNEL_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include <sys/socket.h>
#include <sys/uio.h>

#include "kvmchan/error.hpp"
#include "kvmchan/kvmchan.h"
#include "kvmchan/region.hpp"

namespace kvmchan::inline v1 {

/** What to wait for, and what there is. */
enum class event : unsigned {
	none = 0,
	readable = KVMCHAN_EVENT_READABLE,
	writable = KVMCHAN_EVENT_WRITABLE,
	hangup = KVMCHAN_EVENT_HANGUP,
};

constexpr event operator|(event a, event b) noexcept
{
	return static_cast<event>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

constexpr event operator&(event a, event b) noexcept
{
	return static_cast<event>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}

constexpr bool any(event e) noexcept
{
	return e != event::none;
}

/** How a session stands. */
enum class link_state : std::uint32_t {
	closed = KVMCHAN_STATE_CLOSED,
	waiting = KVMCHAN_STATE_WAITING,
	connected = KVMCHAN_STATE_CONNECTED,
	disconnected = KVMCHAN_STATE_DISCONNECTED,
	broken = KVMCHAN_STATE_BROKEN,
};

struct channel_options {
	bool non_blocking = false;
	bool read = true;
	bool write = true;
	/** Host: the side to take; without it, the one that falls to us. */
	std::optional<unsigned> side{};
	/** Low-water marks of a stream, see kvmchan_lowat; 0: the default. */
	std::uint64_t rx_lowat = 0;
	std::uint64_t tx_lowat = 0;
	/** How long an end that moves its rings itself looks before it sleeps, where that mostly pays; 0: never. */
	std::chrono::nanoseconds busy_poll = std::chrono::microseconds{100};
	/** Guest: see KVMCHAN_GUARD. */
	bool guard = false;
};

/** A record that was received. */
struct received {
	/** Bytes in the caller's buffer. */
	std::size_t copied = 0;
	/** Bytes that the record had. */
	std::size_t length = 0;

	bool truncated() const noexcept { return copied < length; }
};

/**
 * One end of a channel. Move-only.
 *
 * Functions come in pairs: one throws std::system_error, the other one fills in
 * an error code and does not throw. Conditions to compare with:
 *
 *	operation_would_block	nothing to read or no room, and non_blocking()
 *	broken_pipe		written to a peer that is gone or does not read
 *	message_size		the record is longer than max_record(), or than its buffer
 *	protocol_error		the peer broke the protocol
 *	no_such_device		the channel was removed or unplugged
 *
 * and reading gives 0 (or no record) after the last byte of a peer that closed,
 * died or shut its writing down. Signals do not end a wait.
 *
 * One thread may read while one writes; shutdown_*(), info() and state() may be
 * called at any time.
 */
class channel {
public:
	/** In a guest: /dev/kvmchanN, or a name below /dev/kvmchan/by-name. */
	explicit channel(const std::filesystem::path &device, const channel_options &options = {})
		: handle_{make(options, [&](auto *o, auto **out) { return kvmchan_channel_open(device.c_str(), o, out); })}
	{
	}

	/** On the host. Does not wait for the peer; what is written waits for it. */
	channel(const region &where, const std::string &name, const channel_options &options = {})
		: handle_{make(options, [&](auto *o, auto **out) {
			  return kvmchan_channel_connect(where.c_handle(), name.c_str(), o, out);
		  })}
	{
	}

	/**
	 * Reads what there is, at least a byte, waiting for it unless
	 * non_blocking(). 0: no more will come.
	 */
	std::size_t read_some(std::span<std::byte> to)
	{
		return static_cast<std::size_t>(
			internal::checked(kvmchan_channel_read(handle_.get(), to.data(), to.size()), "read"));
	}
	std::size_t read_some(std::span<std::byte> to, std::error_code &ec) noexcept
	{
		return static_cast<std::size_t>(
			internal::coded(kvmchan_channel_read(handle_.get(), to.data(), to.size()), ec));
	}

	/** Writes as much as there is room for, at least a byte, waiting for it unless non_blocking(). */
	std::size_t write_some(std::span<const std::byte> from)
	{
		return static_cast<std::size_t>(
			internal::checked(kvmchan_channel_write(handle_.get(), from.data(), from.size()), "write"));
	}
	std::size_t write_some(std::span<const std::byte> from, std::error_code &ec) noexcept
	{
		return static_cast<std::size_t>(
			internal::coded(kvmchan_channel_write(handle_.get(), from.data(), from.size()), ec));
	}

	/** Writes all of it; waits for room even when non_blocking(). */
	void write_all(std::span<const std::byte> from)
	{
		internal::checked(kvmchan_channel_write_all(handle_.get(), from.data(), from.size()), "write");
	}
	void write_all(std::span<const std::byte> from, std::error_code &ec) noexcept
	{
		internal::coded(kvmchan_channel_write_all(handle_.get(), from.data(), from.size()), ec);
	}

	/** Packet mode: one record, whole; an empty one is invalid_argument. */
	void send(std::span<const std::byte> record)
	{
		internal::checked(kvmchan_channel_send(handle_.get(), record.data(), record.size()), "send");
	}
	void send(std::span<const std::byte> record, std::error_code &ec) noexcept
	{
		internal::coded(kvmchan_channel_send(handle_.get(), record.data(), record.size()), ec);
	}

	/**
	 * Packet mode: one record; what does not fit into @p to is lost, see
	 * received::truncated(). Nothing: no more will come.
	 */
	std::optional<received> recv(std::span<std::byte> to)
	{
		std::error_code ec;
		const auto record = recv(to, ec);

		if (ec)
			throw std::system_error{ec, "recv"};
		return record;
	}
	std::optional<received> recv(std::span<std::byte> to, std::error_code &ec) noexcept
	{
		std::size_t length = 0;

		if (!internal::coded(kvmchan_channel_recv(handle_.get(), to.data(), to.size(), &length), ec))
			return std::nullopt;
		return received{length < to.size() ? length : to.size(), length};
	}

	/**
	 * Packet mode: as many of the records as there is room for, at least one,
	 * waiting for it unless non_blocking(); the peer is told once. Returns how
	 * many; see kvmchan_channel_send_many().
	 */
	std::size_t send_many(std::span<const iovec> records)
	{
		return static_cast<std::size_t>(internal::checked(
			kvmchan_channel_send_many(handle_.get(), records.data(), records.size()), "send"));
	}
	std::size_t send_many(std::span<const iovec> records, std::error_code &ec) noexcept
	{
		return static_cast<std::size_t>(
			internal::coded(kvmchan_channel_send_many(handle_.get(), records.data(), records.size()), ec));
	}

	/**
	 * Packet mode: the records that are there, one into each buffer, whose
	 * iov_len becomes the record's length. Returns how many; 0: no more will
	 * come. None is cut: one that does not fit ends the call, and is
	 * message_size when it is the first.
	 */
	std::size_t recv_many(std::span<iovec> records)
	{
		return static_cast<std::size_t>(internal::checked(
			kvmchan_channel_recv_many(handle_.get(), records.data(), records.size()), "recv"));
	}
	std::size_t recv_many(std::span<iovec> records, std::error_code &ec) noexcept
	{
		return static_cast<std::size_t>(
			internal::coded(kvmchan_channel_recv_many(handle_.get(), records.data(), records.size()), ec));
	}

	/**
	 * Without copying: a window on room in the ring, at least @p least bytes
	 * (packet mode: of one record's payload) and all that is known of, waiting
	 * for it unless non_blocking(). Fill it in and commit(). result_out_of_range
	 * (-ERANGE) when to wait for so much could last for ever. The contract is
	 * that of kvmchan_channel_reserve().
	 */
	std::span<std::byte> reserve(std::size_t least = 1)
	{
		void *data = nullptr;
		std::size_t size = 0;

		internal::checked(kvmchan_channel_reserve(handle_.get(), least, &data, &size), "reserve");
		return {static_cast<std::byte *>(data), size};
	}
	std::span<std::byte> reserve(std::size_t least, std::error_code &ec) noexcept
	{
		void *data = nullptr;
		std::size_t size = 0;

		internal::coded(kvmchan_channel_reserve(handle_.get(), least, &data, &size), ec);
		return {static_cast<std::byte *>(data), size};
	}

	/** Sends the first @p size bytes of the window; packet mode: as one record. 0: none. */
	void commit(std::size_t size)
	{
		internal::checked(kvmchan_channel_commit(handle_.get(), size), "commit");
	}
	void commit(std::size_t size, std::error_code &ec) noexcept
	{
		internal::coded(kvmchan_channel_commit(handle_.get(), size), ec);
	}

	/**
	 * Without copying: a window on what has come, at least @p least bytes (less
	 * only at the end), or on one record's payload. Empty: no more will come.
	 * The peer can change these bytes at any time: who checks them copies them
	 * first. See kvmchan_channel_peek().
	 */
	std::span<const std::byte> peek(std::size_t least = 1)
	{
		const void *data = nullptr;
		std::size_t size = 0;

		internal::checked(kvmchan_channel_peek(handle_.get(), least, &data, &size), "peek");
		return {static_cast<const std::byte *>(data), size};
	}
	std::span<const std::byte> peek(std::size_t least, std::error_code &ec) noexcept
	{
		const void *data = nullptr;
		std::size_t size = 0;

		internal::coded(kvmchan_channel_peek(handle_.get(), least, &data, &size), ec);
		return {static_cast<const std::byte *>(data), size};
	}

	/** Gives the first @p size bytes of the window back; packet mode: the record. */
	void consume(std::size_t size)
	{
		internal::checked(kvmchan_channel_consume(handle_.get(), size), "consume");
	}
	void consume(std::size_t size, std::error_code &ec) noexcept
	{
		internal::coded(kvmchan_channel_consume(handle_.get(), size), ec);
	}

	/**
	 * Waits until one of @p interest is there, or the peer is gone; returns what
	 * is there, none after @p timeout (negative: no limit). Waits even when
	 * non_blocking().
	 */
	event wait_for(event interest, std::chrono::nanoseconds timeout = std::chrono::nanoseconds{-1})
	{
		return static_cast<event>(internal::checked(
			kvmchan_channel_wait(handle_.get(), static_cast<unsigned>(interest), timeout.count()), "wait"));
	}
	event wait_for(event interest, std::chrono::nanoseconds timeout, std::error_code &ec) noexcept
	{
		return static_cast<event>(internal::coded(
			kvmchan_channel_wait(handle_.get(), static_cast<unsigned>(interest), timeout.count()), ec));
	}

	bool non_blocking() const noexcept { return kvmchan_channel_is_nonblocking(handle_.get()) > 0; }
	void non_blocking(bool on)
	{
		internal::checked(kvmchan_channel_set_nonblocking(handle_.get(), on), "non-blocking mode");
	}

	/**
	 * Readable when there may be something to do, in either direction: for
	 * epoll and Asio. Make the end non-blocking, call read_some() and
	 * write_some() until each that you want would block, then wait for this;
	 * see kvmchan_channel_handle(). Throws.
	 */
	int native_handle() const
	{
		return static_cast<int>(internal::checked(kvmchan_channel_handle(handle_.get()), "handle"));
	}
	/** In a guest: the device node, for poll() with its usual meaning. Throws no_such_device on the host. */
	int device_handle() const
	{
		return static_cast<int>(internal::checked(kvmchan_channel_device_handle(handle_.get()), "device handle"));
	}

	/** What the end is: name, mode, side, sizes, peer; and how it stands. */
	kvmchan_info info() const
	{
		kvmchan_info out{};

		internal::checked(kvmchan_channel_info(handle_.get(), &out), "info");
		return out;
	}
	std::string name() const { return reinterpret_cast<const char *>(info().name); }
	channel_mode mode() const { return static_cast<channel_mode>(info().mode); }
	unsigned side() const { return info().side; }
	/** The longest record; 0 for a stream. */
	std::size_t max_record() const { return info().max_record; }
	/** The peer's ivshmem ID, when it has one. */
	std::optional<std::uint16_t> peer() const
	{
		const std::uint32_t id = info().peer;

		return id > 0xffff ? std::nullopt : std::optional{static_cast<std::uint16_t>(id)};
	}
	link_state state() const { return static_cast<link_state>(info().state); }
	/** Bytes that can be read now; packet mode: with record heads. */
	std::size_t data_ready() const { return info().rx_ready; }
	/** Bytes that can be written now; packet mode: with the record's head. */
	std::size_t buffer_space() const { return info().tx_space; }

	kvmchan_counters counters() const
	{
		kvmchan_counters out{};

		out.struct_size = sizeof(out);
		internal::checked(kvmchan_channel_counters(handle_.get(), &out), "counters");
		return out;
	}

	/** Nothing more will be written: the peer reads what there is, and then the end. */
	void shutdown_write() { internal::checked(kvmchan_channel_shutdown(handle_.get(), SHUT_WR), "shutdown"); }
	/** Nothing more will be read: the peer's writes are broken_pipe. */
	void shutdown_read() { internal::checked(kvmchan_channel_shutdown(handle_.get(), SHUT_RD), "shutdown"); }

	/** Ends this session and begins a new one; no other call may be under way. */
	void reconnect() { internal::checked(kvmchan_channel_reconnect(handle_.get()), "reconnect"); }
	void reconnect(std::error_code &ec) noexcept { internal::coded(kvmchan_channel_reconnect(handle_.get()), ec); }

	/** Low-water marks of a stream, 1 to half the ring's size. */
	kvmchan_lowat low_water() const
	{
		kvmchan_lowat out{};

		internal::checked(kvmchan_channel_lowat(handle_.get(), &out), "low-water marks");
		return out;
	}
	void low_water(const kvmchan_lowat &marks)
	{
		internal::checked(kvmchan_channel_set_lowat(handle_.get(), &marks), "low-water marks");
	}

	/** For the C interface; stays this object's. */
	kvmchan_channel *c_handle() const noexcept { return handle_.get(); }

private:
	struct closer {
		void operator()(kvmchan_channel *handle) const noexcept { kvmchan_channel_close(handle); }
	};

	template <typename Make>
	static kvmchan_channel *make(const channel_options &options, Make call)
	{
		kvmchan_channel_options c{};
		kvmchan_channel *out = nullptr;

		c.struct_size = sizeof(c);
		c.flags = (options.non_blocking ? KVMCHAN_NONBLOCK : 0U) | (options.read ? 0U : KVMCHAN_WRITE_ONLY) |
		          (options.write ? 0U : KVMCHAN_READ_ONLY) | (options.side ? KVMCHAN_SIDE : 0U) |
		          (options.guard ? KVMCHAN_GUARD : 0U);
		c.side = options.side.value_or(0);
		c.lowat = {options.rx_lowat, options.tx_lowat};
		c.busy_poll_ns = options.busy_poll.count() > 0 ? options.busy_poll.count() : -1;
		if (const int error = call(&c, &out))
			internal::throw_opening(error);
		return out;
	}

	std::unique_ptr<kvmchan_channel, closer> handle_;
};

} // namespace kvmchan::inline v1

#endif
