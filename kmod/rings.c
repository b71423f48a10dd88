// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: channels whose rings a process has mapped.
 *
 * The process copies (or does not even copy) and moves tx_prod and rx_cons
 * itself, with ring.h. What is left for the driver is the session, sleeping
 * and ringing. It believes the process no more than the peer: what either
 * publishes is compared, never used to find memory, and nonsense only makes
 * the process look. So a process can break its own channel and no more.
 *
 * rx_event and tx_event stay the driver's: who would arm on his own could be
 * overtaken by a poll() of another thread that has read an older index.
 */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "kvmchan.h"

#define KVMCHAN_RINGS_BOTH	(KVMCHAN_RING_RX | KVMCHAN_RING_TX)

static bool kvmchan_rings_taken(const struct kvmchan_channel *ch,
				unsigned long rings)
{
	return (!(rings & KVMCHAN_RING_RX) || READ_ONCE(ch->rx_mapped)) &&
	       (!(rings & KVMCHAN_RING_TX) || READ_ONCE(ch->tx_mapped));
}

/* ---- the driver's look at them ---- */

/**
 * kvmchan_rings_look_rx() - kvmchan_rx_state() for a mapped ring
 * @ch:   channel; the caller holds rx_lock
 * @want: bytes
 * @arm:  if they are not there, be woken when they are
 *
 * Return: 1 look, 0 nothing, -ENODATA end of file.
 */
int kvmchan_rings_look_rx(struct kvmchan_channel *ch, u64 want, bool arm)
{
	bool end = kvmchan_sync_rx(ch) & KVMCHAN_END;

	if (arm)
		ch->rx_stats.stalls++;
	/* The state was read first: what it promises is visible now. */
	if (ch->rx.live && kvmchan_rx_watch(&ch->rx, end ? 1 : want, arm))
		return 1;
	return end ? -ENODATA : 0;
}

/**
 * kvmchan_rings_look_tx() - kvmchan_tx_state() for a mapped ring
 * @ch:   channel; the caller holds tx_lock
 * @want: bytes
 * @arm:  if they are not free, be woken when they are
 *
 * Return: 1 look, 0 no room, -EPIPE.
 */
int kvmchan_rings_look_tx(struct kvmchan_channel *ch, u64 want, bool arm)
{
	unsigned int todo = kvmchan_sync_tx(ch);

	if (todo & KVMCHAN_END)
		return -EPIPE;
	if (arm)
		ch->tx_stats.stalls++;
	if (todo & KVMCHAN_HOLD)
		return 0;
	return kvmchan_tx_watch(&ch->tx, want, arm);
}

/**
 * kvmchan_rings_ready() - bytes that the process can read
 * @ch: channel that has paired
 */
u64 kvmchan_rings_ready(const struct kvmchan_channel *ch)
{
	u64 cons = kvmchan_load(&ch->rx.own->rx_cons);

	return min(kvmchan_load(&ch->rx.peer->tx_prod) - cons, ch->rx.size);
}

/**
 * kvmchan_rings_space() - bytes that the process can write
 * @ch: channel; the caller holds tx_lock
 */
u64 kvmchan_rings_space(const struct kvmchan_channel *ch)
{
	u64 prod = kvmchan_load(&ch->tx.own->tx_prod);
	u64 cons = ch->tx.live ? kvmchan_load(&ch->tx.peer->rx_cons) :
				 ch->tx.cons;

	return ch->tx.size - min(prod - cons, ch->tx.size);
}

/* How far the process has moved its index since it took the ring. */
static u64 kvmchan_rings_moved_rx(const struct kvmchan_channel *ch)
{
	if (!READ_ONCE(ch->rx_mapped) || !READ_ONCE(ch->rx.live))
		return 0;
	return kvmchan_load(&ch->rx.own->rx_cons) - READ_ONCE(ch->rx.cons);
}

static u64 kvmchan_rings_moved_tx(const struct kvmchan_channel *ch)
{
	if (!READ_ONCE(ch->tx_mapped))
		return 0;
	return kvmchan_load(&ch->tx.own->tx_prod) - READ_ONCE(ch->tx.prod);
}

/* ---- taking and giving back ---- */

/* What the process has not seen yet stands in its index page. */
static void kvmchan_rings_hand_over(struct kvmchan_channel *ch,
				    unsigned long rings)
{
	if (rings & KVMCHAN_RING_RX && !ch->rx_mapped) {
		spin_lock(&ch->rx_lock);
		ch->rx_kicked = ch->rx.cons;
		if (ch->rx.live)
			kvmchan_store(&ch->rx.own->rx_cons, ch->rx.cons);
		WRITE_ONCE(ch->rx_mapped, true);
		spin_unlock(&ch->rx_lock);
	}
	if (rings & KVMCHAN_RING_TX && !ch->tx_mapped) {
		spin_lock(&ch->tx_lock);
		ch->tx_kicked = ch->tx.prod;
		kvmchan_store(&ch->tx.own->tx_prod, ch->tx.prod);
		WRITE_ONCE(ch->tx_mapped, true);
		spin_unlock(&ch->tx_lock);
	}
}

