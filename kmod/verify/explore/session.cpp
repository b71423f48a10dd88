// SPDX-License-Identifier: MIT
// Whole histories of two sides that open, pair, write, read, half-close, close
// and open again, both directions, with one actor and one bell a side. A cell
// holds the epoch that wrote it and the number of the byte in that session.
#include "ends.hpp"
#include "run.hpp"

using namespace explore;

namespace {

constexpr std::uint64_t first_index = -1ULL; /* indices wrap on the way */
constexpr unsigned sessions_max = 2;

struct history {
	const char *name;
	std::uint64_t size;
	std::array<std::uint64_t, 2> bytes; /* that each session of a side has to send */
	std::array<unsigned, 2> sessions;
	bool early; /* sides may close whenever they like */
};

/* ---- what really happened, for the checks alone ---- */

/* The newest session that a side has begun to open. */
constexpr unsigned begun(unsigned side)
{
	return side;
}

/* What a session has published, and, for a moment, may have. */
constexpr unsigned published(unsigned side, std::uint64_t epoch)
{
	return 2 + side * sessions_max + static_cast<unsigned>(epoch - 1);
}

/* The peer's session that it has paired with. */
constexpr unsigned paired_with(unsigned side, std::uint64_t epoch)
{
	return 2 + 2 * sessions_max + side * sessions_max + static_cast<unsigned>(epoch - 1);
}

/* Some session has read of it. */
constexpr unsigned read_of(unsigned side, std::uint64_t epoch)
{
	return 2 + 4 * sessions_max + side * sessions_max + static_cast<unsigned>(epoch - 1);
}

static_assert(read_of(1, sessions_max) < notes_max);

struct side {
	kvmchan_session s;
	kvmchan_tx tx;
	kvmchan_rx rx;
	history h;
	unsigned me;
	unsigned opened;
	bool attached, idle;
	bool early;
	bool no_read, no_write; /* nothing more to be done there */
	std::uint64_t sent, got;

	std::uint64_t epoch() const { return kvmchan_link_epoch(s.link); }
	std::uint64_t acked() const { return kvmchan_link_acked(s.link); }

	/* Whether it was something that one has to look again for. */
	bool heed(unsigned todo)
	{
		if (todo & KVMCHAN_RING_PEER)
			ring(1U << (1 - me));
		return todo & KVMCHAN_CHANGED;
	}

	void note_pairing()
	{
		if (s.link & KVMCHAN_LINK_PAIRED)
			note(paired_with(me, epoch()), acked());
	}

	void open()
	{
		++opened;
		note(begun(me), opened);
		heed(kvmchan_session_open(&s, &rx, &tx));
		check(epoch() == opened, "an epoch is left out or used again");
		sent = got = 0;
		no_read = false;
		no_write = h.bytes[me] == 0;
		early = h.early && choose(2);
	}

	/* ---- reading ---- */

	void take_byte()
	{
		kvmchan_window w;

		kvmchan_rx_window(&rx, 0, 1, &w);
		const std::uint64_t cell = read_cell(1 - me, w.offset);

		check(cell >> 8 == acked(), "a byte of a session that is not paired with");
		check((cell & 0xff) == got, "a byte is lost, doubled or out of order");
		if (!got) {
			check(!recall(read_of(1 - me, acked())), "a session is read by two sessions");
			note(read_of(1 - me, acked()), 1);
		}
		++got;
		if (kvmchan_rx_commit(&rx, 1))
			ring(1U << (1 - me));
	}

	/* Did the session of the peer that we are paired with ever pair with us? */
	bool refused() const
	{
		const std::uint64_t link = newest(&words.control.side[1 - me].session.link);
		const std::uint64_t with = kvmchan_link_epoch(link) != acked()     ? recall(paired_with(1 - me, acked()))
		                           : link & KVMCHAN_LINK_PAIRED ? kvmchan_link_acked(link)
		                                                                   : 0;

		return with != epoch();
	}

	/*
	 * The end comes after all, but where the peer's session never was ours,
	 * or another one took its place before we could read.
	 */
	void check_end() const
	{
		if (!(s.link & KVMCHAN_LINK_PAIRED))
			return;
		if (!got && recall(begun(1 - me)) > acked())
			return;
		if (!rx.live) {
			check(refused(), "a session that is ours is not read to its end");
			return;
		}
		const std::uint64_t all = recall(published(1 - me, acked()));

		check(got == (all & 0xff) || got == all >> 8, "the end comes before the last byte");
	}

	bool refresh_rx()
	{
		check(!kvmchan_rx_refresh(&rx), "an honest writer is refused");
		return kvmchan_rx_used(&rx);
	}

	/* Whether something was done. */
	bool read_some()
	{
		if (!refresh_rx()) {
			const unsigned todo = kvmchan_session_sync_rx(&s, &rx);

			heed(todo);
			note_pairing();
			if (!refresh_rx()) { /* once more, after the state */
				if (todo & KVMCHAN_END) {
					check_end();
					no_read = true;
				}
				return no_read;
			}
		}
		take_byte();
		return true;
	}

	/* ---- writing ---- */

