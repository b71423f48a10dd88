/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmchan: what receive.c and transmit.c share.
 */
#ifndef KVMCHAN_TRANSFER_H
#define KVMCHAN_TRANSFER_H

#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "kvmchan.h"

/*
 * Long transfers are published in pieces: both ends copy at the same time, and
 * whoever holds a lock for a piece does not hold it for long.
 */
static inline u64 kvmchan_piece(u64 ring_size)
{
	return clamp_t(u64, ring_size / 4, KVMCHAN_MIN_RING, SZ_16K);
}

static inline void *kvmchan_ring_data(const struct kvmchan_channel *ch,
				      unsigned int side)
{
	return ch->kd->memory.base + le64_to_cpu(ch->slot.data[side]);
}

static inline bool kvmchan_interrupted(const struct kvmchan_channel *ch)
{
	cond_resched();
	return signal_pending(current) || kvmchan_is_gone(ch);
}

#endif /* KVMCHAN_TRANSFER_H */
