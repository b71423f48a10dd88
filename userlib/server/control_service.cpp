// SPDX-License-Identifier: MIT
#include "control_service.hpp"

#include <array>
#include <cerrno>
#include <string_view>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

namespace kvmchan {
namespace {

using nlohmann::json;

json answer(const control_service::request_handler &handler, std::string_view line)
try {
	const json request = json::parse(line);

	if (!request.is_object())
		return {{"ok", false}, {"error", "a request is a JSON object"}};
	json reply = handler(request);

	reply["ok"] = true;
	return reply;
} catch (const std::exception &error) {
	return {{"ok", false}, {"error", error.what()}};
}

} // namespace

class control_service::connection : public std::enable_shared_from_this<connection> {
public:
	connection(control_service &owner, unique_fd socket)
		: owner_{owner}, socket_{std::move(socket)}, watch_{owner.io_, socket_.get()}
	{
	}

	void wait()
	{
		watch_.when_readable([self = shared_from_this()](const std::error_code &ec) {
			if (!ec && self->socket_)
				self->input();
		});
	}

	void close() noexcept
	{
		watch_.stop();
		socket_.reset();
	}

	bool closed() const noexcept { return !socket_; }

private:
	void input()
	{
		std::array<char, 4096> chunk;
		const ssize_t length = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);

		if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
			close();
			return;
		}
		if (length > 0)
			input_.append(chunk.data(), static_cast<std::size_t>(length));
		answer_lines();
		if (!closed())
			wait();
	}

	void answer_lines()
	{
		for (auto end = input_.find('\n'); end != std::string::npos && !closed(); end = input_.find('\n')) {
			reply(answer(owner_.at_request_, std::string_view{input_}.substr(0, end)));
			input_.erase(0, end + 1);
		}
		if (input_.size() > control_line_max) {
			reply({{"ok", false}, {"error", "a request has at most 65536 bytes"}});
			close();
		}
	}

	/*
	 * A reply goes out at once or the connection ends: it is far shorter than
	 * a socket's buffer, so only who leaves many unread is concerned.
	 */
	void reply(const json &what)
	{
		const std::string line = what.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
		const int room = static_cast<int>(line.size()) + 4096;

		::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		if (::send(socket_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
		    static_cast<ssize_t>(line.size()))
			close();
	}

	control_service &owner_;
	unique_fd socket_;
	fd_watch watch_;
	std::string input_;
};

control_service::control_service(asio::io_context &io, unix_listener listener, const access_list &access,
                                 request_handler at_request)
	: io_{io}, at_request_{std::move(at_request)},
	  acceptor_{io, std::move(listener), access,
	            [this](unique_fd fd, const peer_credentials &) { admit(std::move(fd)); }}
{
}

control_service::~control_service()
{
	stop();
}

void control_service::stop() noexcept
{
	acceptor_.stop();
	hang_up();
}

void control_service::leave() noexcept
{
	acceptor_.leave();
	hang_up();
}

void control_service::hang_up() noexcept
{
	for (const auto &each : connections_)
		each->close();
	connections_.clear();
}

void control_service::admit(unique_fd socket)
{
	std::erase_if(connections_, [](const auto &each) { return each->closed(); });
	if (connections_.size() >= control_connections_max) {
		spdlog::warn("{}: {} connections are the limit", acceptor_.path(), control_connections_max);
		return;
	}
	connections_.push_back(std::make_shared<connection>(*this, std::move(socket)));
	connections_.back()->wait();
}

std::filesystem::path control_path(const std::filesystem::path &socket)
{
	return socket.string() + ".ctl";
}

} // namespace kvmchan
