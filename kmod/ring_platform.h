/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: access to memory that is shared with a hostile peer.
 *
 * These five accessors are the only way in which ring, session and table code
 * touches shared words. Shared pointers carry __kvmchan_shared, so sparse and
 * clang's -Wnoderef refuse a plain dereference. Every accessor does exactly
 * one aligned access of the word's own width: what it returns cannot change
 * under the caller.
 *
 * A checker that wants to see every access defines KVMCHAN_PLATFORM to the
 * name of a header of its own that provides the same five.
 */
#ifndef KVMCHAN_RING_PLATFORM_H
#define KVMCHAN_RING_PLATFORM_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/byteorder.h>
#ifndef CONFIG_64BIT
#error "kvmchan needs single 64-bit loads and stores"
#endif
#else
#include <errno.h>
#include <linux/types.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif
#ifndef __force
#define __force
#endif
#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kvmchan needs a little-endian machine with single 64-bit accesses"
#endif
#endif

#if defined(__CHECKER__)
#define __kvmchan_shared __attribute__((noderef, address_space(__kvmchan)))
#elif defined(__clang__) && !defined(__KERNEL__)
#define __kvmchan_shared __attribute__((noderef))
#else
#define __kvmchan_shared
#endif

#if defined(KVMCHAN_PLATFORM)
#include KVMCHAN_PLATFORM
#elif defined(__KERNEL__)

/*
 * virt_*, not smp_*: a kernel built or patched for one CPU still races with
 * the host's other CPUs.
 */
static inline u64 kvmchan_load(const __le64 __kvmchan_shared *p)
{
	return le64_to_cpu(READ_ONCE(*(const __le64 __force *)p));
}

static inline u64 kvmchan_load_acquire(const __le64 __kvmchan_shared *p)
{
	/* Partner: the release or full barrier named at each use. */
	return le64_to_cpu(virt_load_acquire((const __le64 __force *)p));
}

static inline void kvmchan_store(__le64 __kvmchan_shared *p, u64 v)
{
	WRITE_ONCE(*(__le64 __force *)p, cpu_to_le64(v));
}

static inline void kvmchan_store_release(__le64 __kvmchan_shared *p, u64 v)
{
	/* Partner: the acquire named at each use. */
	virt_store_release((__le64 __force *)p, cpu_to_le64(v));
}

static inline void kvmchan_mb(void)
{
	/* Partner: the full barrier named at each use. */
	virt_mb();
}

#else /* user space, C and C++ */

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnoderef"
#endif

static inline __u64 kvmchan_load(const __le64 __kvmchan_shared *p)
{
	return __atomic_load_n((const __le64 *)p, __ATOMIC_RELAXED);
}

static inline __u64 kvmchan_load_acquire(const __le64 __kvmchan_shared *p)
{
	return __atomic_load_n((const __le64 *)p, __ATOMIC_ACQUIRE);
}

static inline void kvmchan_store(__le64 __kvmchan_shared *p, __u64 v)
{
	__atomic_store_n((__le64 *)p, v, __ATOMIC_RELAXED);
}

static inline void kvmchan_store_release(__le64 __kvmchan_shared *p, __u64 v)
{
	__atomic_store_n((__le64 *)p, v, __ATOMIC_RELEASE);
}

static inline void kvmchan_mb(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
#endif

#endif /* KVMCHAN_RING_PLATFORM_H */
