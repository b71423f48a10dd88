// SPDX-License-Identifier: MIT
#include "client_session.hpp"

#include <cerrno>

#include <asio/post.hpp>
#include <sys/socket.h>

namespace kvmchan {
namespace {

/* Descriptors in flight are counted per user: wait for others to take theirs. */
constexpr std::chrono::milliseconds retry_delay{20};

} // namespace

client_session::client_session(asio::io_context &io, unique_fd socket, peer_credentials who,
                               std::chrono::milliseconds deadline, end_handler at_end)
	: io_{io}, socket_{std::move(socket)}, watch_{io, socket_.get()}, deadline_timer_{io}, retry_timer_{io},
	  who_{who}, deadline_{deadline}, at_end_{std::move(at_end)}
{
}

void client_session::flush()
{
	std::error_code ec;

	if (!socket_ || waiting_)
		return;
	switch (outbox_.flush(socket_.get(), ec)) {
	case ivshmem::outbox::result::drained:
		/* A first try that takes all is the usual thing, and no news. */
		if (std::exchange(deadline_runs_, false)) {
			outbox_.trim();
			if (at_drained_)
				at_drained_();
		}
		deadline_timer_.cancel();
		return;
	case ivshmem::outbox::result::would_block:
		watch_output();
		break;
	case ivshmem::outbox::result::retry_later:
		retry_soon();
		break;
	case ivshmem::outbox::result::failed:
		end("gone: " + ec.message());
		return;
	}
	if (!deadline_runs_)
		watch_deadline();
}

void client_session::watch_output()
{
	waiting_ = true;
	watch_.when_writable([self = shared_from_this()](const std::error_code &ec) {
		self->waiting_ = false;
		if (!ec)
			self->flush();
	});
}

void client_session::retry_soon()
{
	waiting_ = true;
	retry_timer_.expires_after(retry_delay);
	retry_timer_.async_wait([self = shared_from_this()](const std::error_code &ec) {
		self->waiting_ = false;
		if (!ec)
			self->flush();
	});
}

/* Each deadline that saw some progress is followed by another. */
void client_session::watch_deadline()
{
	deadline_runs_ = true;
	deadline_timer_.expires_after(deadline_);
	deadline_timer_.async_wait([self = shared_from_this(), before = outbox_.bytes_sent()](const std::error_code &ec) {
		if (ec || !self->deadline_runs_ || !self->socket_)
			return;
		if (self->outbox_.bytes_sent() != before)
			self->watch_deadline();
		else
			self->end("does not read: " + std::to_string(self->outbox_.size()) + " messages wait for it");
	});
}

void client_session::watch_input()
{
	watch_.when_readable([self = shared_from_this()](const std::error_code &ec) {
		if (!ec && self->socket_)
			self->input();
	});
}

void client_session::input()
{
	char byte = 0;
	const ssize_t length = ::recv(socket_.get(), &byte, sizeof(byte), MSG_DONTWAIT);

	if (length > 0)
		end("protocol violation: a client has nothing to send");
	else if (length == 0)
		end("left");
	else if (errno == EAGAIN || errno == EINTR)
		watch_input();
	else
		end("gone: " + std::error_code{errno, std::system_category()}.message());
}

bool client_session::is_quiet(int socket) noexcept
{
	char byte = 0;

	return ::recv(socket, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR);
}

bool client_session::hung_up() const noexcept
{
	char byte = 0;

	if (!socket_)
		return true;
	const ssize_t length = ::recv(socket_.get(), &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

	return length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
}

void client_session::close() noexcept
{
	watch_.stop();
	deadline_timer_.cancel();
	retry_timer_.cancel();
	socket_.reset();
}

void client_session::end(const std::string &why)
{
	if (!socket_)
		return;
	close();
	asio::post(io_, [self = shared_from_this(), why] { self->at_end_(*self, why); });
}

} // namespace kvmchan
