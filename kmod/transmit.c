// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: bytes and records into the ring that the peer empties.
 *
 * Everything here runs inside kd->srcu and does not sleep: user memory is
 * copied with page faults disabled, and a short copy is reported by *fault
 * for the caller to fault the pages in, outside. So neither a userfaultfd nor
 * a slow file system behind a user's buffer can hold up removal.
 */
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "kvmchan.h"
#include "trace.h"
#include "transfer.h"

/* ---- readiness ---- */

/* All that can change what the session says to a writer who is connected. */
static void kvmchan_words_read(const struct kvmchan_session *s,
			       struct kvmchan_words *now)
{
	now->link = kvmchan_load_acquire(&s->peer->link);
	now->own_reaped = kvmchan_load(s->own_reaped);
	now->peer_reaped = kvmchan_load(s->peer_reaped);
}

static bool kvmchan_words_same(const struct kvmchan_session *s,
			       const struct kvmchan_words *then)
{
	return kvmchan_load_acquire(&s->peer->link) == then->link &&
	       kvmchan_load(s->own_reaped) == then->own_reaped &&
	       kvmchan_load(s->peer_reaped) == then->peer_reaped;
}

/**
 * kvmchan_sync_tx() - what the session says to the writer
 * @ch: channel; the caller holds tx_lock
 *
 * Return: KVMCHAN_END or KVMCHAN_HOLD as it applies, and what else there is.
 */
unsigned int kvmchan_sync_tx(struct kvmchan_channel *ch)
{
	struct kvmchan_words now;
	unsigned long flags;
	unsigned int todo;

	if (ch->tx_calm && kvmchan_words_same(&ch->session, &ch->tx_words))
		return 0;
	kvmchan_words_read(&ch->session, &now);
	spin_lock_irqsave(&ch->link_lock, flags);
	todo = kvmchan_session_sync_tx(&ch->session, &ch->tx);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (todo & KVMCHAN_RING_PEER)
		kvmchan_ring_peer(ch);
	/* The words were read first: what has changed since is seen later. */
	ch->tx_words = now;
	ch->tx_calm = ch->tx.live && !(todo & (KVMCHAN_END | KVMCHAN_HOLD));
	return todo;
}

static void kvmchan_tx_broken(struct kvmchan_channel *ch)
{
	kvmchan_break(ch, "consumer index out of bounds");
}

static int kvmchan_tx_look(struct kvmchan_channel *ch, u64 want, bool arm)
{
	unsigned int todo = kvmchan_sync_tx(ch);
	struct kvmchan_tx *tx = &ch->tx;
	int err;

	if (todo & KVMCHAN_END)
		return -EPIPE;
	if (todo & KVMCHAN_HOLD)
		return 0;
	if (kvmchan_tx_free(tx) >= want && !tx->error)
		return 1;
	err = kvmchan_tx_refresh(tx);
	if (err)
		return err;
	if (kvmchan_tx_free(tx) >= want)
		return 1;
	if (!arm)
		return 0;
	ch->tx_stats.stalls++;
	return kvmchan_tx_arm(tx, want);
}

/**
 * kvmchan_tx_state() - can @want bytes be written?
 * @ch:   channel
 * @want: bytes, at most the ring's size
 * @arm:  if not, be woken when they can
 *
 * Context: any that holds kd->srcu.
 * Return: 1 yes, 0 no, -EPIPE, -EPROTO.
 */
int kvmchan_tx_state(struct kvmchan_channel *ch, u64 want, bool arm)
{
	int ret;

	if (READ_ONCE(ch->broken))
		return -EPROTO;
	if (READ_ONCE(ch->tx_shut))
		return -EPIPE;
	spin_lock(&ch->tx_lock);
	ret = ch->tx_mapped ? kvmchan_rings_look_tx(ch, want, arm) :
			      kvmchan_tx_look(ch, want, arm);
	spin_unlock(&ch->tx_lock);
	if (ret == -EPROTO)
		kvmchan_tx_broken(ch);
	if (!ret && arm)
		kvmchan_poll_soon(ch);
	return ret;
}

/* ---- copying ---- */

/*
 * Without the check of hardened user copies, hence the underscore: it looks
 * the ring up among all vmalloc areas, under a lock. The window is inside the
 * ring (ring.h, proven).
 */
static size_t kvmchan_copy_in(struct kvmchan_channel *ch,
			      const struct kvmchan_window *w,
			      struct iov_iter *from)
{
	void *ring = kvmchan_ring_data(ch, ch->side);
	size_t n;

	pagefault_disable();
	n = _copy_from_iter(ring + w->offset, w->first, from);
	if (n == w->first && w->second)
		n += _copy_from_iter(ring, w->second, from);
	pagefault_enable();
	return n;
}

/* The caller holds tx_lock. Return: whether the peer has to be rung. */
static bool kvmchan_tx_publish(struct kvmchan_channel *ch, u64 space,
			       u64 payload)
{
	bool ring = kvmchan_tx_commit(&ch->tx, space);

	ch->tx_stats.bytes += payload;
	ch->tx_stats.suppressed += !ring;
	return ring;
}

static void kvmchan_tx_published(struct kvmchan_channel *ch, u64 payload,
				 bool ring)
{
	if (ring)
		kvmchan_ring_peer(ch);
	trace_kvmchan_write(&ch->dev, payload, ring);
}

