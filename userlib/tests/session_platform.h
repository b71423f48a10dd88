/* SPDX-License-Identifier: MIT */
/*
 * The accessors of shared memory for the session model: each one is a point at
 * which the other side may run, or at which this side may die.
 */
#ifndef KVMCHAN_SESSION_PLATFORM_H
#define KVMCHAN_SESSION_PLATFORM_H

#include <linux/types.h>

/* Only these functions touch it here, too; they may do so plainly. */
#undef __kvmchan_shared
#define __kvmchan_shared

void model_step();

static inline __u64 kvmchan_load(const __le64 *p)
{
	model_step();
	return *p;
}

static inline __u64 kvmchan_load_acquire(const __le64 *p)
{
	model_step();
	return *p;
}

static inline void kvmchan_store(__le64 *p, __u64 v)
{
	model_step();
	*p = v;
}

static inline void kvmchan_store_release(__le64 *p, __u64 v)
{
	model_step();
	*p = v;
}

static inline void kvmchan_mb()
{
	model_step();
}

#endif
