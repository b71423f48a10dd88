/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: one direction of a channel, a ring of bytes between one producer
 * and one consumer that do not trust each other.
 *
 * The ONE source of the ring: compiled by the kernel module, the library, the
 * tests, the fuzzers and the provers. It has no loop, takes no lock and
 * allocates nothing; copying the payload is the caller's part, into or out of
 * the window that the ring gives it.
 *
 * Indices are free-running 64-bit byte counts. Each end keeps private copies
 * of all that it owns (size, own index, own event) and of the last VALIDATED
 * value of the peer's index; the published copies of its own words are never
 * read back. A peer's word is fetched once per decision and checked before it
 * is used. A violation is sticky: -EPROTO until a new session begins.
 *
 * Notification is by event index: an end that is about to sleep publishes the
 * index past which it wants to be rung, and the other end rings only when a
 * publish crosses it. Both do "store my word, full barrier, load the other's
 * word": at least one of the two sees what the other stored, so a wake-up is
 * never lost. The algorithm is the one of virtio's used_event/avail_event
 * (OASIS virtio 1.2, 2.7.7.1) on byte counts.
 *
 * Concurrency: one caller at a time per struct. All that wait in one
 * direction wait for the same amount; whoever lowers it wakes the others, so
 * that they arm again.
 */
#ifndef KVMCHAN_RING_H
#define KVMCHAN_RING_H

#include "ring_platform.h"
#include "uapi/kvmchan_format.h"

/**
 * struct kvmchan_tx - the producer's end of a ring
 * @size:      bytes, a power of two
 * @prod:      bytes published; the master copy
 * @cons:      last validated consumer index of the peer
 * @own:       our index page: tx_prod and tx_event are written here
 * @peer:      the peer's index page: rx_cons and rx_event are read here
 * @live:      the peer has paired with this session, so @peer is about it
 * @error:     0 or -EPROTO, sticky
 */
struct kvmchan_tx {
	__u64 size;
	__u64 prod;
	__u64 cons;
	struct kvmchan_index_page __kvmchan_shared *own;
	const struct kvmchan_index_page __kvmchan_shared *peer;
	bool live;
	int error;
};

/**
 * struct kvmchan_rx - the consumer's end of a ring
 * @size:      bytes, a power of two
 * @cons:      bytes consumed; the master copy
 * @prod:      last validated producer index of the peer
 * @own:       our index page: rx_cons and rx_event are written here
 * @peer:      the peer's index page: tx_prod and tx_event are read here
 * @live:      we have paired with a session of the peer
 * @error:     0 or -EPROTO, sticky
 */
struct kvmchan_rx {
	__u64 size;
	__u64 cons;
	__u64 prod;
	struct kvmchan_index_page __kvmchan_shared *own;
	const struct kvmchan_index_page __kvmchan_shared *peer;
	bool live;
	int error;
};

/**
 * struct kvmchan_window - a range of a ring, which may wrap once
 * @offset: where it starts in the ring
 * @first:  bytes at @offset
 * @second: bytes that follow at offset 0
 */
struct kvmchan_window {
	__u64 offset;
	__u64 first;
	__u64 second;
};

/* Did a move from @from to @to pass @event? All free-running. */
static inline bool kvmchan_crossed(__u64 event, __u64 from, __u64 to)
{
	return to - event - 1 < to - from;
}

static inline void kvmchan_window_set(struct kvmchan_window *w, __u64 size,
				      __u64 index, __u64 length)
{
	__u64 to_end;

	w->offset = index & (size - 1);
	to_end = size - w->offset;
	w->first = length < to_end ? length : to_end;
	w->second = length - w->first;
}

/* ---- producer ---- */

static inline __u64 kvmchan_tx_free(const struct kvmchan_tx *tx)
{
	return tx->size - (tx->prod - tx->cons);
}

/**
 * kvmchan_tx_refresh() - look how far the peer has consumed
 * @tx: producer
 *
 * The consumer index may only move forward, and not past what was published.
 * Before the peer has paired its index is about an older session and is not
 * looked at: the whole ring is ours from the session's start.
 *
 * Return: 0, or -EPROTO.
 */
