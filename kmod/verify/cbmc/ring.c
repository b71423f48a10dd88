// SPDX-License-Identifier: MIT
// The ring: any size, any index, any value at each load of a peer's word.
#include "harness.h"

/* A move from @from to @to passes @event, said without wrapping arithmetic. */
static bool passes(__u64 event, __u64 from, __u64 to)
{
	__u64 moved = to - from, distance = event - from;

	return distance < moved;
}

void prove_crossed(void)
{
	__u64 event = nondet_u64(), from = nondet_u64(), to = nondet_u64();

	prove(kvmchan_crossed(event, from, to) == passes(event, from, to),
	      "crossed: from <= event < to");
	reached();
}

/*
 * A waiter that needs the other's index to move on by @needed from where it is
 * asks for the byte before; a move by at most a ring's length rings just then.
 */
void prove_event_is_passed(void)
{
	__u64 from = nondet_u64(), moved = nondet_u32();
	__s64 needed = (__s64)nondet_u32() - (1LL << 31);

	assume(moved <= KVMCHAN_MAX_RING);
	prove(kvmchan_crossed(from + (__u64)needed - 1, from, from + moved) ==
	      (needed >= 1 && needed <= (__s64)moved),
	      "the move that reaches it rings, and no other");
	reached();
}

/* ---- windows ---- */

/* Where the byte @k of a window lies. */
static __u64 window_byte(const struct kvmchan_window *w, __u64 k)
{
	return k < w->first ? w->offset + k : k - w->first;
}

static void check_window(const struct kvmchan_window *w, __u64 size, __u64 index,
			 __u64 length)
{
	__u64 k = nondet_u64();

	prove(w->first + w->second == length && w->first <= length,
	      "a window is as long as asked for");
	prove(w->offset < size && w->first <= size - w->offset &&
	      w->second <= w->offset, "a window is inside the ring, no byte twice");
	assume(k < length);
	prove(window_byte(w, k) == ((index + k) & (size - 1)),
	      "the byte of an index lies at index & (size - 1)");
}

/* Two indices less than a ring apart are not the same byte. */
void prove_distinct_bytes(void)
{
	__u64 size = any_size(0), index = nondet_u64(), apart = nondet_u64();

	assume(apart >= 1 && apart < size);
	prove(((index + apart) & (size - 1)) != (index & (size - 1)),
	      "they do not share a byte of the ring");
	reached();
}

/* What both ends' windows are made by. */
void prove_window(void)
{
	__u64 size = any_size(0), index = nondet_u64(), length = nondet_u64();
	struct kvmchan_window w;

	assume(length <= size);
	kvmchan_window_set(&w, size, index, length);
	check_window(&w, size, index, length);
	reached();
}

/* A window of a view that shows the ring twice never wraps. */
void prove_view_window(void)
{
	__u64 size = any_size(0), index = nondet_u64(), length = nondet_u64();
	__u64 offset = kvmchan_ring_offset(size, index), k = nondet_u64();

	assume(length <= size);
	prove(offset < size && length <= 2 * size - offset,
	      "it is inside the view");
	assume(k < length);
	prove((offset + k < size ? offset + k : offset + k - size) ==
	      ((index + k) & (size - 1)), "and shows the bytes of its indices");
	reached();
}

static bool window_is(const struct kvmchan_window *w, __u64 size, __u64 index,
		      __u64 length)
{
	struct kvmchan_window expected;

	kvmchan_window_set(&expected, size, index, length);
	return w->offset == expected.offset && w->first == expected.first &&
	       w->second == expected.second;
}

void prove_tx_window(void)
{
	struct kvmchan_tx tx = any_tx(0);
	__u64 at = nondet_u64(), length = nondet_u64(), k = nondet_u64();
	__u64 used = tx.prod - tx.cons, old = nondet_u64(), apart;
	struct kvmchan_window w;

	prove(kvmchan_tx_free(&tx) == tx.size - used, "free is what is not used");
	assume(at <= tx.size - used && length <= tx.size - used - at);
	kvmchan_tx_window(&tx, at, length, &w);
	prove(window_is(&w, tx.size, tx.prod + at, length), "past what is filled");
	prove(access_count == 0, "no shared word is looked at");
	/* From byte @old of those the peer may be reading to byte @k of these. */
	assume(k < length && old < used);
	apart = used - old + at + k;
	prove(apart >= 1 && apart < tx.size, "see prove_distinct_bytes()");
	reached();
}

void prove_rx_window(void)
{
	struct kvmchan_rx rx = any_rx(0);
	__u64 at = nondet_u64(), length = nondet_u64(), k = nondet_u64();
	__u64 used = kvmchan_rx_used(&rx), vacant = nondet_u64(), apart;
	struct kvmchan_window w;

	prove(used <= rx.size, "no more than the ring");
	assume(at <= used && length <= used - at);
	kvmchan_rx_window(&rx, at, length, &w);
	prove(window_is(&w, rx.size, rx.cons + at, length), "past what is left out");
	prove(access_count == 0, "no shared word is looked at");
	/* From byte @k of these to byte @vacant of those the peer may fill. */
	assume(k < length && vacant < rx.size - used);
	apart = used - (at + k) + vacant;
	prove(apart >= 1 && apart < rx.size, "see prove_distinct_bytes()");
	reached();
}

