// SPDX-License-Identifier: MIT
#include "host_link.hpp"

#include <cerrno>

#include "doorbell.hpp"

namespace kvmchan::detail {
namespace {

constexpr std::uint64_t no_traffic = KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER;

} // namespace

host_link::host_link(host_slot slot, kvmchan_rx &rx, kvmchan_tx &tx, std::uint64_t flags)
	: slot_{std::move(slot)}, bell_{slot_.bell()}, kept_flags_{flags}
{
	std::error_code ec;

	wake_ = make_doorbell(ec);
	if (ec)
		throw std::system_error{ec, "eventfd"};

	session_.own = slot_.own_session();
	session_.own_index = slot_.own_index();
	session_.peer = slot_.peer_session();
	session_.peer_index = slot_.peer_index();
	session_.own_reaped = slot_.reaped(slot_.side());
	session_.peer_reaped = slot_.reaped(1 - slot_.side());
	tx.own = slot_.own_index();
	tx.peer = slot_.peer_index();
	tx.size = slot_.slot().data_size[slot_.side()];
	rx.own = slot_.own_index();
	rx.peer = slot_.peer_index();
	rx.size = slot_.slot().data_size[1 - slot_.side()];

	/* Who pairs with us finds out from it how to wake us: before the link. */
	kvmchan_store(&slot_.own_session()->bell, bell_);
	settle(kvmchan_session_attach(&session_, &tx));
	reopen(rx, tx);
}

host_link::~host_link()
{
	const std::lock_guard lock{mutex_};

	/* The slot's pages may belong to somebody else by now. */
	if (session_.phase != KVMCHAN_PHASE_CLOSED && check_slot())
		settle(kvmchan_session_close(&session_));
}

int host_link::reopen(kvmchan_rx &rx, kvmchan_tx &tx) noexcept
{
	const std::lock_guard lock{mutex_};
	unsigned todo = 0;

	if (error() == ENODEV || !check_slot())
		return -ENODEV;
	if (session_.phase != KVMCHAN_PHASE_CLOSED)
		todo |= kvmchan_session_close(&session_);
	error_.store(0, std::memory_order_release);
	/* Whoever may write the region may have written over it since. */
	kvmchan_store(&slot_.own_session()->bell, bell_);
	todo |= kvmchan_session_open(&session_, &rx, &tx);
	todo |= kvmchan_session_flags(&session_, kept_flags_);
	flags_.store(kept_flags_, std::memory_order_relaxed);
	settle(todo | KVMCHAN_CHANGED);
	return 0;
}

unsigned host_link::settle(unsigned todo) noexcept
{
	if ((todo & KVMCHAN_RING_PEER) && slot_.ring_peer())
		count(counters_.doorbells_sent);
	if (todo & KVMCHAN_CHANGED)
		wake();
	return todo & (KVMCHAN_END | KVMCHAN_HOLD);
}

unsigned host_link::sync_rx(kvmchan_rx &rx, std::uint64_t) noexcept
{
	const std::lock_guard lock{mutex_};

	check_slot();
	return settle(kvmchan_session_sync_rx(&session_, &rx));
}

unsigned host_link::sync_tx(kvmchan_tx &tx, std::uint64_t) noexcept
{
	const std::lock_guard lock{mutex_};

	check_slot();
	return settle(kvmchan_session_sync_tx(&session_, &tx));
}

/* What the peer, the manager about the peer, and the manager about the table say. */
session_words host_link::watched() const noexcept
{
	return {&slot_.peer_session()->link, slot_.reaped(1 - slot_.side()), slot_.generation()};
}

/* Is the region still what it was? With mutex_ held. */
bool host_link::check_slot() noexcept
{
	if (error() == ENODEV)
		return false;
	if (slot_.still_there() && !slot_.where().memory_lost())
		return true;
	end(ENODEV);
	return false;
}

void host_link::end(int error) noexcept
{
	int none = 0;

	/* The loss of the slot outlasts everything. */
	if (error == ENODEV)
		error_.store(error, std::memory_order_release);
	else if (!error_.compare_exchange_strong(none, error))
		return;
	wake();
}

int host_link::broken() noexcept
{
	if (error() == ENODEV)
		return -ENODEV;
	if (slot_.where().memory_lost()) {
		end(ENODEV);
		return -ENODEV;
	}
	if (error() == 0)
		count(counters_.protocol_errors);
	end(EPROTO);
	/* A peer that is wrong by mistake shall not wait for us. */
	add_flags(no_traffic);
	return -EPROTO;
}

bool host_link::ring_peer(direction) noexcept
{
	return slot_.ring_peer();
}

void host_link::wake() noexcept
{
	ring_doorbell(wake_.get());
}

void host_link::add_flags(std::uint64_t flags) noexcept
{
	const std::lock_guard lock{mutex_};

	if (session_.phase == KVMCHAN_PHASE_CLOSED || !check_slot())
		return;
	flags |= flags_.load(std::memory_order_relaxed);
	flags_.store(flags, std::memory_order_relaxed);
	settle(kvmchan_session_flags(&session_, flags) | KVMCHAN_CHANGED);
}

kvmchan_state host_link::state() noexcept
{
	const std::lock_guard lock{mutex_};

	check_slot();
	settle(kvmchan_session_look(&session_));
	if (error() == EPROTO)
		return KVMCHAN_STATE_BROKEN;
	if (error() != 0 || session_.peer_gone)
		return KVMCHAN_STATE_DISCONNECTED;
	if (session_.phase == KVMCHAN_PHASE_PAIRED && session_.confirmed)
		return KVMCHAN_STATE_CONNECTED;
	return session_.phase == KVMCHAN_PHASE_CLOSED ? KVMCHAN_STATE_CLOSED : KVMCHAN_STATE_WAITING;
}

wake_source host_link::source() noexcept
{
	const std::lock_guard lock{mutex_};
	const bool connected = session_.phase == KVMCHAN_PHASE_PAIRED && session_.confirmed;

	if (connected)
		return kvmchan_session_rung(&session_, bell_) ? wake_source::doorbell : wake_source::polling;
	return bell_ & KVMCHAN_BELL_RINGABLE ? wake_source::rendezvous : wake_source::searching;
}

void host_link::watch(wait_set &set)
{
	set.add_doorbell(wake_.get());
	slot_.watch(set);
}

} // namespace kvmchan::detail
