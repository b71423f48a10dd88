// SPDX-License-Identifier: MIT
#include "ivshmem_client.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <poll.h>
#include <sys/stat.h>

#include "doorbell.hpp"
#include "unix_socket.hpp"

namespace kvmchan {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds burst_pause{10};

bool refuse(std::error_code &ec, std::errc error = std::errc::protocol_error) noexcept
{
	ec = std::make_error_code(error);
	return false;
}

bool is_memory(int fd) noexcept
{
	struct stat st {};

	return ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Rounds up, so that the last wait is not a busy loop. */
int poll_timeout(clock::time_point deadline) noexcept
{
	const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();

	return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

clock::time_point deadline_after(std::chrono::nanoseconds timeout) noexcept
{
	const auto now = clock::now();

	return timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
}

} // namespace

ivshmem_client::ivshmem_client(unique_fd socket, const ivshmem_client_options &options) noexcept
	: socket_{std::move(socket)}, options_{options}
{
}

ivshmem_client ivshmem_client::connect(const std::filesystem::path &path, std::chrono::nanoseconds timeout,
                                       const ivshmem_client_options &options, std::error_code &ec)
{
	unique_fd socket = unix_connect(path, ec);

	if (ec)
		return {};

	ivshmem_client client{std::move(socket), options};

	client.handshake(timeout, ec);
	if (ec)
		return {};
	return client;
}

ivshmem_client ivshmem_client::connect(const std::filesystem::path &path, std::chrono::nanoseconds timeout,
                                       const ivshmem_client_options &options)
{
	std::error_code ec;
	ivshmem_client client = connect(path, timeout, options, ec);

	if (ec == std::errc::connection_aborted)
		throw std::system_error{ec, "ivshmem server " + path.string() + " hung up: it is full or does not admit us"};
	if (ec)
		throw std::system_error{ec, "ivshmem server " + path.string()};
	return client;
}

bool ivshmem_client::complete() const noexcept
{
	if (stage_ != stage::peers || vectors() < options_.vectors)
		return false;
	/* Every peer of a server has as many, and our own come last. */
	return std::all_of(peers_.begin(), peers_.end(),
	                   [&](const auto &entry) { return entry.second.size() <= vectors(); });
}

void ivshmem_client::handshake(std::chrono::nanoseconds timeout, std::error_code &ec)
{
	const auto deadline = deadline_after(timeout);

	/* Pump before each look at the clock: a time-out of 0 takes what is there. */
	for (;;) {
		pump(nullptr, ec);
		if (ec)
			return;

		/*
		 * Nothing marks the last of our own vectors. A server sends all of
		 * them at once, so a pause after the ones that were asked for is
		 * the end; what comes later still is pump()'s to take in.
		 */
		const bool enough = complete();
		const auto until = enough ? std::min(deadline, clock::now() + burst_pause) : deadline;
		pollfd entry{socket_.get(), POLLIN, 0};
		const int ready = ::poll(&entry, 1, poll_timeout(until));

		if (ready == 0 && enough)
			return;
		if (ready == 0 && clock::now() >= deadline) {
			ec = std::make_error_code(std::errc::timed_out);
			return;
		}
		if (ready < 0 && errno != EINTR) {
			ec.assign(errno, std::system_category());
			return;
		}
	}
}

void ivshmem_client::pump(ivshmem_observer *observer, std::error_code &ec)
{
	/* A server that sends for ever must not keep us here for ever. */
	constexpr int messages_per_pump = 4096;

	ec.clear();
	if (closed()) {
		ec = std::make_error_code(std::errc::connection_aborted);
		return;
	}
	for (int i = 0; i < messages_per_pump; ++i) {
		switch (incoming_.receive(socket_.get(), ec)) {
		case ivshmem::incoming::result::would_block:
			return;
		case ivshmem::incoming::result::complete:
			if (take_message(observer, ec))
				continue;
			break;
		case ivshmem::incoming::result::end_of_stream:
			ec = std::make_error_code(std::errc::connection_aborted);
			break;
		case ivshmem::incoming::result::failed:
			break;
		}
		socket_.reset();
		return;
	}
}

bool ivshmem_client::take_message(ivshmem_observer *observer, std::error_code &ec)
{
	const std::int64_t value = incoming_.value();
	unique_fd fd = incoming_.take_fd();

	switch (stage_) {
	case stage::version:
		if (value != ivshmem::protocol_version || fd)
			return refuse(ec);
		stage_ = stage::own_id;
		return true;
	case stage::own_id:
		if (value < 0 || value > ivshmem::id_max || fd)
			return refuse(ec);
		id_ = value;
		stage_ = stage::memory;
		return true;
	case stage::memory:
		return take_memory_message(value, std::move(fd), ec);
	case stage::peers:
		break;
	}
	return take_peer_message(value, std::move(fd), observer, ec);
}

bool ivshmem_client::take_memory_message(std::int64_t value, unique_fd fd, std::error_code &ec)
{
	if (value != ivshmem::memory_marker || !fd || !is_memory(fd.get()))
		return refuse(ec);
	memory_ = std::move(fd);
	stage_ = stage::peers;
	return true;
}

bool ivshmem_client::take_peer_message(std::int64_t value, unique_fd fd, ivshmem_observer *observer,
                                       std::error_code &ec)
{
	if (value < 0 || value > ivshmem::id_max)
		return refuse(ec);

	const auto peer = static_cast<std::uint16_t>(value);

	if (!fd) {
		const auto found = peers_.find(peer);

		if (found == peers_.end() || value == id_)
			return refuse(ec);
		eventfds_ -= found->second.size();
		peers_.erase(found);
		if (observer)
			observer->peer_left(peer);
		return true;
	}
	if (!is_doorbell(fd.get()))
		return refuse(ec);

	/* Before there is an entry: who is refused is no peer. */
	if (vectors(peer) >= options_.vectors_max || eventfds_ >= options_.eventfds_max)
		return refuse(ec, std::errc::value_too_large);
	peers_[peer].push_back(std::move(fd));
	++eventfds_;
	if (observer)
		observer->vector_added(peer, vectors(peer));
	return true;
}

std::size_t ivshmem_client::vectors(std::uint16_t peer) const noexcept
{
	const auto found = peers_.find(peer);

	return found == peers_.end() ? 0 : found->second.size();
}

int ivshmem_client::vector_fd(std::uint16_t peer, std::size_t vector) const noexcept
{
	const auto found = peers_.find(peer);

	if (found == peers_.end() || vector >= found->second.size())
		return -1;
	return found->second[vector].get();
}

std::vector<std::uint16_t> ivshmem_client::peers() const
{
	std::vector<std::uint16_t> ids;

	ids.reserve(peers_.size());
	for (const auto &entry : peers_)
		if (entry.first != id_)
			ids.push_back(entry.first);
	return ids;
}

bool ivshmem_client::ring(std::uint16_t peer, std::size_t vector) const noexcept
{
	const int fd = vector_fd(peer, vector);

	return fd >= 0 && ring_doorbell(fd);
}

} // namespace kvmchan
