/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: sessions, how two sides of a channel find and lose each other.
 *
 * The ONE source of the handshake, compiled by kernel module, library and
 * tests. FORMAT.md, "Sessions", states the protocol and why it is safe; in
 * short:
 *
 *  - Each side publishes its whole session state in one 64-bit link word.
 *  - A session PAIRS with at most one session of the peer, by publishing the
 *    peer's epoch as its acked epoch; it reads nothing before. A peer session
 *    is acked at most once, ever: acked is kept from session to session.
 *  - A session that the other has not paired with writes only while the other
 *    side is closed, dead, or open and not paired with anything: then nobody
 *    can be reading an older session's bytes from the ring.
 *  - Both sides do "store my link word, full barrier, load the other's", so
 *    of a side that pairs and a side that opens again at least one sees the
 *    other, and bytes of two sessions never mix.
 *
 * Concurrency: a struct kvmchan_session is used under the caller's lock (the
 * link lock). Reader and writer pick up what concerns them with
 * kvmchan_session_sync_rx() and _tx() under that lock, and otherwise touch
 * only their own end of a ring.
 */
#ifndef KVMCHAN_SESSION_H
#define KVMCHAN_SESSION_H

#include "ring.h"

enum kvmchan_phase {
	KVMCHAN_PHASE_CLOSED,	/* not open here */
	KVMCHAN_PHASE_WAITING,	/* open, not paired */
	KVMCHAN_PHASE_PAIRED,	/* paired with peer_epoch */
	KVMCHAN_PHASE_OVER,	/* open here, but the peer is lost for good */
};

/**
 * struct kvmchan_session - one side's private view of the handshake
 * @own:         our session page
 * @own_index:   our index page
 * @peer:        the peer's session page
 * @peer_index:  the peer's index page
 * @own_reaped:  the manager's word about us
 * @peer_reaped: the manager's word about the peer
 * @link:        our link word; the master copy
 * @peer_link:   the peer's link word, as last seen
 * @rx_start:    where the peer's bytes begin; valid once paired
 * @phase:       enum kvmchan_phase
 * @drain:       paired once and not refused: what the ring holds is ours
 * @confirmed:   the peer has paired with this session
 * @peer_gone:   the peer's session was closed, died or was replaced
 */
struct kvmchan_session {
	struct kvmchan_session_page __kvmchan_shared *own;
	struct kvmchan_index_page __kvmchan_shared *own_index;
	const struct kvmchan_session_page __kvmchan_shared *peer;
	const struct kvmchan_index_page __kvmchan_shared *peer_index;
	const __le64 __kvmchan_shared *own_reaped;
	const __le64 __kvmchan_shared *peer_reaped;
	__u64 link;
	__u64 peer_link;
	__u64 rx_start;
	enum kvmchan_phase phase;
	bool drain;
	bool confirmed;
	bool peer_gone;
};

/* What a session call asks of its caller, or tells it. */
#define KVMCHAN_RING_PEER	0x1u	/* ring the peer, always */
#define KVMCHAN_CHANGED		0x2u	/* wake whoever waits here */
#define KVMCHAN_END		0x4u	/* rx: no more will come; tx: EPIPE */
#define KVMCHAN_HOLD		0x8u	/* tx: may not write yet */

static inline __u64 kvmchan_link_epoch(__u64 link)
{
	return link & KVMCHAN_EPOCH_MASK;
}

static inline __u64 kvmchan_link_acked(__u64 link)
{
	return (link >> KVMCHAN_LINK_ACKED_SHIFT) & KVMCHAN_EPOCH_MASK;
}

static inline __u64 kvmchan_link_make(__u64 epoch, __u64 acked, __u64 flags)
{
	return epoch | acked << KVMCHAN_LINK_ACKED_SHIFT | flags;
}

/* The epoch that follows; 0 means "never opened" and is left out. */
static inline __u64 kvmchan_epoch_next(__u64 epoch)
{
	epoch = (epoch + 1) & KVMCHAN_EPOCH_MASK;
	return epoch ? epoch : 1;
}

/* Has the manager declared @epoch dead? Serial-number order. */
static inline bool kvmchan_epoch_reaped(__u64 reaped, __u64 epoch)
{
	reaped &= KVMCHAN_EPOCH_MASK;
	return reaped && ((reaped - epoch) & KVMCHAN_EPOCH_MASK) <=
			 KVMCHAN_EPOCH_MASK / 2;
}