/**
 * kvmchan_rings_take() - from now on the process moves the indices
 * @ch:    channel
 * @mode:  what the calling file has claimed
 * @rings: KVMCHAN_RING_*; those that it has already stay as they are
 *
 * Whoever waits in read() is woken, and gets -EBUSY; a write() that is under
 * way ends first.
 *
 * Context: process, outside kd->srcu.
 * Return: 0, -EINVAL, -EACCES, -ENODEV, -EINTR; -EOPNOTSUPP where the format's
 * pages are not the machine's, and cannot be mapped one by one.
 */
int kvmchan_rings_take(struct kvmchan_channel *ch, fmode_t mode,
		       unsigned long rings)
{
	int err, idx;

	if (!rings || rings & ~(unsigned long)KVMCHAN_RINGS_BOTH)
		return -EINVAL;
	if (mode != (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	if (PAGE_SIZE != KVMCHAN_PAGE_SIZE)
		return -EOPNOTSUPP;
	err = kvmchan_channel_lock(ch, rings);
	if (err)
		return err;
	idx = srcu_read_lock(&ch->kd->srcu);
	if (kvmchan_is_gone(ch))
		err = -ENODEV;
	else
		kvmchan_rings_hand_over(ch, rings);
	srcu_read_unlock(&ch->kd->srcu, idx);
	kvmchan_channel_unlock(ch, rings);
	return err;
}

/**
 * kvmchan_rings_end() - the session ends; take what was written last
 * @ch: channel
 *
 * The next session begins where the process stopped to write. If it left
 * nonsense there, its own session was nonsense; the next one is not.
 *
 * Context: process; the caller holds kd->srcu and open_lock.
 */
void kvmchan_rings_end(struct kvmchan_channel *ch)
{
	u64 moved;

	spin_lock(&ch->rx_lock);
	ch->rx_stats.bytes += kvmchan_rings_moved_rx(ch);
	spin_unlock(&ch->rx_lock);
	spin_lock(&ch->tx_lock);
	moved = kvmchan_rings_moved_tx(ch);
	ch->tx_stats.bytes += moved;
	ch->tx.prod += moved;
	spin_unlock(&ch->tx_lock);
}

/**
 * kvmchan_rings_read() - bytes that the process has read in this session
 * @ch: channel
 *
 * Context: process, outside kd->srcu.
 */
u64 kvmchan_rings_read(struct kvmchan_channel *ch)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	u64 bytes = kvmchan_is_gone(ch) ? 0 : kvmchan_rings_moved_rx(ch);

	srcu_read_unlock(&ch->kd->srcu, idx);
	return bytes;
}

/**
 * kvmchan_rings_written() - bytes that the process has written in this session
 * @ch: channel
 *
 * Context: process, outside kd->srcu.
 */
u64 kvmchan_rings_written(struct kvmchan_channel *ch)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	u64 bytes = kvmchan_is_gone(ch) ? 0 : kvmchan_rings_moved_tx(ch);

	srcu_read_unlock(&ch->kd->srcu, idx);
	return bytes;
}

/* ---- ringing and sleeping ---- */

/* Has the process moved an index since the last time? */
static bool kvmchan_rings_moved(struct kvmchan_channel *ch, unsigned long rings)
{
	bool moved = false;
	u64 index;

	if (rings & KVMCHAN_RING_RX) {
		spin_lock(&ch->rx_lock);
		index = kvmchan_load(&ch->rx.own->rx_cons);
		moved |= index != ch->rx_kicked;
		ch->rx_kicked = index;
		spin_unlock(&ch->rx_lock);
	}
	if (rings & KVMCHAN_RING_TX) {
		spin_lock(&ch->tx_lock);
		index = kvmchan_load(&ch->tx.own->tx_prod);
		moved |= index != ch->tx_kicked;
		ch->tx_kicked = index;
		spin_unlock(&ch->tx_lock);
	}
	return moved;
}

/**
 * kvmchan_rings_kick() - ring the peer for the process
 * @ch:    channel
 * @rings: KVMCHAN_RING_*: what it did something in
 *
 * A process that has done nothing does not ring: the peer's vector is for
 * other channels, too.
 *
 * Return: 0, -EINVAL, -EPIPE when nobody will read what was written.
 */
int kvmchan_rings_kick(struct kvmchan_channel *ch, unsigned long rings)
{
	unsigned int todo = 0;

	if (!rings || rings & ~(unsigned long)KVMCHAN_RINGS_BOTH ||
	    !kvmchan_rings_taken(ch, rings))
		return -EINVAL;
	/* writel() comes after what the process published. */
	if (kvmchan_rings_moved(ch, rings))
		kvmchan_ring_peer(ch);
	if (rings & KVMCHAN_RING_TX) {
		spin_lock(&ch->tx_lock);
		todo = kvmchan_sync_tx(ch);
		spin_unlock(&ch->tx_lock);
	}
	return todo & KVMCHAN_END ? -EPIPE : 0;
}

