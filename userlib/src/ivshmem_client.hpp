// SPDX-License-Identifier: MIT
// A client of any ivshmem server: ours, QEMU's example, or a hostile one.
#ifndef KVMCHAN_IVSHMEM_CLIENT_HPP
#define KVMCHAN_IVSHMEM_CLIENT_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <vector>

#include "ivshmem_protocol.hpp"
#include "unique_fd.hpp"

namespace kvmchan {

/** Told by ivshmem_client::pump() as peers come and go. */
class ivshmem_observer {
public:
	virtual ~ivshmem_observer() = default;
	/** A peer, maybe ourselves, has one vector more: @p vectors by now. */
	virtual void vector_added(std::uint16_t id, std::size_t vectors) = 0;
	virtual void peer_left(std::uint16_t id) = 0;
};

/** What a client expects and bears. */
struct ivshmem_client_options {
	/** Own vectors without which the handshake is not over. */
	std::size_t vectors = 1;
	/** Most vectors of one peer. */
	std::size_t vectors_max = ivshmem::vectors_max;
	/** Most eventfds in all: bounds what a server can make us hold. */
	std::size_t eventfds_max = 16384;
};

/**
 * One connection to an ivshmem server. Move-only; one thread at a time.
 *
 * All that comes is checked: the version, IDs from 0 to 65535, the memory
 * exactly once and before any eventfd, a regular file as memory, eventfds as
 * eventfds, no departure of an unknown peer, the limits of the options.
 * Anything else is protocol_error (or value_too_large for a limit), after which
 * the connection is dead: closed() is true. What was received stays usable.
 */
class ivshmem_client {
public:
	ivshmem_client() noexcept = default;

	/**
	 * Connects and waits for the handshake: own ID, memory, at least
	 * options.vectors own eventfds and as many as other peers have, and then
	 * until the server pauses for a moment.
	 *
	 * Errors: those of connecting; timed_out; protocol_error; and
	 * connection_aborted when the server hangs up early, as it does with
	 * clients that it does not admit.
	 */
	static ivshmem_client connect(const std::filesystem::path &path, std::chrono::nanoseconds timeout,
	                              const ivshmem_client_options &options, std::error_code &ec);
	/** The same; throws std::system_error naming the path. */
	static ivshmem_client connect(const std::filesystem::path &path, std::chrono::nanoseconds timeout,
	                              const ivshmem_client_options &options = {});

	/** Takes a connected socket over and does nothing with it yet. */
	ivshmem_client(unique_fd socket, const ivshmem_client_options &options) noexcept;

	/** Pumps until the handshake is complete, at most for @p timeout. */
	void handshake(std::chrono::nanoseconds timeout, std::error_code &ec);

	/** The socket: readable when pump() has something to do. -1 once closed. */
	int native_handle() const noexcept { return socket_.get(); }
	bool closed() const noexcept { return !socket_; }
	/** Own ID, memory and enough own eventfds are there; more may follow. */
	bool complete() const noexcept;

	/**
	 * Takes what the server has sent, without waiting, and tells @p observer
	 * (may be null). The end of the connection is connection_aborted: QEMU's
	 * server died or went; memory and doorbells go on working.
	 */
	void pump(ivshmem_observer *observer, std::error_code &ec);

	/** Own ID, valid once complete. */
	std::uint16_t id() const noexcept { return id_ < 0 ? 0 : static_cast<std::uint16_t>(id_); }

	/** The memory, -1 before it came; stays ours. */
	int memory_fd() const noexcept { return memory_.get(); }
	unique_fd take_memory() noexcept { return std::move(memory_); }

	/** Own eventfds: to poll for reading, and to drain with drain_doorbell(). */
	std::size_t vectors() const noexcept { return vectors(id()); }
	int vector_fd(std::size_t vector) const noexcept { return vector_fd(id(), vector); }

	/** Eventfds of a peer that is there; none of one that is not. */
	std::size_t vectors(std::uint16_t peer) const noexcept;
	int vector_fd(std::uint16_t peer, std::size_t vector) const noexcept;
	std::vector<std::uint16_t> peers() const;

	/**
	 * Rings a peer, as a guest's doorbell register does; does not wait. False,
	 * and nothing else, when there is no such peer or vector.
	 */
	bool ring(std::uint16_t peer, std::size_t vector) const noexcept;

private:
	enum class stage { version, own_id, memory, peers };

	bool take_message(ivshmem_observer *observer, std::error_code &ec);
	bool take_memory_message(std::int64_t value, unique_fd fd, std::error_code &ec);
	bool take_peer_message(std::int64_t value, unique_fd fd, ivshmem_observer *observer, std::error_code &ec);

	unique_fd socket_;
	ivshmem_client_options options_;
	ivshmem::incoming incoming_;
	stage stage_ = stage::version;
	std::int64_t id_ = -1;
	unique_fd memory_;
	std::map<std::uint16_t, std::vector<unique_fd>> peers_;
	std::size_t eventfds_ = 0;
};

} // namespace kvmchan

#endif