	void put_byte()
	{
		const unsigned noted = published(me, epoch());
		kvmchan_window w;

		kvmchan_tx_window(&tx, 0, 1, &w);
		write_cell(me, w.offset, epoch() << 8 | sent);
		note(noted, (sent + 1) << 8 | sent);
		const bool crossed = kvmchan_tx_commit(&tx, 1);

		++sent;
		note(noted, sent << 8 | sent);
		if (crossed)
			ring(1U << (1 - me));
	}

	bool write_some(bool &hold)
	{
		const unsigned todo = kvmchan_session_sync_tx(&s, &tx);
		const bool changed = heed(todo);

		note_pairing();
		if (todo & KVMCHAN_END)
			no_write = true;
		hold = todo & KVMCHAN_HOLD;
		if (changed || no_write || hold)
			return changed || no_write;
		check(!kvmchan_tx_refresh(&tx), "an honest reader is refused");
		if (!kvmchan_tx_free(&tx))
			return false;
		put_byte();
		if (sent == h.bytes[me]) {
			no_write = true;
			heed(kvmchan_session_flags(&s, KVMCHAN_LINK_NO_WRITER));
		}
		return true;
	}

	/* ---- a turn ---- */

	void arm(bool hold)
	{
		int ready = 0;

		if (!no_read && rx.live)
			ready |= kvmchan_rx_arm(&rx, 1);
		if (!no_write && !hold)
			ready |= kvmchan_tx_arm(&tx, 1);
		check(ready >= 0, "an honest peer is refused");
		idle = !ready;
	}

	void close()
	{
		heed(kvmchan_session_close(&s));
	}

	void turn()
	{
		bool hold = false;

		if (!attached) {
			heed(kvmchan_session_attach(&s, &tx));
			attached = true;
			return;
		}
		if (idle && early && choose(2)) {
			idle = false;
			close();
			return;
		}
		if (idle) {
			sleep();
			idle = false;
		}
		if (s.phase == KVMCHAN_PHASE_CLOSED) {
			if (opened == h.sessions[me])
				finish();
			open();
			return;
		}
		if ((no_read && no_write) || (early && choose(2))) {
			close();
			return;
		}
		if (!no_read && read_some())
			return;
		if (!no_write && write_some(hold))
			return;
		arm(hold);
	}

	bool is_open() const { return s.phase != KVMCHAN_PHASE_CLOSED; }
};

/* Who sleeps for ever is alone, has filled its ring, and has nothing to get. */
const char *judge_side(const side &i, const side &peer)
{
	if (!i.is_open())
		return nullptr;
	if (i.s.phase != KVMCHAN_PHASE_WAITING || peer.is_open())
		return "one sleeps for ever, though the peer is there or has closed";
	if (i.sent < at_most(i.h.bytes[i.me], i.h.size))
		return "one sleeps for ever before it has filled its ring";
	if (!(peer.s.link & KVMCHAN_LINK_PAIRED) && i.acked() != peer.epoch() && peer.sent)
		return "one sleeps for ever, though the peer has left bytes";
	return nullptr;
}

const char *judge(const rest &r)
{
	side sides[2];

	std::memcpy(&sides[0], r[0], sizeof(side));
	std::memcpy(&sides[1], r[1], sizeof(side));
	const char *fault = judge_side(sides[0], sides[1]);

	return fault ? fault : judge_side(sides[1], sides[0]);
}

side make_side(const history &h, unsigned me)
{
	side s{};

	s.h = h;
	s.me = me;
	s.tx = make_tx(me, h.size, 0);
	s.rx = make_rx(me, h.size, 0);
	s.tx.live = s.rx.live = false;
	s.s.own = &words.control.side[me].session;
	s.s.own_index = &words.control.side[me].index;
	s.s.peer = &words.control.side[1 - me].session;
	s.s.peer_index = &words.control.side[1 - me].index;
	s.s.own_reaped = &words.reaped[me];
	s.s.peer_reaped = &words.reaped[1 - me];
	return s;
}

scenario make(const history &h)
{
	scenario s;

	s.name = h.name;
	s.judge = judge;
	for (unsigned me = 0; me < 2; ++me) {
		s.words.control.side[me].session.link = s.places.add("link", 0, 3, 1U << me);
		s.words.control.side[me].session.tx_start = s.places.add("tx_start", first_index, 3, 1U << me);
		s.words.reaped[me] = s.places.add("reaped", 0, 3, 0);
		add_ring(s.places, s.words, me, static_cast<unsigned>(h.size), first_index, 1U << me, 2U >> me);
	}
	s.add_actor(make_side(h, 0));
	s.add_actor(make_side(h, 1));
	return s;
}

} // namespace

int main()
{
	const scenario all[] = {
		make({"1 and 1 sessions, 2 bytes", 1, {2, 2}, {1, 1}, false}),
		make({"2 and 1 sessions, 2 bytes", 1, {2, 2}, {2, 1}, false}),
		make({"2 and 1 sessions, 0 and 2 bytes, closed early", 1, {0, 2}, {2, 1}, true}),
		make({"2 and 2 sessions, 1 byte", 1, {1, 1}, {2, 2}, false}),
		make({"2 and 1 sessions, 1 byte, closed early", 1, {1, 1}, {2, 1}, true}),
	};

	return run_all(all);
}
