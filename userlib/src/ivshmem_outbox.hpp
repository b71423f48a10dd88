// SPDX-License-Identifier: MIT
// What an ivshmem server still has to say to one client.
#ifndef KVMCHAN_IVSHMEM_OUTBOX_HPP
#define KVMCHAN_IVSHMEM_OUTBOX_HPP

#include <cstddef>
#include <cstdint>
#include <cerrno>
#include <deque>
#include <memory>
#include <system_error>

#include "ivshmem_protocol.hpp"
#include "unique_fd.hpp"

namespace kvmchan::ivshmem {

/** A descriptor that several queued messages refer to. */
using shared_fd = std::shared_ptr<const unique_fd>;

/**
 * The messages for one client, in order; none is ever dropped. One that QEMU
 * misses shifts all later vectors, so a client that does not take its messages
 * can only be disconnected.
 */
class outbox {
public:
	struct message {
		wire_message bytes;
		shared_fd fd;
	};

	enum class result {
		drained,	/* all of it is with the kernel */
		would_block,	/* try again when the socket is writable */
		retry_later,	/* too many descriptors in flight: try again in a while */
		failed,		/* this client is gone */
	};

	void push(std::int64_t value) { queue_.push_back({encode(value), nullptr}); }
	void push(std::int64_t value, shared_fd fd) { queue_.push_back({encode(value), std::move(fd)}); }

	/** Sends what can be sent now. failed sets @p ec. */
	result flush(int socket, std::error_code &ec) noexcept;

	/** What waits, and how much of its first message is gone already. */
	const std::deque<message> &queue() const noexcept { return queue_; }
	std::size_t head_sent() const noexcept { return head_sent_; }
	/** Goes on where another outbox, with the same queue, stopped. */
	void restore_head_sent(std::size_t bytes) noexcept { head_sent_ = bytes < message_size ? bytes : 0; }

	/** Gives back what a long queue took, which a deque keeps. */
	void trim() noexcept { queue_.shrink_to_fit(); }

	std::size_t size() const noexcept { return queue_.size(); }
	bool empty() const noexcept { return queue_.empty(); }

	/** Bytes that the kernel has taken so far: unchanged means no progress. */
	std::uint64_t bytes_sent() const noexcept { return bytes_sent_; }

private:
	std::deque<message> queue_;
	std::size_t head_sent_ = 0;
	std::uint64_t bytes_sent_ = 0;
};

} // namespace kvmchan::ivshmem

#endif
