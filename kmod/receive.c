// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: bytes and records out of the ring that the peer fills.
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

/**
 * kvmchan_sync_rx() - what the session says to the reader
 * @ch: channel; the caller holds rx_lock
 *
 * Return: KVMCHAN_END as it applies, and what else the session says.
 */
unsigned int kvmchan_sync_rx(struct kvmchan_channel *ch)
{
	unsigned long flags;
	unsigned int todo;

	spin_lock_irqsave(&ch->link_lock, flags);
	todo = kvmchan_session_sync_rx(&ch->session, &ch->rx);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (todo & KVMCHAN_RING_PEER)
		kvmchan_ring_peer(ch);
	return todo;
}

static int kvmchan_rx_look(struct kvmchan_channel *ch, u64 want, bool arm)
{
	struct kvmchan_rx *rx = &ch->rx;
	unsigned int todo;
	int err;

	/* The peer's line is left alone while what was seen lasts. */
	if (kvmchan_rx_used(rx) >= want && !rx->error)
		return 1;
	err = kvmchan_rx_refresh(rx);
	if (err)
		return err;
	if (kvmchan_rx_used(rx) >= want)
		return 1;
	todo = kvmchan_sync_rx(ch);
	/* The state was read first: what it promises is visible now. */
	err = kvmchan_rx_refresh(rx);
	if (err)
		return err;
	if (kvmchan_rx_used(rx) >= want)
		return 1;
	if (todo & KVMCHAN_END)
		return kvmchan_rx_used(rx) ? 1 : -ENODATA;
	if (!arm)
		return 0;
	ch->rx_stats.stalls++;
	/* Not paired yet: the peer's link word comes with a ring, always. */
	return rx->live ? kvmchan_rx_arm(rx, want) : 0;
}

/* kvmchan_rx_state(), and a window on @most bytes of what is there, if any. */
static int kvmchan_rx_open(struct kvmchan_channel *ch, u64 want, bool arm,
			   u64 most, struct kvmchan_window *w)
{
	int ret;

	if (READ_ONCE(ch->broken))
		return -EPROTO;
	if (READ_ONCE(ch->rx_shut))
		return -ENODATA;
	spin_lock(&ch->rx_lock);
	ret = ch->rx_mapped ? kvmchan_rings_look_rx(ch, want, arm) :
			      kvmchan_rx_look(ch, want, arm);
	/* Only we consume: what is there stays there. */
	if (ret == 1 && w)
		kvmchan_rx_window(&ch->rx, 0,
				  min(kvmchan_rx_used(&ch->rx), most), w);
	spin_unlock(&ch->rx_lock);
	if (ret == -EPROTO)
		kvmchan_break(ch, "producer index out of bounds");
	if (!ret && arm)
		kvmchan_poll_soon(ch);
	return ret;
}

/**
 * kvmchan_rx_state() - can @want bytes be read?
 * @ch:   channel
 * @want: bytes
 * @arm:  if not, be woken when they can
 *
 * Context: any that holds kd->srcu.
 * Return: 1 yes, or fewer and no more will come; 0 no; -ENODATA end of file;
 * -EPROTO.
 */
int kvmchan_rx_state(struct kvmchan_channel *ch, u64 want, bool arm)
{
	return kvmchan_rx_open(ch, want, arm, 0, NULL);
}

/* ---- copying ---- */

/*
 * Without the check of hardened user copies, hence the underscore: it looks
 * the ring up among all vmalloc areas, under a lock. The window is inside the
 * ring (ring.h, proven).
 */
static size_t kvmchan_copy_out(struct kvmchan_channel *ch,
			       const struct kvmchan_window *w,
			       struct iov_iter *to)
{
	const void *ring = kvmchan_ring_data(ch, !ch->side);
	size_t n;

	pagefault_disable();
	n = _copy_to_iter(ring + w->offset, w->first, to);
	if (n == w->first && w->second)
		n += _copy_to_iter(ring, w->second, to);
	pagefault_enable();
	return n;
}

static void kvmchan_rx_finish(struct kvmchan_channel *ch, u64 space,
			      u64 payload)
{
	bool ring;

	spin_lock(&ch->rx_lock);
	/* Refused while we copied: the ring is not ours any more. */
	ring = kvmchan_rx_used(&ch->rx) >= space &&
	       kvmchan_rx_commit(&ch->rx, space);
	ch->rx_stats.bytes += payload;
	if (!ring)
		ch->rx_stats.suppressed++;
	spin_unlock(&ch->rx_lock);
	if (ring)
		kvmchan_ring_peer(ch);
	trace_kvmchan_read(&ch->dev, payload, ring);
}

/* ---- streams ---- */