static inline void kvmchan_session_publish(struct kvmchan_session *s)
{
	kvmchan_store_release(&s->own->link, s->link);
	/*
	 * Pairs with this same barrier on the other side: of two sides that
	 * change their link words at least one sees the other's change.
	 */
	kvmchan_mb();
}

/* Is the session that @link tells of open and not dead? */
static inline bool kvmchan_session_peer_alive(const struct kvmchan_session *s,
					      __u64 link)
{
	return (link & KVMCHAN_LINK_OPEN) &&
	       !kvmchan_epoch_reaped(kvmchan_load(s->peer_reaped),
				     kvmchan_link_epoch(link));
}

/**
 * kvmchan_session_attach() - take a side over, whatever was left there
 * @s:    session, its pointers set and the rest zero
 * @tx:   the ring that this side writes, its pointers and size set
 *
 * Nobody else may be this side. What the memory holds of our own words is the
 * leftover of a former life, perhaps scribbled over: it serves only as the
 * numbers to go on from. A session that was left open is ended by stepping to
 * the next epoch, so that a peer which was paired with it sees it gone, and
 * one which was not never takes its bytes.
 *
 * Return: KVMCHAN_RING_PEER, always: the former life may have changed the word
 * and died before it rang, and then the peer still sleeps.
 */
static inline unsigned int kvmchan_session_attach(struct kvmchan_session *s,
						  struct kvmchan_tx *tx)
{
	__u64 link = kvmchan_load(&s->own->link);
	__u64 epoch = kvmchan_link_epoch(link);

	tx->prod = kvmchan_load(&s->own_index->tx_prod);
	tx->cons = tx->prod;
	s->phase = KVMCHAN_PHASE_CLOSED;
	s->link = link & ~KVMCHAN_LINK_OPEN;
	if (!(link & KVMCHAN_LINK_OPEN))
		return KVMCHAN_RING_PEER;
	s->link = kvmchan_link_make(kvmchan_epoch_next(epoch),
				    kvmchan_link_acked(link), 0);
	kvmchan_store(&s->own->tx_start, tx->prod);
	kvmchan_session_publish(s);
	return KVMCHAN_RING_PEER;
}

/**
 * kvmchan_session_open() - begin a session
 * @s:  session, closed
 * @rx: consumer's end; it comes to life when the session pairs
 * @tx: producer's end; ours to fill from its present index
 *
 * Return: KVMCHAN_RING_PEER.
 */
static inline unsigned int kvmchan_session_open(struct kvmchan_session *s,
						struct kvmchan_rx *rx,
						struct kvmchan_tx *tx)
{
	__u64 epoch = kvmchan_epoch_next(kvmchan_link_epoch(s->link));
	__u64 reaped = kvmchan_load(s->own_reaped);

	/* Our link word was lost: go on from what the manager remembers. */
	if (kvmchan_epoch_reaped(reaped, epoch))
		epoch = kvmchan_epoch_next(reaped & KVMCHAN_EPOCH_MASK);
	tx->cons = tx->prod;
	tx->live = false;
	tx->error = 0;
	rx->live = false;
	rx->error = 0;
	rx->cons = 0;
	rx->prod = 0;
	s->phase = KVMCHAN_PHASE_WAITING;
	s->peer_link = 0;
	s->drain = false;
	s->confirmed = false;
	s->peer_gone = false;
	s->link = kvmchan_link_make(epoch, kvmchan_link_acked(s->link),
				    KVMCHAN_LINK_OPEN);
	kvmchan_store(&s->own_index->tx_prod, tx->prod);
	kvmchan_store(&s->own->tx_start, tx->prod);
	kvmchan_session_publish(s);
	return KVMCHAN_RING_PEER;
}

/**
 * kvmchan_session_flags() - say that nobody writes or reads here, or again
 * @s:     session, open
 * @flags: the new KVMCHAN_LINK_NO_WRITER and KVMCHAN_LINK_NO_READER
 *
 * Return: KVMCHAN_RING_PEER when that is a change, else 0.
 */
static inline unsigned int kvmchan_session_flags(struct kvmchan_session *s,
						 __u64 flags)
{
	const __u64 mask = KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER;

	if ((s->link & mask) == flags)
		return 0;
	s->link = (s->link & ~mask) | flags;
	kvmchan_session_publish(s);
	return KVMCHAN_RING_PEER;
}

/**
 * kvmchan_session_close() - end the session in order
 * @s: session, open
 *
 * What was written stays in the ring for a peer that has paired, and, if the
 * peer has not come yet, for the one that comes before we open again.
 *
 * Return: KVMCHAN_RING_PEER.
 */