static inline int kvmchan_tx_refresh(struct kvmchan_tx *tx)
{
	__u64 cons;

	if (tx->error)
		return tx->error;
	if (!tx->live)
		return 0;
	/* Pairs with the release in kvmchan_rx_commit(): free means read. */
	cons = kvmchan_load_acquire(&tx->peer->rx_cons);
	if (cons - tx->cons > tx->prod - tx->cons) {
		tx->error = -EPROTO;
		return tx->error;
	}
	tx->cons = cons;
	return 0;
}

/**
 * kvmchan_tx_window() - the free range that starts @at bytes past the end
 * @tx:     producer
 * @at:     bytes already filled and not yet committed
 * @length: bytes; @at + @length is at most kvmchan_tx_free()
 * @w:      out
 */
static inline void kvmchan_tx_window(const struct kvmchan_tx *tx, __u64 at,
				     __u64 length, struct kvmchan_window *w)
{
	kvmchan_window_set(w, tx->size, tx->prod + at, length);
}

/**
 * kvmchan_tx_commit() - publish bytes that were filled in
 * @tx:     producer
 * @length: bytes, at most kvmchan_tx_free()
 *
 * Return: whether the peer has to be rung.
 */
static inline bool kvmchan_tx_commit(struct kvmchan_tx *tx, __u64 length)
{
	__u64 from = tx->prod;

	tx->prod = from + length;
	/* Pairs with the acquire in kvmchan_rx_refresh(): payload first. */
	kvmchan_store_release(&tx->own->tx_prod, tx->prod);
	/* Pairs with the barrier in kvmchan_rx_arm(). */
	kvmchan_mb();
	return kvmchan_crossed(kvmchan_load(&tx->peer->rx_event), from,
			       tx->prod);
}

/**
 * kvmchan_tx_arm() - ask to be rung when room is made, and look once more
 * @tx:   producer
 * @want: bytes that have to be free, 1 to size
 *
 * Return: 1 there is room, 0 the caller may sleep, or -EPROTO.
 */
static inline int kvmchan_tx_arm(struct kvmchan_tx *tx, __u64 want)
{
	int error;

	/* Free >= want when the peer's index is past this one. */
	kvmchan_store(&tx->own->tx_event, tx->prod + want - tx->size - 1);
	/* Pairs with the barrier in kvmchan_rx_commit(). */
	kvmchan_mb();
	error = kvmchan_tx_refresh(tx);
	if (error)
		return error;
	return kvmchan_tx_free(tx) >= want;
}

/* ---- consumer ---- */

static inline __u64 kvmchan_rx_used(const struct kvmchan_rx *rx)
{
	return rx->prod - rx->cons;
}

/**
 * kvmchan_rx_refresh() - look how far the peer has produced
 * @rx: consumer
 *
 * The producer index may only move forward, and not past a full ring.
 *
 * Return: 0, or -EPROTO.
 */
static inline int kvmchan_rx_refresh(struct kvmchan_rx *rx)
{
	__u64 used;

	if (rx->error)
		return rx->error;
	if (!rx->live)
		return 0;
	/* Pairs with the release in kvmchan_tx_commit(). */
	used = kvmchan_load_acquire(&rx->peer->tx_prod) - rx->cons;
	if (used > rx->size || used < kvmchan_rx_used(rx)) {
		rx->error = -EPROTO;
		return rx->error;
	}
	rx->prod = rx->cons + used;
	return 0;
}

/**
 * kvmchan_rx_window() - the published range that starts @at bytes from here
 * @rx:     consumer
 * @at:     bytes to leave out
 * @length: bytes; @at + @length is at most kvmchan_rx_used()
 * @w:      out
 *
 * The peer can change these bytes at any time: copy, then look at the copy.
 */
static inline void kvmchan_rx_window(const struct kvmchan_rx *rx, __u64 at,
				     __u64 length, struct kvmchan_window *w)
{
	kvmchan_window_set(w, rx->size, rx->cons + at, length);
}

/**
 * kvmchan_rx_commit() - give consumed bytes back to the producer
 * @rx:     consumer
 * @length: bytes, at most kvmchan_rx_used()
 *
 * Return: whether the peer has to be rung.
 */
static inline bool kvmchan_rx_commit(struct kvmchan_rx *rx, __u64 length)
{
	__u64 from = rx->cons;

	rx->cons = from + length;
	/* Pairs with the acquire in kvmchan_tx_refresh(): read, then free. */
	kvmchan_store_release(&rx->own->rx_cons, rx->cons);
	/* Pairs with the barrier in kvmchan_tx_arm(). */
	kvmchan_mb();
	return kvmchan_crossed(kvmchan_load(&rx->peer->tx_event), from,
			       rx->cons);
}

