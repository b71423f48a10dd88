// SPDX-License-Identifier: MIT
// The socket on which a running server is asked and told things.
#ifndef KVMCHAN_SERVER_CONTROL_SERVICE_HPP
#define KVMCHAN_SERVER_CONTROL_SERVICE_HPP

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <asio/io_context.hpp>
#include <nlohmann/json_fwd.hpp>

#include "acceptor.hpp"

namespace kvmchan {

/** Where the control socket of a region's socket is: "<socket>.ctl". */
std::filesystem::path control_path(const std::filesystem::path &socket);

/** Longest request: a line that has no end is refused there. */
inline constexpr std::size_t control_line_max = 64 * 1024;
inline constexpr std::size_t control_connections_max = 32;

/**
 * One JSON object a line each way; each request gets one reply, in order:
 *
 *	{"cmd":"status"}
 *	{"cmd":"ring","peer":1,"vector":0}
 *	{"cmd":"add","name":"log","kind":"channel","mode":"packet",
 *	 "size":["64K","1M"],"sides":["host","any"]}
 *	{"cmd":"remove","name":"log"}
 *	{"cmd":"reload"}
 *	{"cmd":"restart"}
 *
 * The reply to "status" has the "region", and of the "server" its "pid" and its
 * "heap", the bytes that it has allocated.
 *
 * A reply is {"ok":true,...} or {"ok":false,"error":"..."}. A connection that
 * does not read its replies is closed.
 */
class control_service {
public:
	/** Answers a request; may throw std::exception, which becomes the error. */
	using request_handler = std::function<nlohmann::json(const nlohmann::json &)>;

	control_service(asio::io_context &io, unix_listener listener, const access_list &access,
	                request_handler at_request);
	~control_service();

	void start() { acceptor_.start(); }
	void stop() noexcept;
	/** Stops, and leaves the socket to the next server. */
	void leave() noexcept;
	const unix_listener &listener() const noexcept { return acceptor_.listener(); }

private:
	class connection;

	void hang_up() noexcept;

	void admit(unique_fd socket);

	asio::io_context &io_;
	request_handler at_request_;
	acceptor acceptor_;
	std::vector<std::shared_ptr<connection>> connections_;
};

/**
 * Asks a running server: connects, sends @p request and waits for the reply, at
 * most @p timeout. Throws std::system_error: of connecting, timed_out, or
 * io_error with the server's own words when it refuses.
 */
nlohmann::json control_request(const std::filesystem::path &control_socket, const nlohmann::json &request,
                               std::chrono::milliseconds timeout = std::chrono::seconds{5});

} // namespace kvmchan

#endif
