// SPDX-License-Identifier: MIT
// The session functions: any state, any word of the peer and of the manager.
#include "harness.h"
#include "session.h"

static struct kvmchan_session_page own_page, peer_page;
static __le64 own_reaped, peer_reaped;

/* What holds between calls, whatever the peer does. */
static bool session_sound(const struct kvmchan_session *s)
{
	bool open = s->link & KVMCHAN_LINK_OPEN;
	bool paired = s->link & KVMCHAN_LINK_PAIRED;

	switch (s->phase) {
	case KVMCHAN_PHASE_CLOSED:
		return !open && (!s->drain || paired);
	case KVMCHAN_PHASE_WAITING:
		return open && !paired && !s->drain && !s->confirmed && !s->peer_gone;
	case KVMCHAN_PHASE_PAIRED:
		return open && paired && s->drain;
	case KVMCHAN_PHASE_OVER:
		return open && s->peer_gone && (!s->drain || paired);
	}
	return false;
}

static struct kvmchan_session any_session(void)
{
	struct kvmchan_session s = {
		.own = &own_page,
		.own_index = &own_index,
		.peer = &peer_page,
		.peer_index = &peer_index,
		.own_reaped = &own_reaped,
		.peer_reaped = &peer_reaped,
		.link = nondet_u64(),
		.peer_link = nondet_u64(),
		.rx_start = nondet_u64(),
		.phase = nondet_u32(),
		.drain = nondet_bool(),
		.confirmed = nondet_bool(),
		.peer_gone = nondet_bool(),
	};

	assume(session_sound(&s));
	assume(kvmchan_link_epoch(s.link) || s.phase == KVMCHAN_PHASE_CLOSED);
	return s;
}

static bool is_own(const __le64 *word)
{
	return __CPROVER_same_object(word, &own_page) ||
	       __CPROVER_same_object(word, &own_index);
}

/* One writer to each word, own words are not read back, a barrier after links. */
static void check_accesses(bool may_read_own)
{
	unsigned int i = nondet_u32();
	struct access a;

	assume(i < access_count);
	a = accesses[i];
	if (a.kind == ACCESS_STORE || a.kind == ACCESS_RELEASE)
		prove(is_own(a.word), "only own words are written");
	if (a.kind == ACCESS_LOAD || a.kind == ACCESS_ACQUIRE)
		prove(may_read_own || !is_own(a.word), "own words are not read back");
	if (a.word == &own_page.link && a.kind != ACCESS_LOAD)
		prove(a.kind == ACCESS_RELEASE && was(i + 1, ACCESS_BARRIER, NULL),
		      "a link word is released, and a barrier follows");
}

static __u64 published_link(void)
{
	__u64 link = 0;

	for (unsigned int i = 0; i < ACCESS_MAX; i++)
		if (was(i, ACCESS_RELEASE, &own_page.link))
			link = accesses[i].value;
	return link;
}

static bool published(void)
{
	for (unsigned int i = 0; i < ACCESS_MAX; i++)
		if (was(i, ACCESS_RELEASE, &own_page.link))
			return true;
	return false;
}

static void check_master(const struct kvmchan_session *s)
{
	if (published())
		prove(published_link() == s->link, "the word says what we hold");
}

/* Who has published has to ring, and the word in memory is the master copy. */
static void check_published(const struct kvmchan_session *s, unsigned int todo)
{
	prove(published() == !!(todo & KVMCHAN_RING_PEER),
	      "a change of the link word is rung, and nothing else is");
	check_master(s);
}

void prove_epochs(void)
{
	__u64 epoch = nondet_u64() & KVMCHAN_EPOCH_MASK;
	__u64 acked = nondet_u64() & KVMCHAN_EPOCH_MASK;
	__u64 flags = nondet_u64() & 0xf000000000000000ULL;
	__u64 next = kvmchan_epoch_next(epoch);
	__u64 link = kvmchan_link_make(epoch, acked, flags);

	prove(kvmchan_link_epoch(link) == epoch && kvmchan_link_acked(link) == acked,
	      "what goes into a link word comes out");
	prove((link & 0xf000000000000000ULL) == flags, "so do the flags");
	prove(next && next <= KVMCHAN_EPOCH_MASK && next != epoch, "never 0, never the same");
	prove(!kvmchan_epoch_reaped(0, epoch), "nobody is reaped at first");
	if (epoch) {
		prove(kvmchan_epoch_reaped(epoch, epoch), "who is named is reaped");
		prove(!kvmchan_epoch_reaped(epoch, next), "the next one is not");
	}
	reached();
}

void prove_attach(void)
{
	struct kvmchan_session s = any_session();
	struct kvmchan_tx tx = any_tx(3);
	unsigned int todo;

	assume(!s.drain && !s.confirmed && !s.peer_gone);
	todo = kvmchan_session_attach(&s, &tx);
	prove(session_sound(&s) && tx_sound(&tx), "sound");
	prove(s.phase == KVMCHAN_PHASE_CLOSED, "closed");
	prove(tx.cons == tx.prod, "the ring is empty");
	prove(todo == KVMCHAN_RING_PEER, "always rings: for who died before it did");
	check_master(&s);
	check_accesses(true);
	reached();
}

