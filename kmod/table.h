/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: validation of a region's superblock and channel table.
 *
 * The ONE validator, compiled by kernel module, library, tests and provers.
 * It looks only at PRIVATE copies, taken under the superblock's generation;
 * what it lets pass is inside the region, aligned, and overlaps nothing else
 * that it lets pass. Its work is bounded by the table's size.
 */
#ifndef KVMCHAN_TABLE_H
#define KVMCHAN_TABLE_H

#include "ring_platform.h"
#include "uapi/kvmchan_format.h"

#ifdef __KERNEL__
#include <linux/sort.h>
#include <linux/string.h>
#define kvmchan_sort(base, n, size, cmp) sort(base, n, size, cmp, NULL)
#define kvmchan_le16(v) le16_to_cpu(v)
#define kvmchan_le32(v) le32_to_cpu(v)
#define kvmchan_le64(v) le64_to_cpu(v)
#else
#include <stdlib.h>
#include <string.h>
#ifndef kvmchan_sort
#define kvmchan_sort(base, n, size, cmp) qsort(base, n, size, cmp)
#endif
#define kvmchan_le16(v) ((__u16)(v))
#define kvmchan_le32(v) ((__u32)(v))
#define kvmchan_le64(v) ((__u64)(v))
#endif

/* Is [offset, offset + length) page-aligned and inside [page, size)? */
static inline bool kvmchan_range_ok(__u64 offset, __u64 length, __u64 size)
{
	return length && !((offset | length) & (KVMCHAN_PAGE_SIZE - 1)) &&
	       offset >= KVMCHAN_PAGE_SIZE && offset <= size &&
	       length <= size - offset;
}

/* Bytes of the table, rounded up to whole pages. */
static inline __u64 kvmchan_table_bytes(__u32 slots)
{
	__u64 bytes = (__u64)slots * sizeof(struct kvmchan_slot);

	return (bytes + KVMCHAN_PAGE_SIZE - 1) & ~(__u64)(KVMCHAN_PAGE_SIZE - 1);
}

/**
 * kvmchan_superblock_check() - may this superblock be used?
 * @sb:          a private copy
 * @memory_size: bytes of the memory that it lies in
 *
 * Return: NULL, or why not.
 */
static inline const char *
kvmchan_superblock_check(const struct kvmchan_superblock *sb, __u64 memory_size)
{
	__u64 size = kvmchan_le64(sb->size);
	__u32 slots = kvmchan_le32(sb->slot_count);

	if (kvmchan_le64(sb->magic) != KVMCHAN_MAGIC)
		return "not formatted: no kvmchan magic";
	if (kvmchan_le16(sb->major) != KVMCHAN_VERSION_MAJOR)
		return "made by an incompatible major version";
	if (size < KVMCHAN_MIN_REGION || size > memory_size)
		return "size is not within the memory";
	if (!slots || slots > KVMCHAN_MAX_SLOTS)
		return "slot count is not within 1 to 4096";
	if (kvmchan_le32(sb->slot_size) != sizeof(struct kvmchan_slot))
		return "slot size is not 256";
	if (!kvmchan_range_ok(kvmchan_le64(sb->table_offset),
			      kvmchan_table_bytes(slots), size))
		return "table is not page-aligned inside the region";
	return NULL;
}

static inline bool kvmchan_name_char_ok(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_')
		return true;
	return !first && (c == '.' || c == ':' || c == '@' || c == '+' ||
			  c == '-');
}

/* A name: [A-Za-z0-9_][A-Za-z0-9._:@+-]*, at most 63, padded with zeros. */
static inline bool kvmchan_name_ok(const char name[KVMCHAN_NAME_SIZE])
{
	unsigned int i = 0;

	while (i < KVMCHAN_NAME_SIZE && name[i]) {
		if (!kvmchan_name_char_ok(name[i], !i))
			return false;
		i++;
	}
	if (!i || i == KVMCHAN_NAME_SIZE)
		return false;
	while (i < KVMCHAN_NAME_SIZE)
		if (name[i++])
			return false;
	return true;
}

static inline bool kvmchan_ring_size_ok(__u64 size)
{
	return size >= KVMCHAN_MIN_RING && size <= KVMCHAN_MAX_RING &&
	       !(size & (size - 1));
}

static inline bool kvmchan_side_ok(__u32 side)
{
	return side <= KVMCHAN_PEER_MAX || side == KVMCHAN_PEER_HOST ||
	       side == KVMCHAN_PEER_ANY;
}

/**
 * kvmchan_slot_check() - may this slot, taken alone, be used?
 * @slot: a private copy, not free
 * @size: the region's size
 *
 * Return: NULL, or why not.
 */
static inline const char *kvmchan_slot_check(const struct kvmchan_slot *slot,
					     __u64 size)
{
	__u32 kind = kvmchan_le32(slot->kind);
	__u32 side0 = kvmchan_le32(slot->side[0]);
	__u32 side1 = kvmchan_le32(slot->side[1]);
	__u64 bytes0 = kvmchan_le64(slot->data_size[0]);
	__u64 bytes1 = kvmchan_le64(slot->data_size[1]);

	if (kind != KVMCHAN_KIND_CHANNEL && kind != KVMCHAN_KIND_MEMORY)
		return "unknown kind";
	if (!kvmchan_name_ok(slot->name))
		return "bad name";
	if (!kvmchan_side_ok(side0) || !kvmchan_side_ok(side1))
		return "a side is neither an ID nor HOST nor ANY";
	if (side0 == side1 && side0 <= KVMCHAN_PEER_MAX)
		return "both sides are the same peer";
	if (!kvmchan_range_ok(kvmchan_le64(slot->control),
			      sizeof(struct kvmchan_control), size))
		return "control pages are not inside the region";
	if (!kvmchan_range_ok(kvmchan_le64(slot->data[0]), bytes0, size))
		return "data of side 0 is not inside the region";
	if (kind == KVMCHAN_KIND_MEMORY)
		return kvmchan_le64(slot->data[1]) || bytes1 ?
			"memory has a second block" : NULL;
	if (kvmchan_le32(slot->mode) > KVMCHAN_MODE_PACKET)
		return "unknown mode";
	if (!kvmchan_range_ok(kvmchan_le64(slot->data[1]), bytes1, size))
		return "data of side 1 is not inside the region";
	if (!kvmchan_ring_size_ok(bytes0) || !kvmchan_ring_size_ok(bytes1))
		return "ring size is not a power of two of 4 KiB to 1 GiB";
	return NULL;
}

