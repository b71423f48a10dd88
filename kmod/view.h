/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: what a process sees of the region through mmap() of a node.
 *
 * Apart from mmap.c so that it can be proven: whatever the offset, nothing is
 * shown but this slot's block, or this channel's rings and index pages, and
 * nothing can be written but what this side owns. Session pages are never
 * shown.
 */
#ifndef KVMCHAN_VIEW_H
#define KVMCHAN_VIEW_H

#include "table.h"
#include "uapi/kvmchan.h"

/**
 * struct kvmchan_view - a range of mmap() offsets, and what is seen there
 * @base:     first offset
 * @span:     bytes of offsets; what lies past @size shows the same again
 * @start:    offset in the region
 * @size:     bytes in the region
 * @writable: it is this side's to write
 */
struct kvmchan_view {
	__u64 base;
	__u64 span;
	__u64 start;
	__u64 size;
	bool writable;
};

static inline void kvmchan_view_block(struct kvmchan_view *v,
				      const struct kvmchan_slot *slot)
{
	v->base = 0;
	v->start = kvmchan_le64(slot->data[0]);
	v->size = kvmchan_le64(slot->data_size[0]);
	v->span = v->size;
	v->writable = true;
}

static inline void kvmchan_view_index(struct kvmchan_view *v, __u64 base,
				      const struct kvmchan_slot *slot,
				      unsigned int side, bool own)
{
	v->base = base;
	v->start = kvmchan_le64(slot->control) +
		   side * offsetof(struct kvmchan_control, side[1]) +
		   offsetof(struct kvmchan_control, side[0].index);
	v->size = KVMCHAN_PAGE_SIZE;
	v->span = v->size;
	v->writable = own;
}

static inline void kvmchan_view_ring(struct kvmchan_view *v, __u64 base,
				     const struct kvmchan_slot *slot,
				     unsigned int side, bool own)
{
	v->base = base;
	v->start = kvmchan_le64(slot->data[side]);
	v->size = kvmchan_le64(slot->data_size[side]);
	v->span = 2 * v->size;
	v->writable = own;
}

/**
 * kvmchan_view_find() - what does an mmap() offset of a node show?
 * @v:      out
 * @slot:   private, checked copy of the slot
 * @side:   which side the node is
 * @rings:  KVMCHAN_RING_* that the process has taken
 * @offset: bytes
 *
 * Return: whether anything.
 */
static inline bool kvmchan_view_find(struct kvmchan_view *v,
				     const struct kvmchan_slot *slot,
				     unsigned int side, unsigned int rings,
				     __u64 offset)
{
	bool shown = rings;

	if (kvmchan_le32(slot->kind) == KVMCHAN_KIND_MEMORY) {
		kvmchan_view_block(v, slot);
		shown = true;
	} else if (offset < KVMCHAN_MMAP_PEER_INDEX) {
		kvmchan_view_index(v, KVMCHAN_MMAP_OWN_INDEX, slot, side, true);
	} else if (offset < KVMCHAN_MMAP_TX) {
		kvmchan_view_index(v, KVMCHAN_MMAP_PEER_INDEX, slot, !side,
				   false);
	} else if (offset < KVMCHAN_MMAP_RX) {
		kvmchan_view_ring(v, KVMCHAN_MMAP_TX, slot, side, true);
		shown = rings & KVMCHAN_RING_TX;
	} else {
		kvmchan_view_ring(v, KVMCHAN_MMAP_RX, slot, !side, false);
		shown = rings & KVMCHAN_RING_RX;
	}
	return shown && offset - v->base < v->span;
}

/**
 * kvmchan_view_at() - where in the region does an offset of a view lie?
 * @v:      view that kvmchan_view_find() gave for @offset
 * @offset: bytes, of mmap()
 */
static inline __u64 kvmchan_view_at(const struct kvmchan_view *v, __u64 offset)
{
	offset -= v->base;
	return v->start + (offset < v->size ? offset : offset - v->size);
}

#endif /* KVMCHAN_VIEW_H */