void prove_open(void)
{
	struct kvmchan_session s = any_session(), old = s;
	struct kvmchan_tx tx = any_tx(3);
	struct kvmchan_rx rx = any_rx(3);
	unsigned int todo;
	__u64 reaped;

	assume(s.phase == KVMCHAN_PHASE_CLOSED);
	todo = kvmchan_session_open(&s, &rx, &tx);
	reaped = accesses[0].value;
	prove(session_sound(&s) && tx_sound(&tx) && rx_sound(&rx), "sound");
	prove(s.phase == KVMCHAN_PHASE_WAITING && !rx.live && !tx.live &&
	      !rx.error && !tx.error, "waiting, with no error");
	prove(was(0, ACCESS_LOAD, &own_reaped) &&
	      !kvmchan_epoch_reaped(reaped, kvmchan_link_epoch(s.link)),
	      "no session begins dead");
	prove(kvmchan_link_epoch(s.link) != kvmchan_link_epoch(old.link) ||
	      kvmchan_epoch_reaped(reaped, kvmchan_epoch_next(kvmchan_link_epoch(old.link))),
	      "another epoch than before");
	prove(kvmchan_link_acked(s.link) == kvmchan_link_acked(old.link), "acked is kept");
	prove(stored(2, ACCESS_STORE, &own_page.tx_start, tx.prod) &&
	      stored(3, ACCESS_RELEASE, &own_page.link, s.link),
	      "the start is there before the link word is");
	check_published(&s, todo);
	check_accesses(false);
	reached();
}

void prove_flags_and_close(void)
{
	struct kvmchan_session s = any_session(), old = s;
	__u64 flags = nondet_u64() & (KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER);
	bool close = nondet_bool();
	unsigned int todo;

	assume(s.phase != KVMCHAN_PHASE_CLOSED);
	todo = close ? kvmchan_session_close(&s) : kvmchan_session_flags(&s, flags);
	prove(session_sound(&s), "sound");
	if (close)
		prove((s.link ^ old.link) == KVMCHAN_LINK_OPEN &&
		      s.phase == KVMCHAN_PHASE_CLOSED, "only OPEN changes");
	else
		prove(s.link >> 62 == flags >> 62 && s.link << 2 == old.link << 2,
		      "only the two flags change");
	check_published(&s, todo);
	check_accesses(false);
	reached();
}

/* What a look may do to the session, whatever it sees. */
static void check_look(const struct kvmchan_session *s,
		       const struct kvmchan_session *old, unsigned int todo)
{
	__u64 acked = kvmchan_link_acked(s->link);
	bool pairs = s->link != old->link;

	prove(session_sound(s), "sound");
	prove(kvmchan_link_epoch(s->link) == kvmchan_link_epoch(old->link),
	      "the epoch is the open's");
	prove(pairs == published(), "a changed link word is published");
	if (pairs)
		prove(old->phase == KVMCHAN_PHASE_WAITING && acked &&
		      acked != kvmchan_link_acked(old->link) &&
		      (s->link & KVMCHAN_LINK_PAIRED) &&
		      (s->link ^ old->link) >> 62 == 0,
		      "only by pairing, with a session that it never had");
	if (old->phase == KVMCHAN_PHASE_OVER || old->phase == KVMCHAN_PHASE_CLOSED)
		prove(access_count == 0 && s->phase == old->phase &&
		      s->drain == old->drain, "what is over stays over");
	prove(!s->drain || old->drain || pairs, "only who pairs reads");
	prove(!old->peer_gone || s->peer_gone, "gone is gone");
	prove(!(old->phase == KVMCHAN_PHASE_WAITING && s->confirmed) ||
	      (s->link & KVMCHAN_LINK_PAIRED), "who is confirmed has paired");
	check_published(s, todo);
	check_accesses(false);
}

void prove_sync_rx(void)
{
	struct kvmchan_session s = any_session(), old = s;
	struct kvmchan_rx rx = any_rx(3), old_rx;
	unsigned int todo;

	assume(s.phase != KVMCHAN_PHASE_CLOSED);
	assume(!rx.live || (s.link & KVMCHAN_LINK_PAIRED));
	assume(rx.live || rx.prod == rx.cons);
	old_rx = rx;
	todo = kvmchan_session_sync_rx(&s, &rx);
	prove(rx_sound(&rx), "the consumer stays sound");
	prove(rx.live == s.drain, "it reads what the session may drain");
	prove(!rx.live || (s.link & KVMCHAN_LINK_PAIRED), "and nothing before it paired");
	prove(rx.live || rx.prod == rx.cons, "and nothing that is not its own");
	prove(!(old_rx.live && rx.live) || (rx.cons == old_rx.cons && rx.prod == old_rx.prod),
	      "its place in the ring is kept");
	prove(!(s.phase == KVMCHAN_PHASE_OVER) || (todo & KVMCHAN_END), "over is an end");
	check_look(&s, &old, todo);
	reached();
}

void prove_sync_tx(void)
{
	struct kvmchan_session s = any_session(), old = s;
	struct kvmchan_tx tx = any_tx(3), old_tx = tx;
	unsigned int todo;

	assume(s.phase != KVMCHAN_PHASE_CLOSED);
	todo = kvmchan_session_sync_tx(&s, &tx);
	prove(tx_sound(&tx) && tx.prod == old_tx.prod && tx.cons == old_tx.cons,
	      "the producer stays sound");
	prove(tx.live == old_tx.live || (tx.live && s.confirmed),
	      "the peer's index counts once the peer has paired with us");
	prove(!(s.phase == KVMCHAN_PHASE_OVER) || (todo & KVMCHAN_END), "over is an end");
	prove(!(todo & KVMCHAN_END) || !(todo & KVMCHAN_HOLD), "one of the two");
	check_look(&s, &old, todo);
	reached();
}