static inline unsigned int kvmchan_session_close(struct kvmchan_session *s)
{
	s->link &= ~KVMCHAN_LINK_OPEN;
	s->phase = KVMCHAN_PHASE_CLOSED;
	kvmchan_session_publish(s);
	return KVMCHAN_RING_PEER;
}

static inline unsigned int kvmchan_session_over(struct kvmchan_session *s,
						bool drain)
{
	s->phase = KVMCHAN_PHASE_OVER;
	s->peer_gone = true;
	s->drain = drain;
	return KVMCHAN_CHANGED;
}

/* May the session that the peer shows as @link be paired with? */
static inline bool kvmchan_session_pairable(const struct kvmchan_session *s,
					    __u64 link)
{
	__u64 epoch = kvmchan_link_epoch(link);

	if (!epoch || epoch == kvmchan_link_acked(s->link))
		return false;	/* none there, or one that we had before */
	if (link & KVMCHAN_LINK_PAIRED)
		return kvmchan_link_acked(link) == kvmchan_link_epoch(s->link);
	if (link & KVMCHAN_LINK_OPEN)
		return kvmchan_session_peer_alive(s, link);
	/* Closed before we came: worth it only for the bytes it left. */
	if (kvmchan_load_acquire(&s->peer_index->tx_prod) ==
	    kvmchan_load_acquire(&s->peer->tx_start))
		return false;
	/* If it has opened since, they are of that session: it will ring. */
	return kvmchan_load_acquire(&s->peer->link) == link;
}

static inline unsigned int kvmchan_session_pair(struct kvmchan_session *s,
						__u64 link)
{
	const __u64 keep = KVMCHAN_LINK_OPEN | KVMCHAN_LINK_NO_WRITER |
			   KVMCHAN_LINK_NO_READER;
	__u64 epoch = kvmchan_link_epoch(link);

	s->rx_start = kvmchan_load(&s->peer->tx_start);
	kvmchan_store(&s->own_index->rx_cons, s->rx_start);
	s->link = kvmchan_link_make(kvmchan_link_epoch(s->link), epoch,
				    KVMCHAN_LINK_PAIRED | (s->link & keep));
	kvmchan_session_publish(s);
	s->phase = KVMCHAN_PHASE_PAIRED;
	s->drain = true;
	/*
	 * If the peer opened again before it could see us, what rx_start and
	 * the ring hold is not this session's: nothing is to be read.
	 */
	link = kvmchan_load_acquire(&s->peer->link);
	if (kvmchan_link_epoch(link) != epoch)
		kvmchan_session_over(s, false);
	return KVMCHAN_RING_PEER | KVMCHAN_CHANGED;
}

static inline unsigned int kvmchan_session_look_waiting(struct kvmchan_session *s,
							__u64 link)
{
	/*
	 * A former session of the peer took ours, and is no more. First: the
	 * one that is there now can never pair with us, and would wait for
	 * ours to end if we paired with it.
	 */
	if (!(link & KVMCHAN_LINK_PAIRED) &&
	    kvmchan_link_acked(link) == kvmchan_link_epoch(s->link))
		return kvmchan_session_over(s, false);
	if (kvmchan_session_pairable(s, link))
		return kvmchan_session_pair(s, link);
	return 0;
}

static inline unsigned int kvmchan_session_look_paired(struct kvmchan_session *s,
						       __u64 link)
{
	bool with_us = kvmchan_link_acked(link) == kvmchan_link_epoch(s->link);

	if (kvmchan_link_epoch(link) != kvmchan_link_acked(s->link))
		return kvmchan_session_over(s, true);
	if ((link & KVMCHAN_LINK_PAIRED) && !with_us)
		return kvmchan_session_over(s, false);
	if (link & KVMCHAN_LINK_PAIRED)
		s->confirmed = true;
	if (!kvmchan_session_peer_alive(s, link))
		s->peer_gone = true;
	return 0;
}

/**
 * kvmchan_session_look() - take in what the peer and the manager have done
 * @s: session
 *
 * Pairs when that is possible. Cheap when nothing has changed: two loads.
 *
 * Return: KVMCHAN_RING_PEER and KVMCHAN_CHANGED as they apply.
 */