/**
 * struct kvmchan_extent - a range of the region and the slot that claims it
 * @start: offset
 * @end:   offset past it
 * @slot:  slot number
 */
struct kvmchan_extent {
	__u64 start;
	__u64 end;
	__u32 slot;
};

#define KVMCHAN_EXTENTS_PER_SLOT 3u

static inline int kvmchan_extent_compare(const void *a, const void *b)
{
	const struct kvmchan_extent *x = (const struct kvmchan_extent *)a;
	const struct kvmchan_extent *y = (const struct kvmchan_extent *)b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static inline __u32 kvmchan_extent_add(struct kvmchan_extent *e, __u32 n,
				       __u32 slot, __u64 start, __u64 bytes)
{
	if (!bytes)
		return n;
	e[n].start = start;
	e[n].end = start + bytes;
	e[n].slot = slot;
	return n + 1;
}

/* Marks both of every two slots that claim the same bytes or the table. */
static inline void kvmchan_table_mark_overlaps(const struct kvmchan_superblock *sb,
					       struct kvmchan_extent *extents,
					       __u32 n, const char **why)
{
	__u64 table = kvmchan_le64(sb->table_offset);
	__u64 table_end = table +
			  kvmchan_table_bytes(kvmchan_le32(sb->slot_count));
	__u64 reach = 0;
	__u32 owner = 0, i;

	kvmchan_sort(extents, n, sizeof(*extents), kvmchan_extent_compare);
	for (i = 0; i < n; i++) {
		if (extents[i].start < table_end && extents[i].end > table)
			why[extents[i].slot] = "overlaps the table";
		if (extents[i].start < reach) {
			why[extents[i].slot] = "overlaps another slot";
			why[owner] = "overlaps another slot";
		}
		if (extents[i].end > reach) {
			reach = extents[i].end;
			owner = extents[i].slot;
		}
	}
}

/**
 * kvmchan_table_check() - which slots may be used?
 * @sb:      a private copy that kvmchan_superblock_check() let pass
 * @slots:   a private copy of the table
 * @extents: scratch, KVMCHAN_EXTENTS_PER_SLOT entries a slot
 * @why:     out, an entry a slot: NULL for a good or a free one, else why not
 *
 * Names are not compared here: who looks one up takes the first.
 */
static inline void kvmchan_table_check(const struct kvmchan_superblock *sb,
				       const struct kvmchan_slot *slots,
				       struct kvmchan_extent *extents,
				       const char **why)
{
	__u32 count = kvmchan_le32(sb->slot_count), n = 0, i;

	for (i = 0; i < count; i++) {
		const struct kvmchan_slot *slot = &slots[i];

		why[i] = NULL;
		if (kvmchan_le32(slot->kind) == KVMCHAN_KIND_FREE)
			continue;
		why[i] = kvmchan_slot_check(slot, kvmchan_le64(sb->size));
		if (why[i])
			continue;
		n = kvmchan_extent_add(extents, n, i,
				       kvmchan_le64(slot->control),
				       sizeof(struct kvmchan_control));
		n = kvmchan_extent_add(extents, n, i,
				       kvmchan_le64(slot->data[0]),
				       kvmchan_le64(slot->data_size[0]));
		n = kvmchan_extent_add(extents, n, i,
				       kvmchan_le64(slot->data[1]),
				       kvmchan_le64(slot->data_size[1]));
	}
	kvmchan_table_mark_overlaps(sb, extents, n, why);
}

/**
 * kvmchan_slot_side() - which side of a slot falls to us?
 * @slot:   a private copy
 * @id:     our ivshmem ID, or KVMCHAN_PEER_HOST for a process on the host, or
 *          KVMCHAN_PEER_ANY when we do not know it (ivshmem-plain)
 * @prefer: the side to take when both fit
 *
 * Return: 0 or 1, or -1 when the slot is not for us.
 */
static inline int kvmchan_slot_side(const struct kvmchan_slot *slot, __u32 id,
				    unsigned int prefer)
{
	__u32 side0 = kvmchan_le32(slot->side[0]);
	__u32 side1 = kvmchan_le32(slot->side[1]);
	bool fits0 = side0 == KVMCHAN_PEER_ANY || side0 == id;
	bool fits1 = side1 == KVMCHAN_PEER_ANY || side1 == id;

	/* A side that names us comes before one that anyone may take. */
	if (id != KVMCHAN_PEER_ANY && side0 != side1) {
		if (side0 == id)
			return 0;
		if (side1 == id)
			return 1;
	}
	if (fits0 && fits1)
		return prefer & 1;
	return fits0 ? 0 : fits1 ? 1 : -1;
}

#endif /* KVMCHAN_TABLE_H */
