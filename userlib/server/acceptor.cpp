// SPDX-License-Identifier: MIT
#include "acceptor.hpp"

#include <chrono>

#include <spdlog/spdlog.h>

namespace kvmchan {
namespace {

constexpr std::chrono::milliseconds pause_length{100};
/* Then let the loop serve others; the socket stays readable. */
constexpr int accepts_per_turn = 16;

} // namespace

acceptor::acceptor(asio::io_context &io, unix_listener listener, const access_list &access,
                   connection_handler at_connection)
	: listener_{std::move(listener)}, watch_{io, listener_.fd()}, pause_timer_{io}, access_{access},
	  at_connection_{std::move(at_connection)}
{
}

void acceptor::stop() noexcept
{
	watch_.stop();
	pause_timer_.cancel();
	listener_.close();
}

void acceptor::leave() noexcept
{
	watch_.stop();
	pause_timer_.cancel();
	listener_.leave();
}

void acceptor::wait()
{
	watch_.when_readable([this](const std::error_code &ec) {
		if (!ec && listener_)
			accept_all();
	});
}

void acceptor::pause()
{
	pause_timer_.expires_after(pause_length);
	pause_timer_.async_wait([this](const std::error_code &ec) {
		if (!ec && listener_)
			accept_all();
	});
}

void acceptor::accept_all()
{
	for (int i = 0; i < accepts_per_turn; ++i)
		if (!accept_one())
			return;
	wait();
}

/* False: somebody else sees to it that we come back. */
bool acceptor::accept_one()
{
	std::error_code ec;
	unique_fd connection = listener_.accept(ec);

	if (ec == std::errc::too_many_files_open || ec == std::errc::too_many_files_open_in_system ||
	    ec == std::errc::not_enough_memory || ec == std::errc::no_buffer_space) {
		spdlog::warn("{}: cannot accept now: {}", path(), ec.message());
		pause();
		return false;
	}
	if (ec == std::errc::operation_would_block || ec == std::errc::resource_unavailable_try_again) {
		wait();
		return false;
	}
	if (ec)
		return true;	/* that visitor is gone already */

	const peer_credentials who = unix_credentials(connection.get(), ec);

	if (ec || !access_.admits(connection.get(), who)) {
		spdlog::warn("{}: refused uid {} gid {} pid {}: not on the list of who may connect", path(), who.uid,
		             who.gid, who.pid);
		return true;
	}
	at_connection_(std::move(connection), who);
	return true;
}

} // namespace kvmchan