static void kvmchan_rings_want(struct kvmchan_channel *ch,
			       const struct kvmchan_rings *r)
{
	u64 was = READ_ONCE(ch->rx_want);

	if (r->rx_want) {
		WRITE_ONCE(ch->rx_want, r->rx_want);
		if (r->rx_want < was)
			wake_up_interruptible_all(&ch->rx_wait);
	}
	if (r->tx_want)
		kvmchan_set_tx_want(ch, r->tx_want);
}

static u32 kvmchan_rings_fill_rx(struct kvmchan_channel *ch,
				 struct kvmchan_rings *r)
{
	u32 flags = 0;

	if (r->rx_want && kvmchan_rx_state(ch, READ_ONCE(ch->rx_want), true))
		flags |= KVMCHAN_RINGS_RX_READY;
	spin_lock(&ch->rx_lock);
	if (kvmchan_sync_rx(ch) & KVMCHAN_END || READ_ONCE(ch->rx_shut))
		flags |= KVMCHAN_RINGS_RX_END;
	if (ch->rx.live && !READ_ONCE(ch->rx_shut))
		flags |= KVMCHAN_RINGS_RX_LIVE;
	r->rx_cons = ch->rx.cons;
	spin_unlock(&ch->rx_lock);
	return flags;
}

static u32 kvmchan_rings_fill_tx(struct kvmchan_channel *ch,
				 struct kvmchan_rings *r)
{
	unsigned int todo;
	u32 flags = 0;

	if (r->tx_want && kvmchan_tx_state(ch, READ_ONCE(ch->tx_want), true))
		flags |= KVMCHAN_RINGS_TX_READY;
	spin_lock(&ch->tx_lock);
	todo = kvmchan_sync_tx(ch);
	if (todo & KVMCHAN_END || READ_ONCE(ch->tx_shut))
		flags |= KVMCHAN_RINGS_TX_END;
	if (todo & KVMCHAN_HOLD)
		flags |= KVMCHAN_RINGS_TX_HOLD;
	if (ch->tx.live)
		flags |= KVMCHAN_RINGS_TX_LIVE;
	r->tx_prod = ch->tx.prod;
	r->tx_cons = ch->tx.cons;
	spin_unlock(&ch->tx_lock);
	return flags;
}

static int kvmchan_rings_fill(struct kvmchan_channel *ch,
			      struct kvmchan_rings *r)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	int err = -ENODEV;

	if (!kvmchan_is_gone(ch)) {
		r->flags = kvmchan_rings_fill_rx(ch, r);
		r->flags |= kvmchan_rings_fill_tx(ch, r);
		err = READ_ONCE(ch->broken) ? -EPROTO : 0;
	}
	srcu_read_unlock(&ch->kd->srcu, idx);
	return err;
}

/* On the queues before each look, so that no wake-up falls between. */
static int kvmchan_rings_sleep(struct kvmchan_channel *ch,
			       struct kvmchan_rings *r)
{
	const u32 ready = KVMCHAN_RINGS_RX_READY | KVMCHAN_RINGS_TX_READY;
	ktime_t until = ktime_add_safe(ktime_get(), ns_to_ktime(r->timeout_ns));
	ktime_t *limit = r->timeout_ns < 0 ? NULL : &until;
	bool late = false;
	DEFINE_WAIT(rx);
	DEFINE_WAIT(tx);
	int err;

	for (;;) {
		if (r->rx_want)
			prepare_to_wait(&ch->rx_wait, &rx, TASK_INTERRUPTIBLE);
		if (r->tx_want)
			prepare_to_wait(&ch->tx_wait, &tx, TASK_INTERRUPTIBLE);
		err = kvmchan_rings_fill(ch, r);
		if (err || late || r->flags & ready)
			break;
		err = signal_pending(current) ? -EINTR : 0;
		if (err)
			break;
		late = !schedule_hrtimeout(limit, HRTIMER_MODE_ABS);
	}
	finish_wait(&ch->rx_wait, &rx);
	finish_wait(&ch->tx_wait, &tx);
	return err;
}

/**
 * kvmchan_rings_wait() - KVMCHAN_IOC_RINGS
 * @ch: channel
 * @r:  in and out: see uapi/kvmchan.h
 *
 * Context: process, outside kd->srcu.
 * Return: 0 also after the time-out; -EINVAL, -ERANGE, -EINTR, -ENODEV,
 * -EPROTO.
 */
int kvmchan_rings_wait(struct kvmchan_channel *ch, struct kvmchan_rings *r)
{
	unsigned long asked = (r->rx_want ? KVMCHAN_RING_RX : 0) |
			      (r->tx_want ? KVMCHAN_RING_TX : 0);

	if (r->reserved || !kvmchan_is_mapped(ch) ||
	    !kvmchan_rings_taken(ch, asked))
		return -EINVAL;
	if (r->rx_want > ch->rx.size || r->tx_want > ch->tx.size)
		return -ERANGE;
	kvmchan_rings_want(ch, r);
	if (asked && r->timeout_ns)
		return kvmchan_rings_sleep(ch, r);
	return kvmchan_rings_fill(ch, r);
}
