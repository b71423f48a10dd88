// SPDX-License-Identifier: MIT
// One client of an ivshmem socket, as its server sees it.
#ifndef KVMCHAN_SERVER_CLIENT_SESSION_HPP
#define KVMCHAN_SERVER_CLIENT_SESSION_HPP

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "fd_watch.hpp"
#include "ivshmem_outbox.hpp"
#include "unique_fd.hpp"
#include "unix_socket.hpp"

namespace kvmchan {

/**
 * Sends what is queued as fast as the client takes it, and watches for its end.
 * It ends a client that hangs up, that sends anything (the protocol has nothing
 * to send), or that takes nothing for the deadline while something waits for
 * it. The loop is never held up, and a client's end is always reported from the
 * loop, never from within a call.
 */
class client_session : public std::enable_shared_from_this<client_session> {
public:
	/** Called once, with why; the session is over then. */
	using end_handler = std::function<void(client_session &, const std::string &)>;

	client_session(asio::io_context &io, unique_fd socket, peer_credentials who,
	               std::chrono::milliseconds deadline, end_handler at_end);

	/** Queues a message; flush() sets it on its way. */
	void push(std::int64_t value) { outbox_.push(value); }
	void push(std::int64_t value, ivshmem::shared_fd fd) { outbox_.push(value, std::move(fd)); }

	/** Sends what the client takes now, and the rest as it takes it. */
	void flush();
	/** Begins to watch for the client's end. */
	void start() { watch_input(); }

	/** Is somebody there, who has sent nothing yet? Of one that has no session yet. */
	static bool is_quiet(int socket) noexcept;
	/** Has the client hung up, though the loop has not said so yet? */
	bool hung_up() const noexcept;
	/** Closes without calling the end handler. */
	void close() noexcept;
	/** Closes now; the end handler is called soon. */
	void end(const std::string &why);

	int fd() const noexcept { return socket_.get(); }
	const ivshmem::outbox &outbox() const noexcept { return outbox_; }
	void restore_head_sent(std::size_t bytes) noexcept { outbox_.restore_head_sent(bytes); }
	/** Called when all that was queued is with the kernel. */
	void when_drained(std::function<void()> handler) { at_drained_ = std::move(handler); }

	const peer_credentials &credentials() const noexcept { return who_; }
	std::size_t queued() const noexcept { return outbox_.size(); }

	std::uint16_t id = 0;		/* the peer that it is */
	std::uint64_t joined = 0;	/* the region's tick at which it came */
	bool is_vm = false;

private:
	void watch_input();
	void input();
	void watch_output();
	void watch_deadline();
	void retry_soon();

	asio::io_context &io_;
	unique_fd socket_;
	fd_watch watch_;
	asio::steady_timer deadline_timer_;
	asio::steady_timer retry_timer_;
	peer_credentials who_;
	std::chrono::milliseconds deadline_;
	end_handler at_end_;
	std::function<void()> at_drained_;
	ivshmem::outbox outbox_;
	bool waiting_ = false;
	bool deadline_runs_ = false;
};

} // namespace kvmchan

#endif