/* ---- streams ---- */

/* What finds room, at most @length; the caller holds tx_lock. */
static ssize_t kvmchan_put_bytes(struct kvmchan_channel *ch,
				 struct iov_iter *from, u64 length, bool *fault,
				 bool *ring)
{
	struct kvmchan_window w;
	size_t n;
	int ret;

	ret = kvmchan_tx_look(ch, 1, false);
	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	length = min(length, kvmchan_tx_free(&ch->tx));
	kvmchan_tx_window(&ch->tx, 0, length, &w);
	n = kvmchan_copy_in(ch, &w, from);
	*fault = n < length;
	if (n)
		*ring = kvmchan_tx_publish(ch, n, n);
	return n;
}

/*
 * One lock for the look, the copy and the commit: whoever polls the channel
 * meanwhile waits for as long as a piece takes. (A record can be long, and
 * what is read may go into a pipe, which allocates memory: these copy outside.)
 */
static ssize_t kvmchan_transmit_piece(struct kvmchan_channel *ch,
				      struct iov_iter *from, u64 length,
				      bool *fault)
{
	bool ring = false;
	ssize_t ret;

	if (READ_ONCE(ch->broken))
		return -EPROTO;
	if (READ_ONCE(ch->tx_shut))
		return -EPIPE;
	spin_lock(&ch->tx_lock);
	ret = kvmchan_put_bytes(ch, from, length, fault, &ring);
	spin_unlock(&ch->tx_lock);
	if (ret > 0)
		kvmchan_tx_published(ch, ret, ring);
	else if (ret == -EPROTO)
		kvmchan_tx_broken(ch);
	return ret;
}

static ssize_t kvmchan_transmit_bytes(struct kvmchan_channel *ch,
				      struct iov_iter *from, bool *fault)
{
	const u64 piece = kvmchan_piece(ch->tx.size);
	ssize_t total = 0, ret;

	do {
		ret = kvmchan_transmit_piece(ch, from,
					     min_t(u64, iov_iter_count(from),
						   piece), fault);
		if (ret < 0)
			return total ? total : ret;
		total += ret;
	} while (!*fault && iov_iter_count(from) && !kvmchan_interrupted(ch));
	return total;
}

/* ---- records ---- */

static void kvmchan_put_head(struct kvmchan_channel *ch, u64 length)
{
	struct kvmchan_record head = { .length = cpu_to_le32(length) };
	void *ring = kvmchan_ring_data(ch, ch->side);
	struct kvmchan_window w;

	kvmchan_tx_window(&ch->tx, 0, sizeof(head), &w);
	memcpy(ring + w.offset, &head, w.first);
	memcpy(ring, (void *)&head + w.first, w.second);
}

static ssize_t kvmchan_transmit_record(struct kvmchan_channel *ch,
				       struct iov_iter *from, bool *fault)
{
	u64 length = iov_iter_count(from);
	struct kvmchan_window w;
	size_t n;
	bool ring;
	int ret;

	if (length > kvmchan_record_max(ch->tx.size))
		return -EMSGSIZE;
	ret = kvmchan_tx_state(ch, kvmchan_record_space(length), false);
	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	spin_lock(&ch->tx_lock);
	kvmchan_put_head(ch, length);
	kvmchan_tx_window(&ch->tx, sizeof(struct kvmchan_record), length, &w);
	spin_unlock(&ch->tx_lock);
	n = kvmchan_copy_in(ch, &w, from);
	if (n < length) {
		iov_iter_revert(from, n);
		*fault = true;
		return 0;
	}
	spin_lock(&ch->tx_lock);
	ring = kvmchan_tx_publish(ch, kvmchan_record_space(length), length);
	ch->tx_stats.records++;
	spin_unlock(&ch->tx_lock);
	kvmchan_tx_published(ch, length, ring);
	return length;
}

/* ---- either ---- */

/**
 * kvmchan_transmit() - what finds room, out of @from
 * @ch:    channel; the caller holds tx_mutex
 * @from:  where from; not empty
 * @fault: out: pages of @from have to be faulted in
 *
 * Context: process, inside kd->srcu.
 * Return: bytes, 0 only with *@fault; -EAGAIN, -EPIPE, -EPROTO, -EMSGSIZE,
 * -EBUSY when a process has the ring mapped.
 */
ssize_t kvmchan_transmit(struct kvmchan_channel *ch, struct iov_iter *from,
			 bool *fault)
{
	if (ch->tx_mapped)
		return -EBUSY;
	if (kvmchan_is_packet(ch))
		return kvmchan_transmit_record(ch, from, fault);
	return kvmchan_transmit_bytes(ch, from, fault);
}

/**
 * kvmchan_tx_space() - room in the ring, record heads included
 * @ch: channel
 *
 * Context: any that holds kd->srcu.
 */
u64 kvmchan_tx_space(struct kvmchan_channel *ch)
{
	u64 space = 0;

	spin_lock(&ch->tx_lock);
	if (kvmchan_sync_tx(ch) & (KVMCHAN_END | KVMCHAN_HOLD))
		space = 0;
	else if (ch->tx_mapped)
		space = kvmchan_rings_space(ch);
	else if (!kvmchan_tx_refresh(&ch->tx))
		space = kvmchan_tx_free(&ch->tx);
	spin_unlock(&ch->tx_lock);
	return space;
}
