// SPDX-License-Identifier: MIT
// What mmap() shows: any offset, any slot that the validator lets pass.
#include "harness.h"
#include "view.h"

struct kvmchan_slot nondet_slot(void);
struct kvmchan_view nondet_view(void);

/* In numbers that cannot wrap: is @at a byte of this range? */
static bool within(__u64 at, __u64 start, __u64 length)
{
	return at >= start && (unsigned __int128)at <
			      (unsigned __int128)start + length;
}

static __u64 index_page(const struct kvmchan_slot *slot, unsigned int side)
{
	return slot->control + side * 2 * KVMCHAN_PAGE_SIZE + KVMCHAN_PAGE_SIZE;
}

/* Ranges that kvmchan_slot_check() has let pass do not wrap. */
static struct kvmchan_slot any_slot(__u64 size)
{
	struct kvmchan_slot slot = nondet_slot();
	unsigned int i;

	assume(slot.kind == KVMCHAN_KIND_CHANNEL ||
	       slot.kind == KVMCHAN_KIND_MEMORY);
	assume(kvmchan_range_ok(slot.control, sizeof(struct kvmchan_control),
				size));
	for (i = 0; i < 2; i++) {
		if (slot.kind == KVMCHAN_KIND_CHANNEL)
			assume(kvmchan_ring_size_ok(slot.data_size[i]));
		if (slot.kind == KVMCHAN_KIND_CHANNEL || i == 0)
			assume(kvmchan_range_ok(slot.data[i], slot.data_size[i],
						size));
	}
	return slot;
}

void prove_find(void)
{
	__u64 size = nondet_u64(), offset = nondet_u64(), at;
	struct kvmchan_slot slot = any_slot(size);
	unsigned int side = nondet_bool(), rings = nondet_u32() & 3;
	struct kvmchan_view v = nondet_view();
	bool index, tx, rx, block;

	if (!kvmchan_view_find(&v, &slot, side, rings, offset))
		return;
	at = kvmchan_view_at(&v, offset);
	prove(at < size, "inside the region");
	prove((at ^ offset) % KVMCHAN_PAGE_SIZE == 0,
	      "a page of offsets is a page of the region");
	block = slot.kind == KVMCHAN_KIND_MEMORY;
	if (block) {
		prove(at == slot.data[0] + offset && offset < slot.data_size[0],
		      "memory: the block, from its start, once");
		reached();
		return;
	}
	prove(rings, "a channel: only when it was taken");
	index = within(at, index_page(&slot, side), KVMCHAN_PAGE_SIZE);
	tx = (rings & KVMCHAN_RING_TX) &&
	     within(at, slot.data[side], slot.data_size[side]);
	rx = (rings & KVMCHAN_RING_RX) &&
	     within(at, slot.data[!side], slot.data_size[!side]);
	prove(!v.writable || index || tx, "written is only what is this side's");
	prove(index || tx || rx ||
	      within(at, index_page(&slot, !side), KVMCHAN_PAGE_SIZE),
	      "shown are the index pages and the rings that were taken");
	prove(offset - v.base < v.span && v.base <= offset, "it is of the view");
	prove(v.span == v.size || v.span == 2 * v.size, "once or twice");
	reached();
}

/* What is mapped from @offset on for @length bytes stays in the view. */
void prove_extent(void)
{
	__u64 size = nondet_u64(), offset = nondet_u64(), length = nondet_u64();
	struct kvmchan_slot slot = any_slot(size);
	unsigned int side = nondet_bool(), rings = nondet_u32() & 3;
	struct kvmchan_view v = nondet_view(), w = nondet_view();
	__u64 k = nondet_u64();

	if (!kvmchan_view_find(&v, &slot, side, rings, offset))
		return;
	assume(length <= v.span - (offset - v.base) && k < length);
	prove(kvmchan_view_find(&w, &slot, side, rings, offset + k),
	      "each byte of it is shown");
	prove(w.base == v.base && w.start == v.start && w.size == v.size &&
	      w.span == v.span && w.writable == v.writable, "by the same view");
	reached();
}
