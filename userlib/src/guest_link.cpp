// SPDX-License-Identifier: MIT
#include "guest_link.hpp"

#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

#include "guest_node.hpp"

namespace kvmchan::detail {
namespace {

constexpr unsigned long ring_of(direction which) noexcept
{
	return which == direction::rx ? KVMCHAN_RING_RX : KVMCHAN_RING_TX;
}

/* So that the first messages do not pay for it. Reads: what is there may be needed. */
void touch(std::span<const std::byte> pages) noexcept
{
	const auto step = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

	for (std::size_t at = 0; at < pages.size(); at += step)
		static_cast<void>(*static_cast<const volatile std::byte *>(&pages[at]));
}

} // namespace

/* All of it, and brought in; or nothing. */
int guest_link::map(guarded_mapping &into, std::uint64_t offset, std::size_t size, bool writable) noexcept
{
	std::error_code ec;
	guarded_mapping made;

	made.at = mapping{node_, offset, size, writable, ec};
	if (ec)
		return -ec.value();
	try {
		if (guard_)
			made.guard = mapping_guard{made.at.bytes(), error_};
	} catch (const std::system_error &error) {
		return -error.code().value();
	}
	touch(made.at.bytes());
	into = std::move(made);
	return 0;
}

int guest_link::map_indices() noexcept
{
	if (peer_index_.at.bytes().data())
		return 0;
	if (const int error = map(own_index_, KVMCHAN_MMAP_OWN_INDEX, sizeof(kvmchan_index_page), true))
		return error;
	return map(peer_index_, KVMCHAN_MMAP_PEER_INDEX, sizeof(kvmchan_index_page), false);
}

int guest_link::take(direction which, std::size_t size) noexcept
{
	if (const int error = call_ioctl(node_, KVMCHAN_IOC_MAP_RINGS, ring_of(which)))
		return error;
	if (const int error = map_indices())
		return error;
	return which == direction::rx ? map(rx_view_, KVMCHAN_MMAP_RX, 2 * size, false)
	                              : map(tx_view_, KVMCHAN_MMAP_TX, 2 * size, true);
}

std::span<std::byte> guest_link::view(direction which) const noexcept
{
	return (which == direction::rx ? rx_view_ : tx_view_).at.bytes();
}

/* Errors of the driver are about the session or the device: they stay. */
int guest_link::rings(kvmchan_rings &request) noexcept
{
	const int error = call_ioctl(node_, KVMCHAN_IOC_RINGS, &request);
	int none = 0;

	if (error < 0)
		error_.compare_exchange_strong(none, -error);
	return error;
}

int guest_link::begin(kvmchan_rx &rx) noexcept
{
	rx = {};
	rx.size = view(direction::rx).size() / 2;
	rx.own = reinterpret_cast<kvmchan_index_page *>(own_index_.at.bytes().data());
	rx.peer = reinterpret_cast<const kvmchan_index_page *>(peer_index_.at.bytes().data());
	sync_rx(rx, 0);
	return -error();
}

int guest_link::begin(kvmchan_tx &tx) noexcept
{
	kvmchan_rings now{};

	tx = {};
	tx.size = view(direction::tx).size() / 2;
	tx.own = reinterpret_cast<kvmchan_index_page *>(own_index_.at.bytes().data());
	tx.peer = reinterpret_cast<const kvmchan_index_page *>(peer_index_.at.bytes().data());
	if (const int error = rings(now))
		return error;
	tx.prod = now.tx_prod;
	tx.cons = now.tx_cons;
	tx.live = now.flags & KVMCHAN_RINGS_TX_LIVE;
	return 0;
}

unsigned guest_link::sync_rx(kvmchan_rx &rx, std::uint64_t want) noexcept
{
	kvmchan_rings now{};

	now.rx_want = want;
	if (rings(now))
		return KVMCHAN_END;
	const bool live = now.flags & KVMCHAN_RINGS_RX_LIVE;

	if (live && !rx.live)
		rx.cons = rx.prod = now.rx_cons;
	else if (!live)
		rx.prod = rx.cons;
	rx.live = live;
	return now.flags & KVMCHAN_RINGS_RX_END ? KVMCHAN_END : 0;
}

unsigned guest_link::sync_tx(kvmchan_tx &tx, std::uint64_t want) noexcept
{
	kvmchan_rings now{};

	now.tx_want = want;
	if (rings(now))
		return KVMCHAN_END;
	if (now.flags & KVMCHAN_RINGS_TX_LIVE)
		tx.live = true;
	if (now.flags & KVMCHAN_RINGS_TX_END)
		return KVMCHAN_END;
	return now.flags & KVMCHAN_RINGS_TX_HOLD ? KVMCHAN_HOLD : 0;
}

int guest_link::broken() noexcept
{
	int none = 0;

	if (!error_.compare_exchange_strong(none, EPROTO))
		return -none;
	count(counters_.protocol_errors);
	/* The peer shall not wait for us, nor a thread of ours for him. */
	call_ioctl(node_, KVMCHAN_IOC_SHUTDOWN, static_cast<unsigned long>(SHUT_RDWR));
	return -EPROTO;
}

bool guest_link::ring_peer(direction which) noexcept
{
	const int error = call_ioctl(node_, KVMCHAN_IOC_KICK, ring_of(which));

	/* The writer finds out why when it looks. */
	if (error && which == direction::tx)
		kvmchan_store(&kicked_in_vain_, kvmchan_load(&kicked_in_vain_) + 1);
	return !error;
}

int guest_link::ask(std::uint64_t rx_want, std::uint64_t tx_want) noexcept
{
	kvmchan_rings request{};

	request.rx_want = rx_want;
	request.tx_want = tx_want;
	return rings(request);
}

int guest_link::sleep(direction which, std::uint64_t want) noexcept
{
	kvmchan_rings request{};

	(which == direction::rx ? request.rx_want : request.tx_want) = want;
	request.timeout_ns = -1;
	return rings(request);
}

void guest_link::reopened() noexcept
{
	error_.store(0, std::memory_order_release);
	flags_.store(0, std::memory_order_relaxed);
}

} // namespace kvmchan::detail
