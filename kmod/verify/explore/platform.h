/* SPDX-License-Identifier: MIT */
/*
 * kvmchan: the accessors of shared memory for the explorer. A word holds
 * nothing but the number of its place; what a load of it gives is up to the
 * model of the memory.
 */
#ifndef KVMCHAN_EXPLORE_PLATFORM_H
#define KVMCHAN_EXPLORE_PLATFORM_H

#include <linux/types.h>

#include "access.hpp"

/* Only these functions touch it here, too; they may do so plainly. */
#undef __kvmchan_shared
#define __kvmchan_shared

static inline __u64 access_word(explore::act what, const __le64 *p, __u64 v)
{
	return explore::perform({what, static_cast<__u8>(*p), v, nullptr});
}

static inline __u64 kvmchan_load(const __le64 *p)
{
	return access_word(explore::act::load, p, 0);
}

static inline __u64 kvmchan_load_acquire(const __le64 *p)
{
	return access_word(explore::act::load_acquire, p, 0);
}

static inline void kvmchan_store(__le64 *p, __u64 v)
{
	access_word(explore::act::store, p, v);
}

static inline void kvmchan_store_release(__le64 *p, __u64 v)
{
	access_word(explore::act::store_release, p, v);
}

static inline void kvmchan_mb()
{
	explore::perform({explore::act::barrier, 0, 0, nullptr});
}

#endif
