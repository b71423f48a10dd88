// SPDX-License-Identifier: MIT
#include "region_bells.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>

#include <poll.h>

#include "doorbell.hpp"

namespace kvmchan::detail {
namespace {

/* Peers can make us remember rings; that is all that it costs. */
constexpr std::size_t owed_max = 256;

} // namespace

region_bells::region_bells(ivshmem_client client)
	: client_{std::move(client)}, id_{client_.id()}, vectors_{client_.vectors()}
{
	std::error_code ec;
	sigset_t all, old;

	stop_ = make_doorbell(ec);
	if (ec)
		throw std::system_error{ec, "eventfd"};
	::sigfillset(&all);
	::pthread_sigmask(SIG_SETMASK, &all, &old);
	try {
		thread_ = std::thread{[this] { run(); }};
	} catch (...) {
		::pthread_sigmask(SIG_SETMASK, &old, nullptr);
		throw;
	}
	::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

region_bells::~region_bells()
{
	ring_doorbell(stop_.get());
	thread_.join();
}

int region_bells::vector_fd(std::size_t vector) const noexcept
{
	const std::shared_lock lock{mutex_};

	return client_.vector_fd(vector);
}

bool region_bells::ring_now(std::uint16_t peer, std::uint16_t vector) noexcept
{
	const std::shared_lock lock{mutex_};

	return client_.ring(peer, vector);
}

void region_bells::ring(std::uint16_t peer, std::uint16_t vector) noexcept
{
	if (ring_now(peer, vector))
		return;
	const std::pair wanted{peer, vector};
	const std::unique_lock lock{mutex_};

	/* It may have come between the two locks. */
	if (client_.ring(peer, vector) || client_.closed() || owed_.size() >= owed_max ||
	    std::find(owed_.begin(), owed_.end(), wanted) != owed_.end())
		return;
	try {
		owed_.push_back(wanted);
	} catch (const std::bad_alloc &) {
		return;
	}
}

std::vector<std::uint16_t> region_bells::peers() const
{
	const std::shared_lock lock{mutex_};

	return client_.peers();
}

void region_bells::vector_added(std::uint16_t id, std::size_t vectors)
{
	const auto found = std::find(owed_.begin(), owed_.end(), std::pair{id, static_cast<std::uint16_t>(vectors - 1)});

	if (found == owed_.end())
		return;
	client_.ring(found->first, found->second);
	owed_.erase(found);
}

void region_bells::peer_left(std::uint16_t id)
{
	std::erase_if(owed_, [id](const auto &entry) { return entry.first == id; });
}

bool region_bells::pump() noexcept
{
	const std::unique_lock lock{mutex_};
	std::error_code ec;

	try {
		client_.pump(this, ec);
	} catch (const std::bad_alloc &) {
		return false;
	}
	return !ec;
}

void region_bells::run() noexcept
{
	pollfd entries[] = {{stop_.get(), POLLIN, 0}, {client_.native_handle(), POLLIN, 0}};

	for (;;) {
		if (::poll(entries, std::size(entries), -1) < 0 && errno != EINTR)
			break;
		if (entries[0].revents)
			return;
		if (entries[1].revents && !pump())
			break;
	}
	alive_.store(false, std::memory_order_relaxed);
}

} // namespace kvmchan::detail
