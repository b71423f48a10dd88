/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: is it worth to look for a while before going to sleep?
 *
 * The ONE source of the rule, for the kernel module and the library. Who looks
 * a little longer saves both ends a doorbell and a wake-up when data come soon,
 * and burns a core for nothing when they do not: when the peer is slow, at
 * rest, or waits for the very CPU that we look with. So the rule learns only
 * from what spinning has brought: a hit keeps it on, misses in a row turn it
 * off, and from then on one wait of many tries it again, of ever more as long
 * as it does not help. (KVM's halt polling learns from how long the sleep was
 * instead; where two share a CPU that is short just because we slept.)
 */
#ifndef KVMCHAN_SPIN_H
#define KVMCHAN_SPIN_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
#endif

/*
 * Credit: a hit earns 1, a miss costs 2, and it is on while there is some. So
 * it stays on where two of three waits are hits, and outlasts a peer that was
 * preempted now and then.
 */
#define KVMCHAN_SPIN_CREDIT_MAX	8
#define KVMCHAN_SPIN_MISS	2
/* Waits that sleep at once between two trials: at first, and at most. */
#define KVMCHAN_SPIN_PAUSE_MIN	8
#define KVMCHAN_SPIN_PAUSE_MAX	256
/*
 * How long to look, unless told otherwise: longer than a peer takes that slept
 * over one message, or each sleep would make the other end sleep as well.
 */
#define KVMCHAN_SPIN_DEFAULT_US	100

/**
 * struct kvmchan_spin - what spinning has brought of late
 * @credit: see above
 * @pause:  waits to leave out after the next failure; 0: none since a hit
 * @skip:   waits that are still to be left out
 *
 * All zero is a beginning. One waiter at a time.
 */
struct kvmchan_spin {
	__u32 credit;
	__u32 pause;
	__u32 skip;
};

/**
 * kvmchan_spin_due() - shall this wait begin with spinning?
 * @s: state
 *
 * If so, kvmchan_spin_ended() has to tell what came of it.
 */
static inline bool kvmchan_spin_due(struct kvmchan_spin *s)
{
	if (!s->skip)
		return true;
	s->skip--;
	return false;
}

/**
 * kvmchan_spin_ended() - learn from a spin
 * @s:   state
 * @hit: it ended the wait
 */
static inline void kvmchan_spin_ended(struct kvmchan_spin *s, bool hit)
{
	if (hit) {
		s->pause = 0;
		if (s->credit < KVMCHAN_SPIN_CREDIT_MAX)
			s->credit++;
		return;
	}
	if (s->credit >= KVMCHAN_SPIN_MISS) {
		s->credit -= KVMCHAN_SPIN_MISS;
		return;
	}
	s->credit = 0;
	s->pause = s->pause ? 2 * s->pause : KVMCHAN_SPIN_PAUSE_MIN;
	if (s->pause > KVMCHAN_SPIN_PAUSE_MAX)
		s->pause = KVMCHAN_SPIN_PAUSE_MAX;
	s->skip = s->pause;
}

#endif /* KVMCHAN_SPIN_H */
