/* SPDX-License-Identifier: MIT */
/*
 * kvmchan: the accessors of shared memory for CBMC. A load returns any value
 * at all, whatever was there before: that is the hostile peer. Every access
 * is noted, so that a proof can ask what was touched, and in which order.
 */
#ifndef KVMCHAN_VERIFY_PLATFORM_H
#define KVMCHAN_VERIFY_PLATFORM_H

#include <linux/types.h>

enum access_kind {
	ACCESS_LOAD = 1,
	ACCESS_ACQUIRE,
	ACCESS_STORE,
	ACCESS_RELEASE,
	ACCESS_BARRIER,
};

struct access {
	enum access_kind kind;
	const __le64 *word;
	__u64 value;
};

/* No call of the headers makes more accesses than this. */
#define ACCESS_MAX 16

static struct access accesses[ACCESS_MAX];
static unsigned int access_count;

__u64 nondet_u64(void);

static inline void access_note(enum access_kind kind, const __le64 *word,
			       __u64 value)
{
	__CPROVER_assert(access_count < ACCESS_MAX, "the work of a call is bounded");
	accesses[access_count].kind = kind;
	accesses[access_count].word = word;
	accesses[access_count].value = value;
	access_count++;
}

static inline __u64 access_load(enum access_kind kind, const __le64 *word)
{
	__u64 value = nondet_u64();

	__CPROVER_assert(__CPROVER_r_ok(word, sizeof(*word)), "loads stay inside");
	access_note(kind, word, value);
	return value;
}

static inline void access_store(enum access_kind kind, __le64 *word, __u64 value)
{
	__CPROVER_assert(__CPROVER_w_ok(word, sizeof(*word)), "stores stay inside");
	access_note(kind, word, value);
}

static inline __u64 kvmchan_load(const __le64 *word)
{
	return access_load(ACCESS_LOAD, word);
}

static inline __u64 kvmchan_load_acquire(const __le64 *word)
{
	return access_load(ACCESS_ACQUIRE, word);
}

static inline void kvmchan_store(__le64 *word, __u64 value)
{
	access_store(ACCESS_STORE, word, value);
}

static inline void kvmchan_store_release(__le64 *word, __u64 value)
{
	access_store(ACCESS_RELEASE, word, value);
}

static inline void kvmchan_mb(void)
{
	access_note(ACCESS_BARRIER, NULL, 0);
}

#endif
