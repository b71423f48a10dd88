// SPDX-License-Identifier: MIT
// The messages of QEMU's ivshmem client-server protocol.
#ifndef KVMCHAN_IVSHMEM_PROTOCOL_HPP
#define KVMCHAN_IVSHMEM_PROTOCOL_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "unique_fd.hpp"

/*
 * docs/specs/ivshmem-spec of QEMU, protocol version 0. AF_UNIX stream, from
 * server to client only. Each message is a little-endian signed 64-bit number
 * with at most one descriptor:
 *
 *	0			protocol version
 *	own ID
 *	-1	+ memory
 *	ID	+ eventfd	one per vector, in order, for each peer there is
 *	own ID	+ eventfd	one per vector, in order
 *
 * and later, as peers come and go:
 *
 *	ID	+ eventfd	a peer came; one per vector, in order
 *	ID			that peer left
 *
 * QEMU counts messages: one that is lost shifts every vector after it. It
 * needs the memory before the first eventfd, and hangs while the first burst
 * stays incomplete.
 */
namespace kvmchan::ivshmem {

inline constexpr std::int64_t protocol_version = 0;
inline constexpr std::int64_t memory_marker = -1;
inline constexpr std::int64_t id_max = 0xffff;
/** What MSI-X can have; QEMU's device rings the first 256 of them only. */
inline constexpr unsigned vectors_max = 2048;

inline constexpr std::size_t message_size = sizeof(std::int64_t);
using wire_message = std::array<std::byte, message_size>;

/** The bytes of @p value, little-endian. */
wire_message encode(std::int64_t value) noexcept;
std::int64_t decode(const wire_message &bytes) noexcept;

/**
 * Sends bytes [@p sent, 8) of @p message on a non-blocking socket, with
 * descriptor @p fd (or -1) if none of it went out before. Returns how many
 * bytes went out.
 *
 * Errors: operation_would_block; too_many_references (ETOOMANYREFS) when this
 * user has too many descriptors in flight, which is temporary; broken_pipe and
 * connection_reset when the client is gone.
 */
std::size_t send_part(int socket, const wire_message &message, std::size_t sent, int fd,
                      std::error_code &ec) noexcept;

/** A message that is being received, piece by piece. */
class incoming {
public:
	enum class result { complete, would_block, end_of_stream, failed };

	/**
	 * Reads on from a socket, without waiting and never past the end of this
	 * message. On complete, value() and take_fd() are the message's, until the
	 * next call.
	 *
	 * failed sets @p ec: protocol_error when more than one descriptor came, or
	 * was cut off (MSG_CTRUNC), or the stream ended inside of a message; every
	 * descriptor that was received is closed.
	 */
	result receive(int socket, std::error_code &ec) noexcept;

	std::int64_t value() const noexcept { return decode(bytes_); }
	bool has_fd() const noexcept { return static_cast<bool>(fd_); }
	unique_fd take_fd() noexcept { return std::move(fd_); }

private:
	wire_message bytes_{};
	std::size_t received_ = 0;
	unique_fd fd_;
};

} // namespace kvmchan::ivshmem

#endif