/* ---- producer ---- */

static bool tx_same(const struct kvmchan_tx *a, const struct kvmchan_tx *b)
{
	return a->size == b->size && a->prod == b->prod && a->cons == b->cons &&
	       a->live == b->live && a->error == b->error;
}

/* @first: the number of the first access that the refresh may have made. */
static void check_tx_refresh(const struct kvmchan_tx *tx,
			     const struct kvmchan_tx *old, int ret,
			     unsigned int first)
{
	__u64 cons = accesses[first].value;
	bool honest;

	prove(tx_sound(tx), "the producer stays sound");
	prove(tx->prod == old->prod && tx->size == old->size,
	      "the master copies are ours");
	prove(ret == tx->error, "an error is told and remembered");
	prove(!old->error || tx_same(tx, old), "an error is sticky");
	if (old->error || !old->live) {
		prove(access_count == first, "no word of the peer is looked at");
		prove(tx_same(tx, old), "nothing changes");
		return;
	}
	prove(access_count == first + 1 &&
	      was(first, ACCESS_ACQUIRE, &peer_index.rx_cons),
	      "the peer's index is fetched once, with acquire");
	honest = cons - old->cons <= old->prod - old->cons;
	prove(honest == (ret == 0), "refused is a lie, and only a lie");
	prove(tx->cons == (honest ? cons : old->cons),
	      "the index moves forward, to what was checked");
}

void prove_tx_refresh(void)
{
	struct kvmchan_tx tx = any_tx(0), old = tx;
	int ret = kvmchan_tx_refresh(&tx);

	check_tx_refresh(&tx, &old, ret, 0);
	reached();
}

void prove_tx_commit(void)
{
	struct kvmchan_tx tx = any_tx(0), old = tx;
	__u64 length = nondet_u64();
	bool ring;

	assume(length <= kvmchan_tx_free(&tx));
	ring = kvmchan_tx_commit(&tx, length);
	prove(tx_sound(&tx), "the producer stays sound");
	prove(tx.prod == old.prod + length && tx.cons == old.cons &&
	      tx.error == old.error, "it moves by what was committed");
	prove(access_count == 3 &&
	      stored(0, ACCESS_RELEASE, &own_index.tx_prod, tx.prod) &&
	      was(1, ACCESS_BARRIER, NULL) &&
	      was(2, ACCESS_LOAD, &peer_index.rx_event),
	      "publish, barrier, look at the peer's event");
	prove(ring == passes(accesses[2].value, old.prod, tx.prod),
	      "rings when it passed the event, and only then");
	reached();
}

void prove_tx_arm(void)
{
	struct kvmchan_tx tx = any_tx(0), old = tx;
	__u64 want = nondet_u64();
	int ret;

	assume(want >= 1 && want <= tx.size);
	ret = kvmchan_tx_arm(&tx, want);
	prove(was(0, ACCESS_STORE, &own_index.tx_event) &&
	      was(1, ACCESS_BARRIER, NULL), "store the event, barrier, look");
	check_tx_refresh(&tx, &old, tx.error, 2);
	prove(ret == (tx.error ? tx.error : kvmchan_tx_free(&tx) >= want),
	      "says whether there is room");
	/* See prove_event_is_passed(). */
	prove(tx.size - (tx.prod - (accesses[0].value + 1)) == want,
	      "past the event there is the room, and before it there is not");
	reached();
}

/* ---- consumer ---- */

static bool rx_same(const struct kvmchan_rx *a, const struct kvmchan_rx *b)
{
	return a->size == b->size && a->prod == b->prod && a->cons == b->cons &&
	       a->live == b->live && a->error == b->error;
}

static void check_rx_refresh(const struct kvmchan_rx *rx,
			     const struct kvmchan_rx *old, int ret,
			     unsigned int first)
{
	__u64 prod = accesses[first].value;
	bool honest;

	prove(rx_sound(rx), "the consumer stays sound");
	prove(rx->cons == old->cons && rx->size == old->size,
	      "the master copies are ours");
	prove(ret == rx->error, "an error is told and remembered");
	prove(!old->error || rx_same(rx, old), "an error is sticky");
	if (old->error || !old->live) {
		prove(access_count == first, "no word of the peer is looked at");
		prove(rx_same(rx, old), "nothing changes");
		return;
	}
	prove(access_count == first + 1 &&
	      was(first, ACCESS_ACQUIRE, &peer_index.tx_prod),
	      "the peer's index is fetched once, with acquire");
	honest = prod - old->prod <= old->size - (old->prod - old->cons);
	prove(honest == (ret == 0), "refused is a lie, and only a lie");
	prove(rx->prod == (honest ? prod : old->prod),
	      "the index moves forward, to what was checked");
}

void prove_rx_refresh(void)
{
	struct kvmchan_rx rx = any_rx(0), old = rx;
	int ret = kvmchan_rx_refresh(&rx);

	check_rx_refresh(&rx, &old, ret, 0);
	reached();
}

