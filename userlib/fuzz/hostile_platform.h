/* SPDX-License-Identifier: MIT */
/*
 * The accessors of shared memory for fuzzers: before each load the peer may
 * write what it likes.
 */
#ifndef KVMCHAN_FUZZ_HOSTILE_PLATFORM_H
#define KVMCHAN_FUZZ_HOSTILE_PLATFORM_H

#include <linux/types.h>

/* Only these functions touch it here, too; they may do so plainly. */
#undef __kvmchan_shared
#define __kvmchan_shared

/* Each fuzzer that uses this has one. */
void kvmchan_before_load(const __le64 *word);

static inline __u64 kvmchan_load(const __le64 *p)
{
	kvmchan_before_load(p);
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline __u64 kvmchan_load_acquire(const __le64 *p)
{
	kvmchan_before_load(p);
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void kvmchan_store(__le64 *p, __u64 v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void kvmchan_store_release(__le64 *p, __u64 v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void kvmchan_mb()
{
}

#endif