static ssize_t kvmchan_receive_bytes(struct kvmchan_channel *ch,
				     struct iov_iter *to, u64 want,
				     bool *fault)
{
	const u64 piece = kvmchan_piece(ch->rx.size);
	struct kvmchan_window w;
	ssize_t total = 0;
	u64 length;
	size_t n;
	int ret;

	while (iov_iter_count(to)) {
		ret = kvmchan_rx_open(ch, total ? 1 : want, false,
				      min_t(u64, iov_iter_count(to), piece),
				      &w);
		if (ret <= 0)
			return total ? total : ret ? ret : -EAGAIN;
		length = w.first + w.second;
		n = kvmchan_copy_out(ch, &w, to);
		if (n)
			kvmchan_rx_finish(ch, n, n);
		total += n;
		if (n < length) {
			*fault = true;
			break;
		}
		if (!iov_iter_count(to) || kvmchan_interrupted(ch))
			break;
	}
	return total;
}

/* ---- records ---- */

/* A private copy of the next record's head; 8 bytes are there. */
static void kvmchan_peek_head(struct kvmchan_channel *ch,
			      struct kvmchan_record *head)
{
	const void *ring = kvmchan_ring_data(ch, !ch->side);
	struct kvmchan_window w;

	kvmchan_rx_window(&ch->rx, 0, sizeof(*head), &w);
	memcpy(head, ring + w.offset, w.first);
	memcpy((void *)head + w.first, ring, w.second);
}

/* Payload of the next record; 0: none there; -EPROTO. */
static s64 kvmchan_rx_head(struct kvmchan_channel *ch)
{
	struct kvmchan_record head;
	s64 length = 0;
	u64 used;

	spin_lock(&ch->rx_lock);
	used = ch->rx_mapped ? 0 : kvmchan_rx_used(&ch->rx);
	if (used >= sizeof(head)) {
		kvmchan_peek_head(ch, &head);
		length = kvmchan_rx_record(&ch->rx, &head);
	} else if (used) {
		length = -EPROTO;
	}
	spin_unlock(&ch->rx_lock);
	if (length < 0)
		kvmchan_break(ch, "bad record");
	return length;
}

static ssize_t kvmchan_receive_record(struct kvmchan_channel *ch,
				      struct iov_iter *to, bool *fault)
{
	struct kvmchan_window w;
	u64 length;
	s64 whole;
	size_t n;
	int ret;

	ret = kvmchan_rx_state(ch, 1, false);
	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	whole = kvmchan_rx_head(ch);
	if (whole <= 0)
		return whole ? whole : -EAGAIN;
	length = min_t(u64, whole, iov_iter_count(to));
	spin_lock(&ch->rx_lock);
	kvmchan_rx_window(&ch->rx, sizeof(struct kvmchan_record), length, &w);
	spin_unlock(&ch->rx_lock);
	n = kvmchan_copy_out(ch, &w, to);
	if (n < length) {
		iov_iter_revert(to, n);
		*fault = true;
		return 0;
	}
	ch->last_record = whole;
	ch->rx_stats.records++;
	kvmchan_rx_finish(ch, kvmchan_record_space(whole), length);
	return length;
}

/* ---- either ---- */

/**
 * kvmchan_receive() - what is there, into @to
 * @ch:    channel; the caller holds rx_mutex
 * @to:    where to; not empty
 * @want:  stream mode: not fewer than this, unless no more will come
 * @fault: out: pages of @to have to be faulted in
 *
 * Context: process, inside kd->srcu.
 * Return: bytes, 0 only with *@fault; -EAGAIN, -ENODATA end of file, -EPROTO,
 * -EBUSY when a process has the ring mapped.
 */
ssize_t kvmchan_receive(struct kvmchan_channel *ch, struct iov_iter *to,
			u64 want, bool *fault)
{
	if (ch->rx_mapped)
		return -EBUSY;
	if (kvmchan_is_packet(ch))
		return kvmchan_receive_record(ch, to, fault);
	return kvmchan_receive_bytes(ch, to, want, fault);
}

/**
 * kvmchan_rx_ready() - bytes in the ring, record heads included
 * @ch: channel
 *
 * Context: any that holds kd->srcu.
 */
u64 kvmchan_rx_ready(struct kvmchan_channel *ch)
{
	u64 used;

	if (kvmchan_rx_state(ch, 1, false) <= 0)
		return 0;
	if (READ_ONCE(ch->rx_mapped))
		return kvmchan_rings_ready(ch);
	spin_lock(&ch->rx_lock);
	kvmchan_rx_refresh(&ch->rx);
	used = kvmchan_rx_used(&ch->rx);
	spin_unlock(&ch->rx_lock);
	return used;
}

/**
 * kvmchan_rx_next_record() - payload of the next record, 0: none
 * @ch: channel in packet mode
 *
 * Context: any that holds kd->srcu.
 */
u64 kvmchan_rx_next_record(struct kvmchan_channel *ch)
{
	s64 length;

	if (kvmchan_rx_state(ch, 1, false) <= 0)
		return 0;
	length = kvmchan_rx_head(ch);
	return length < 0 ? 0 : length;
}