void prove_rx_commit(void)
{
	struct kvmchan_rx rx = any_rx(0), old = rx;
	__u64 length = nondet_u64();
	bool ring;

	assume(length <= kvmchan_rx_used(&rx));
	ring = kvmchan_rx_commit(&rx, length);
	prove(rx_sound(&rx), "the consumer stays sound");
	prove(rx.cons == old.cons + length && rx.prod == old.prod &&
	      rx.error == old.error, "it moves by what was committed");
	prove(access_count == 3 &&
	      stored(0, ACCESS_RELEASE, &own_index.rx_cons, rx.cons) &&
	      was(1, ACCESS_BARRIER, NULL) &&
	      was(2, ACCESS_LOAD, &peer_index.tx_event),
	      "publish, barrier, look at the peer's event");
	prove(ring == passes(accesses[2].value, old.cons, rx.cons),
	      "rings when it passed the event, and only then");
	reached();
}

void prove_rx_arm(void)
{
	struct kvmchan_rx rx = any_rx(0), old = rx;
	__u64 want = nondet_u64();
	int ret;

	assume(want >= 1 && want <= rx.size);
	ret = kvmchan_rx_arm(&rx, want);
	prove(was(0, ACCESS_STORE, &own_index.rx_event) &&
	      was(1, ACCESS_BARRIER, NULL), "store the event, barrier, look");
	check_rx_refresh(&rx, &old, rx.error, 2);
	prove(ret == (rx.error ? rx.error : kvmchan_rx_used(&rx) >= want),
	      "says whether the bytes are there");
	/* See prove_event_is_passed(). */
	prove(accesses[0].value + 1 - rx.cons == want,
	      "past the event there are the bytes, and before it there are not");
	reached();
}

/* ---- who sleeps for a process that has the ring mapped ---- */

static bool watched(unsigned int n, bool arm, const __le64 *event, __u64 value)
{
	return !arm || (stored(n, ACCESS_STORE, event, value) &&
			was(n + 1, ACCESS_BARRIER, NULL));
}

void prove_rx_watch(void)
{
	struct kvmchan_rx rx = any_rx(0), old = rx;
	__u64 want = nondet_u64(), cons, prod;
	bool arm = nondet_bool(), look;
	unsigned int last = arm ? 3 : 1;

	assume(want >= 1 && want <= rx.size);
	look = kvmchan_rx_watch(&rx, want, arm);
	cons = accesses[0].value;
	prod = accesses[last].value;
	prove(was(0, ACCESS_LOAD, &own_index.rx_cons) &&
	      watched(1, arm, &own_index.rx_event, cons + want - 1) &&
	      was(last, ACCESS_ACQUIRE, &peer_index.tx_prod) &&
	      access_count == last + 1,
	      "the process's index, the event, barrier, the peer's index");
	prove(rx_same(&rx, &old), "the driver's own state is left alone");
	/* No honest pair of indices with enough bytes lets it sleep. */
	prove(look == (prod - cons >= want), "sleeps only if there are fewer");
	prove(look || kvmchan_crossed(cons + want - 1, prod, cons + want),
	      "and then the publish that brings them rings");
	reached();
}

void prove_tx_watch(void)
{
	struct kvmchan_tx tx = any_tx(0), old = tx;
	__u64 want = nondet_u64(), prod, cons;
	bool arm = nondet_bool(), look;
	unsigned int last = arm ? 3 : 1;

	assume(want >= 1 && want <= tx.size);
	look = kvmchan_tx_watch(&tx, want, arm);
	prod = accesses[0].value;
	cons = tx.live ? accesses[last].value : tx.cons;
	prove(was(0, ACCESS_LOAD, &own_index.tx_prod) &&
	      watched(1, arm, &own_index.tx_event, prod + want - tx.size - 1),
	      "the process's index, the event, barrier");
	prove(!tx.live || was(last, ACCESS_ACQUIRE, &peer_index.rx_cons),
	      "then the peer's index, if it is about this session");
	prove(access_count == last + (tx.live ? 1 : 0), "and nothing else");
	prove(tx_same(&tx, &old), "the driver's own state is left alone");
	prove(look || (prod - cons <= tx.size && tx.size - (prod - cons) < want),
	      "sleeps only if there is less, and the indices make sense");
	prove(prod - cons > tx.size || look == (tx.size - (prod - cons) >= want),
	      "an honest pair with room does not let it sleep");
	prove(look || kvmchan_crossed(prod + want - tx.size - 1, cons,
				      prod + want - tx.size),
	      "and then the move that makes room rings");
	reached();
}

/* Both sleep only if L + S > size + 1: an end that waits is rung by the other. */
void prove_low_water_marks(void)
{
	__u64 size = any_size(0), used = nondet_u64();
	__u64 reader = nondet_u64(), writer = nondet_u64();

	assume(used <= size && reader >= 1 && writer >= 1);
	assume(reader <= size && writer <= size && reader + writer <= size + 1);
	prove(used >= reader || size - used >= writer,
	      "one of the two has what it waits for");
	reached();
}
