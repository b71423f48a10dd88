// SPDX-License-Identifier: MIT
// The session of an end, as host_link has it, without a table, locks and doorbells.
#ifndef KVMCHAN_FUZZ_BARE_LINK_HPP
#define KVMCHAN_FUZZ_BARE_LINK_HPP

#include <array>
#include <cerrno>

#include "ring_link.hpp"

namespace kvmchan::fuzz {

/** What both sides of a channel share beside its rings. */
struct shared_words {
	kvmchan_control control{};
	std::array<__le64, 2> reaped{};
	__le64 generation = 0;
};

class bare_link final : public detail::ring_link {
public:
	bare_link(shared_words &words, unsigned side) noexcept : words_{words}, side_{side}
	{
		auto &own = words.control.side[side], &peer = words.control.side[1 - side];

		session_.own = &own.session;
		session_.own_index = &own.index;
		session_.peer = &peer.session;
		session_.peer_index = &peer.index;
		session_.own_reaped = &words.reaped[side];
		session_.peer_reaped = &words.reaped[1 - side];
	}

	void attach(kvmchan_rx &rx, kvmchan_tx &tx) noexcept
	{
		auto &own = words_.control.side[side_].index;
		const auto &peer = words_.control.side[1 - side_].index;

		tx.own = rx.own = &own;
		tx.peer = rx.peer = &peer;
		kvmchan_session_attach(&session_, &tx);
	}

	void open(kvmchan_rx &rx, kvmchan_tx &tx) noexcept
	{
		close();
		error_.store(0, std::memory_order_relaxed);
		flags_.store(0, std::memory_order_relaxed);
		kvmchan_session_open(&session_, &rx, &tx);
	}

	void close() noexcept
	{
		if (session_.phase != KVMCHAN_PHASE_CLOSED)
			kvmchan_session_close(&session_);
	}

	void add_flags(std::uint64_t flags) noexcept
	{
		flags |= flags_.load(std::memory_order_relaxed);
		flags_.store(flags, std::memory_order_relaxed);
		if (session_.phase != KVMCHAN_PHASE_CLOSED)
			kvmchan_session_flags(&session_, flags);
	}

	unsigned sync_rx(kvmchan_rx &rx, std::uint64_t) noexcept override
	{
		return kvmchan_session_sync_rx(&session_, &rx) & (KVMCHAN_END | KVMCHAN_HOLD);
	}

	unsigned sync_tx(kvmchan_tx &tx, std::uint64_t) noexcept override
	{
		return kvmchan_session_sync_tx(&session_, &tx) & (KVMCHAN_END | KVMCHAN_HOLD);
	}

	int broken() noexcept override
	{
		error_.store(EPROTO, std::memory_order_relaxed);
		add_flags(KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER);
		return -EPROTO;
	}

	bool ring_peer(detail::direction) noexcept override { return true; }
	bool arms() const noexcept override { return true; }

	detail::session_words watched() const noexcept override
	{
		return {&words_.control.side[1 - side_].session.link, &words_.reaped[1 - side_], &words_.generation};
	}

private:
	shared_words &words_;
	unsigned side_;
	kvmchan_session session_{};
};

} // namespace kvmchan::fuzz

#endif
