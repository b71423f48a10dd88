// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <climits>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>

#include "control_service.hpp"
#include "unix_socket.hpp"

namespace kvmchan {
namespace {

using nlohmann::json;
using clock = std::chrono::steady_clock;

/* Replies hold a whole table: 4096 slots of a few hundred bytes each. */
constexpr std::size_t reply_max = 8 * 1024 * 1024;

void wait_for(int fd, short events, clock::time_point deadline, const std::string &what)
{
	for (;;) {
		const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
		pollfd entry{fd, events, 0};
		const int ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));

		if (ready > 0)
			return;
		if (ready == 0)
			throw std::system_error{std::make_error_code(std::errc::timed_out), what};
		if (errno != EINTR)
			throw std::system_error{errno, std::system_category(), what};
	}
}

std::string read_line(int fd, clock::time_point deadline, const std::string &what)
{
	std::string line;
	std::array<char, 16384> chunk;

	while (line.empty() || line.back() != '\n') {
		wait_for(fd, POLLIN, deadline, what);
		const ssize_t length = ::recv(fd, chunk.data(), chunk.size(), MSG_DONTWAIT);

		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (length <= 0 || line.size() > reply_max)
			throw std::system_error{std::make_error_code(std::errc::connection_aborted),
			                        what + ": no whole reply (are you admitted there?)"};
		line.append(chunk.data(), static_cast<std::size_t>(length));
	}
	return line;
}

void write_line(int fd, std::string_view line, clock::time_point deadline, const std::string &what)
{
	while (!line.empty()) {
		const ssize_t length = ::send(fd, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (length >= 0)
			line.remove_prefix(static_cast<std::size_t>(length));
		else if (errno == EAGAIN)
			wait_for(fd, POLLOUT, deadline, what);
		else if (errno != EINTR)
			throw std::system_error{errno, std::system_category(), what};
	}
}

} // namespace

json control_request(const std::filesystem::path &control_socket, const json &request,
                     std::chrono::milliseconds timeout)
{
	const std::string what = "control socket " + control_socket.string();
	const auto deadline = clock::now() + timeout;
	std::error_code ec;
	const unique_fd fd = unix_connect(control_socket, ec);

	if (ec)
		throw std::system_error{ec, what};
	write_line(fd.get(), request.dump() + "\n", deadline, what);

	json reply = json::parse(read_line(fd.get(), deadline, what), nullptr, false);

	if (!reply.is_object())
		throw std::system_error{std::make_error_code(std::errc::bad_message), what};
	/* Of any type: who answers there may be another program. */
	const auto ok = reply.find("ok"), error = reply.find("error");

	if (ok == reply.end() || *ok != true)
		throw std::system_error{std::make_error_code(std::errc::io_error),
		                        error != reply.end() && error->is_string() ? error->get<std::string>()
		                                                                   : what + ": refused"};
	return reply;
}

} // namespace kvmchan
