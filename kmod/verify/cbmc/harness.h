/* SPDX-License-Identifier: MIT */
/*
 * kvmchan: what the proofs share. Each function prove_*() is one proof: it
 * makes ANY state that satisfies an end's invariant, calls a function of the
 * shipped headers once, and asserts the invariant and what the function
 * promises. So it holds after any number of calls.
 */
#ifndef KVMCHAN_VERIFY_HARNESS_H
#define KVMCHAN_VERIFY_HARNESS_H

#include <stddef.h>
#include <stdlib.h>

#define KVMCHAN_PLATFORM "verify/cbmc/platform.h"
#include "ring.h"

_Bool nondet_bool(void);
__u32 nondet_u32(void);

#define assume(what) __CPROVER_assume(what)
#define prove(what, text) __CPROVER_assert(what, text)

/* A proof whose end cannot be reached proves nothing: this must fail. */
#ifdef PROVE_REACHED
#define reached() __CPROVER_assert(0, "the end is reached")
#else
#define reached() ((void)0)
#endif

static struct kvmchan_index_page own_index, peer_index;

/* Rings of records are not smaller than this: a head and a payload. */
#define RECORD_RING_BITS 4

/* Up to the longest ring, and down to ones that FORMAT.md does not allow. */
static __u64 any_size(unsigned int bits_min)
{
	unsigned int bits = nondet_u32();

	assume(bits >= bits_min && bits <= 30);
	return 1ULL << bits;
}

static int any_error(void)
{
	return nondet_bool() ? -EPROTO : 0;
}

static bool tx_sound(const struct kvmchan_tx *tx)
{
	return tx->prod - tx->cons <= tx->size &&
	       (tx->error == 0 || tx->error == -EPROTO);
}

static bool rx_sound(const struct kvmchan_rx *rx)
{
	return rx->prod - rx->cons <= rx->size &&
	       (rx->error == 0 || rx->error == -EPROTO);
}

static struct kvmchan_tx any_tx(unsigned int bits_min)
{
	struct kvmchan_tx tx = {
		.size = any_size(bits_min),
		.prod = nondet_u64(),
		.cons = nondet_u64(),
		.own = &own_index,
		.peer = &peer_index,
		.live = nondet_bool(),
		.error = any_error(),
	};

	assume(tx_sound(&tx));
	return tx;
}

static struct kvmchan_rx any_rx(unsigned int bits_min)
{
	struct kvmchan_rx rx = {
		.size = any_size(bits_min),
		.cons = nondet_u64(),
		.prod = nondet_u64(),
		.own = &own_index,
		.peer = &peer_index,
		.live = nondet_bool(),
		.error = any_error(),
	};

	assume(rx_sound(&rx));
	return rx;
}

/* The access of number @n was this one. */
static bool was(unsigned int n, enum access_kind kind, const __le64 *word)
{
	return n < access_count && accesses[n].kind == kind &&
	       accesses[n].word == word;
}

static bool stored(unsigned int n, enum access_kind kind, const __le64 *word,
		   __u64 value)
{
	return was(n, kind, word) && accesses[n].value == value;
}

#endif
