// SPDX-License-Identifier: MIT
// Accepts connections on one socket, for as long as there are any.
#ifndef KVMCHAN_SERVER_ACCEPTOR_HPP
#define KVMCHAN_SERVER_ACCEPTOR_HPP

#include <functional>
#include <string>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "access_list.hpp"
#include "fd_watch.hpp"
#include "unix_socket.hpp"

namespace kvmchan {

/**
 * Listens, checks credentials, and hands over whom it admits. When descriptors
 * run out it pauses, and the connections wait in the kernel's queue.
 */
class acceptor {
public:
	using connection_handler = std::function<void(unique_fd, const peer_credentials &)>;

	acceptor(asio::io_context &io, unix_listener listener, const access_list &access,
	         connection_handler at_connection);

	void start() { wait(); }
	/** Stops listening and removes the socket. */
	void stop() noexcept;
	/** Stops, and leaves the socket to the next server. */
	void leave() noexcept;
	const unix_listener &listener() const noexcept { return listener_; }
	std::string path() const { return listener_.path().string(); }

private:
	void wait();
	void pause();
	void accept_all();
	bool accept_one();

	unix_listener listener_;
	fd_watch watch_;
	asio::steady_timer pause_timer_;
	const access_list &access_;
	connection_handler at_connection_;
};

} // namespace kvmchan

#endif
