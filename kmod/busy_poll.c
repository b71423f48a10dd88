// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: who found nothing, or no room, looks for a while before he sleeps.
 *
 * He has not armed, so the peer does not ring meanwhile. Only a call that
 * waits does so: one that does not wait, and poll(), have other things to do.
 */
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>

#include "kvmchan.h"

#define KVMCHAN_BUSY_POLL_MAX_US	1000u
/* A pause, and reading the clock, take much longer than a look. */
#define KVMCHAN_LOOKS_PER_PAUSE		32

static unsigned int busy_poll_us = KVMCHAN_SPIN_DEFAULT_US;
module_param(busy_poll_us, uint, 0644);
MODULE_PARM_DESC(busy_poll_us,
		 "microseconds that a read or write looks before it sleeps, where that pays (default "
		 __stringify(KVMCHAN_SPIN_DEFAULT_US) ", 0: never, at most 1000)");

/* Has the peer's index moved on so far? It is not checked here: a hint. */
static bool kvmchan_moved(const __le64 __kvmchan_shared *index, u64 from,
			  u64 by)
{
	return kvmchan_load(index) - from >= by;
}

static bool kvmchan_spin(const struct kvmchan_channel *ch,
			 const __le64 __kvmchan_shared *index, u64 from, u64 by)
{
	u64 us = min(READ_ONCE(busy_poll_us), KVMCHAN_BUSY_POLL_MAX_US);
	u64 end = local_clock() + us * NSEC_PER_USEC;
	unsigned int i;

	do {
		for (i = 0; i < KVMCHAN_LOOKS_PER_PAUSE; i++)
			if (kvmchan_moved(index, from, by))
				return true;
		cpu_relax();
	} while (!kvmchan_is_gone(ch) && !need_resched() &&
		 !signal_pending(current) && local_clock() < end);
	return false;
}

static bool kvmchan_busy_poll(struct kvmchan_channel *ch,
			      struct kvmchan_spin *rule,
			      const __le64 __kvmchan_shared *index, u64 from,
			      u64 by)
{
	bool hit;
	int idx;

	if (!READ_ONCE(busy_poll_us) || !kvmchan_spin_due(rule))
		return false;
	idx = srcu_read_lock(&ch->kd->srcu);
	hit = !kvmchan_is_gone(ch) && kvmchan_spin(ch, index, from, by);
	srcu_read_unlock(&ch->kd->srcu, idx);
	kvmchan_spin_ended(rule, hit);
	return hit;
}

/**
 * kvmchan_busy_poll_rx() - wait for bytes without sleeping, where that pays
 * @ch: channel; the caller holds rx_mutex
 *
 * Context: process.
 * Return: whether it is worth to read again.
 */
bool kvmchan_busy_poll_rx(struct kvmchan_channel *ch)
{
	bool live;
	u64 cons;

	spin_lock(&ch->rx_lock);
	live = ch->rx.live;
	cons = ch->rx.cons;
	spin_unlock(&ch->rx_lock);
	return live && kvmchan_busy_poll(ch, &ch->rx_spin,
					 &ch->rx.peer->tx_prod, cons,
					 READ_ONCE(ch->rx_want));
}

/**
 * kvmchan_busy_poll_tx() - wait for room without sleeping, where that pays
 * @ch:   channel; the caller holds tx_mutex
 * @room: bytes that are worth to go on with
 *
 * Whoever sleeps waits for half the ring; whoever looks can do with less.
 *
 * Context: process.
 * Return: whether it is worth to write again.
 */
bool kvmchan_busy_poll_tx(struct kvmchan_channel *ch, u64 room)
{
	u64 oldest;
	bool live;

	spin_lock(&ch->tx_lock);
	live = ch->tx.live;
	oldest = ch->tx.prod - ch->tx.size;
	spin_unlock(&ch->tx_lock);
	return live && kvmchan_busy_poll(ch, &ch->tx_spin,
					 &ch->tx.peer->rx_cons, oldest, room);
}