/**
 * kvmchan_rx_arm() - ask to be rung when bytes come, and look once more
 * @rx:   consumer
 * @want: bytes to wait for, 1 to size
 *
 * Return: 1 they are there, 0 the caller may sleep, or -EPROTO.
 */
static inline int kvmchan_rx_arm(struct kvmchan_rx *rx, __u64 want)
{
	int error;

	kvmchan_store(&rx->own->rx_event, rx->cons + want - 1);
	/* Pairs with the barrier in kvmchan_tx_commit(). */
	kvmchan_mb();
	error = kvmchan_rx_refresh(rx);
	if (error)
		return error;
	return kvmchan_rx_used(rx) >= want;
}

/* ---- an end that sleeps for a process which has the ring mapped ---- */

/*
 * The process works with the functions above, on a struct of its own. The
 * driver that lets it sleep has no struct that follows: it reads the index
 * which the process published, and judges nothing. Indices that make no sense
 * count as "look yourself"; the process then finds what is wrong.
 *
 * Calls for one ring are serialized, or an older index could be armed last.
 */

/**
 * kvmchan_rx_watch() - are there @want bytes that the process has not had?
 * @rx:   consumer; only @own and @peer are used
 * @want: bytes, 1 to size
 * @arm:  ask to be rung when they are there, before looking
 *
 * Return: whether the process has to look.
 */
static inline bool kvmchan_rx_watch(const struct kvmchan_rx *rx, __u64 want,
				    bool arm)
{
	__u64 cons = kvmchan_load(&rx->own->rx_cons);

	if (arm) {
		kvmchan_store(&rx->own->rx_event, cons + want - 1);
		/* Pairs with the barrier in kvmchan_tx_commit(). */
		kvmchan_mb();
	}
	return kvmchan_load_acquire(&rx->peer->tx_prod) - cons >= want;
}

/**
 * kvmchan_tx_watch() - are @want bytes free after what the process published?
 * @tx:   producer; @prod is not used, @cons only while not @live
 * @want: bytes, 1 to size
 * @arm:  ask to be rung when they are free, before looking
 *
 * Return: whether the process has to look.
 */
static inline bool kvmchan_tx_watch(const struct kvmchan_tx *tx, __u64 want,
				    bool arm)
{
	__u64 prod = kvmchan_load(&tx->own->tx_prod);
	__u64 cons = tx->cons;

	if (arm) {
		kvmchan_store(&tx->own->tx_event, prod + want - tx->size - 1);
		/* Pairs with the barrier in kvmchan_rx_commit(). */
		kvmchan_mb();
	}
	if (tx->live)
		cons = kvmchan_load_acquire(&tx->peer->rx_cons);
	return tx->size - (prod - cons) >= want;
}

/* ---- records (packet mode) ---- */

/* Bytes of ring that a record with @length bytes of payload takes. */
static inline __u64 kvmchan_record_space(__u64 length)
{
	return sizeof(struct kvmchan_record) +
	       ((length + KVMCHAN_RECORD_ALIGN - 1) &
		~(__u64)(KVMCHAN_RECORD_ALIGN - 1));
}

/* The longest payload that a ring of @size bytes takes. */
static inline __u64 kvmchan_record_max(__u64 size)
{
	return size - sizeof(struct kvmchan_record);
}

/**
 * kvmchan_rx_record() - check the head of the next record
 * @rx:   consumer; at least sizeof(struct kvmchan_record) bytes are used
 * @head: a PRIVATE copy of the head
 *
 * A record is published whole and is not empty, so a head whose payload is
 * not all there is a violation, as is a length of 0 or one that no ring of
 * this size can hold.
 *
 * Return: bytes of payload, or -EPROTO.
 */
static inline __s64 kvmchan_rx_record(struct kvmchan_rx *rx,
				      const struct kvmchan_record *head)
{
#ifdef __KERNEL__
	__u64 length = le32_to_cpu(head->length);
#else
	__u64 length = head->length;
#endif

	if (!length || length > kvmchan_record_max(rx->size) ||
	    kvmchan_record_space(length) > kvmchan_rx_used(rx)) {
		rx->error = -EPROTO;
		return rx->error;
	}
	return (__s64)length;
}

#endif /* KVMCHAN_RING_H */
