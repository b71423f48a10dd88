// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: a reader that found nothing looks for a while before it sleeps.
 *
 * It has not armed, so the peer does not ring meanwhile. Only a read that
 * waits does so: one that does not wait, and poll(), have other things to do.
 */
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>

#include "kvmchan.h"

#define KVMCHAN_BUSY_POLL_MAX_US	1000u

static unsigned int busy_poll_us = KVMCHAN_SPIN_DEFAULT_US;
module_param(busy_poll_us, uint, 0644);
MODULE_PARM_DESC(busy_poll_us, "how long a reader looks before it sleeps, where that pays, microseconds (default 50, 0: never, at most 1000)");

/* What the peer says is not checked here: it is a hint. */
static bool kvmchan_spin(const struct kvmchan_channel *ch, u64 cons, u64 ns)
{
	u64 end = local_clock() + ns;

	do {
		if (kvmchan_load(&ch->rx.peer->tx_prod) - cons >=
		    READ_ONCE(ch->rx_want))
			return true;
		cpu_relax();
	} while (!kvmchan_is_gone(ch) && !need_resched() &&
		 !signal_pending(current) && local_clock() < end);
	return false;
}

/**
 * kvmchan_busy_poll() - wait for bytes without sleeping, where that pays
 * @ch: channel; the caller holds rx_mutex
 *
 * Context: process.
 * Return: whether it is worth to read again.
 */
bool kvmchan_busy_poll(struct kvmchan_channel *ch)
{
	u64 us = min(READ_ONCE(busy_poll_us), KVMCHAN_BUSY_POLL_MAX_US);
	bool live, hit;
	u64 cons;
	int idx;

	spin_lock(&ch->rx_lock);
	live = ch->rx.live;
	cons = ch->rx.cons;
	spin_unlock(&ch->rx_lock);
	if (!us || !live || !kvmchan_spin_due(&ch->rx_spin))
		return false;
	idx = srcu_read_lock(&ch->kd->srcu);
	hit = !kvmchan_is_gone(ch) &&
	      kvmchan_spin(ch, cons, us * NSEC_PER_USEC);
	srcu_read_unlock(&ch->kd->srcu, idx);
	kvmchan_spin_ended(&ch->rx_spin, hit);
	return hit;
}