static inline unsigned int kvmchan_session_look(struct kvmchan_session *s)
{
	bool confirmed = s->confirmed, gone = s->peer_gone;
	unsigned int todo = 0;
	__u64 link;

	if (s->phase == KVMCHAN_PHASE_CLOSED || s->phase == KVMCHAN_PHASE_OVER)
		return 0;
	if (kvmchan_epoch_reaped(kvmchan_load(s->own_reaped),
				 kvmchan_link_epoch(s->link)))
		return kvmchan_session_over(s, false);
	/* Acquire: the peer's indices are looked at after its state. */
	link = kvmchan_load_acquire(&s->peer->link);
	if (s->phase == KVMCHAN_PHASE_WAITING)
		todo |= kvmchan_session_look_waiting(s, link);
	if (s->phase == KVMCHAN_PHASE_PAIRED)
		todo |= kvmchan_session_look_paired(s, link);
	if (link != s->peer_link || s->confirmed != confirmed ||
	    s->peer_gone != gone)
		todo |= KVMCHAN_CHANGED;
	s->peer_link = link;
	return todo;
}

/* Has the peer said, or shown, that no more bytes will come? */
static inline bool kvmchan_session_rx_ended(const struct kvmchan_session *s)
{
	return s->peer_gone || (s->phase == KVMCHAN_PHASE_PAIRED &&
				(s->peer_link & KVMCHAN_LINK_NO_WRITER));
}

/* Has the peer said, or shown, that nobody reads? */
static inline bool kvmchan_session_tx_ended(const struct kvmchan_session *s)
{
	return s->peer_gone || (s->phase == KVMCHAN_PHASE_PAIRED &&
				(s->peer_link & KVMCHAN_LINK_NO_READER));
}

/**
 * kvmchan_session_sync_rx() - look, and bring the consumer's end up to date
 * @s:  session
 * @rx: consumer's end
 *
 * After KVMCHAN_END look at the ring ONCE MORE before it is called empty: the
 * state was read first, so all that was published before it is visible.
 *
 * Return: of kvmchan_session_look(), and KVMCHAN_END.
 */
static inline unsigned int kvmchan_session_sync_rx(struct kvmchan_session *s,
						   struct kvmchan_rx *rx)
{
	unsigned int todo = kvmchan_session_look(s);

	if (!rx->live && s->drain) {
		rx->cons = s->rx_start;
		rx->prod = s->rx_start;
		rx->live = true;
	} else if (rx->live && !s->drain) {
		/* Refused or reaped: the ring is no longer ours to read. */
		rx->prod = rx->cons;
		rx->live = false;
	}
	if (kvmchan_session_rx_ended(s))
		todo |= KVMCHAN_END;
	return todo;
}

/**
 * kvmchan_session_sync_tx() - look, and bring the producer's end up to date
 * @s:  session
 * @tx: producer's end
 *
 * KVMCHAN_HOLD: another session of ours may still be drained by the peer.
 *
 * Return: of kvmchan_session_look(), and KVMCHAN_END or KVMCHAN_HOLD.
 */
static inline unsigned int kvmchan_session_sync_tx(struct kvmchan_session *s,
						   struct kvmchan_tx *tx)
{
	unsigned int todo = kvmchan_session_look(s);
	__u64 link = s->peer_link;

	if (kvmchan_session_tx_ended(s))
		return todo | KVMCHAN_END;
	if (s->confirmed) {
		tx->live = true;
		return todo;
	}
	if ((link & KVMCHAN_LINK_PAIRED) &&
	    kvmchan_link_acked(link) != kvmchan_link_epoch(s->link) &&
	    kvmchan_session_peer_alive(s, link))
		todo |= KVMCHAN_HOLD;
	return todo;
}

/* ---- bells: whom to ring, and whether to wait for a ring at all ---- */

static inline __u64 kvmchan_bell_make(__u32 peer, __u32 vector, __u64 flags)
{
	return (__u64)(peer & 0xffff) << KVMCHAN_BELL_PEER_SHIFT |
	       (vector & 0xffff) | flags;
}

static inline __u32 kvmchan_bell_peer(__u64 bell)
{
	return (bell >> KVMCHAN_BELL_PEER_SHIFT) & 0xffff;
}

static inline __u32 kvmchan_bell_vector(__u64 bell)
{
	return bell & 0xffff;
}

/**
 * kvmchan_session_rung() - will the peer ring us for every change?
 * @s:        session
 * @own_bell: the bell word that we published
 *
 * Where it will not (it has no doorbell, or we have none, or it has not come
 * yet and may turn out to have none) the caller polls.
 */
static inline bool kvmchan_session_rung(const struct kvmchan_session *s,
					__u64 own_bell)
{
	return (own_bell & KVMCHAN_BELL_RINGABLE) &&
	       (kvmchan_load(&s->peer->bell) & KVMCHAN_BELL_RINGS);
}

#endif /* KVMCHAN_SESSION_H */
