// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: where no doorbell tells, a timer looks.
 *
 * One timer a device looks at every open channel whose peer does not ring us
 * (ivshmem-plain, a peer without doorbells, a vector that is cut off). Its
 * interval follows the traffic: short after work or when somebody begins to
 * wait, doubling while there is none. With no such channel it stops.
 */
#include <linux/hrtimer.h>
#include <linux/module.h>

#include "kvmchan.h"

static unsigned int poll_min_us = 50;
module_param(poll_min_us, uint, 0644);
MODULE_PARM_DESC(poll_min_us, "shortest polling interval without doorbells, microseconds (default 50)");

static unsigned int poll_max_us = 10000;
module_param(poll_max_us, uint, 0644);
MODULE_PARM_DESC(poll_max_us, "longest polling interval without doorbells, microseconds (default 10000)");

static u64 kvmchan_poll_min(void)
{
	return (u64)clamp(READ_ONCE(poll_min_us), 10u, 1000000u) *
	       NSEC_PER_USEC;
}

/**
 * kvmchan_poll_max() - the longest interval while a peer is there, in ns
 */
u64 kvmchan_poll_max(void)
{
	u64 max = (u64)clamp(READ_ONCE(poll_max_us), 10u, 1000000u) *
		  NSEC_PER_USEC;

	return max(max, kvmchan_poll_min());
}

/* Never later than it would look anyway. The caller holds poll_lock. */
static void kvmchan_poll_within(struct kvmchan_device *kd, u64 ns)
{
	struct hrtimer *timer = &kd->poll_timer;
	bool queued = hrtimer_is_queued(timer);

	kd->poll_ns = queued ? min(kd->poll_ns, ns) : ns;
	if (!queued || ktime_to_ns(hrtimer_get_remaining(timer)) > (s64)ns)
		hrtimer_start(timer, ns_to_ktime(ns), HRTIMER_MODE_REL_SOFT);
}

static enum hrtimer_restart kvmchan_poll(struct hrtimer *timer)
{
	struct kvmchan_device *kd = container_of(timer, struct kvmchan_device,
						 poll_timer);
	struct kvmchan_channel *ch;
	unsigned long index, flags;
	u64 cap = U64_MAX, c;
	bool work = false;

	rcu_read_lock();
	xa_for_each(&kd->channels, index, ch) {
		c = kvmchan_channel_poll_cap(ch);
		if (!c)
			continue;
		cap = min(cap, c);
		work |= kvmchan_channel_check(ch);
	}
	rcu_read_unlock();

	spin_lock_irqsave(&kd->poll_lock, flags);
	/* Somebody may have started it anew meanwhile. */
	if (cap != U64_MAX)
		kvmchan_poll_within(kd, work ? kvmchan_poll_min() :
				    min(kd->poll_ns * 2, cap));
	spin_unlock_irqrestore(&kd->poll_lock, flags);
	return HRTIMER_NORESTART;
}

/**
 * kvmchan_poll_init() - prepare the timer
 * @kd: new device
 */
void kvmchan_poll_init(struct kvmchan_device *kd)
{
	spin_lock_init(&kd->poll_lock);
	kvmchan_hrtimer_setup(&kd->poll_timer, kvmchan_poll);
}

/**
 * kvmchan_poll_soon() - somebody waits: look at short intervals again
 * @ch: channel; nothing happens when its peer rings us, and nothing soon when
 *      it has not come yet but will
 *
 * Context: any.
 */
void kvmchan_poll_soon(struct kvmchan_channel *ch)
{
	u64 cap = kvmchan_channel_poll_cap(ch);
	struct kvmchan_device *kd = ch->kd;
	unsigned long flags;

	if (!cap)
		return;
	/* A peer that will ring when it comes need not be looked for soon. */
	spin_lock_irqsave(&kd->poll_lock, flags);
	kvmchan_poll_within(kd, cap == KVMCHAN_POLL_ABSENT_NS ? cap :
			    kvmchan_poll_min());
	spin_unlock_irqrestore(&kd->poll_lock, flags);
}

/**
 * kvmchan_poll_stop() - no more looking
 * @kd: device whose channels are gone or quiet
 *
 * Context: process.
 */
void kvmchan_poll_stop(struct kvmchan_device *kd)
{
	hrtimer_cancel(&kd->poll_timer);
}
