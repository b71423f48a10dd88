// SPDX-License-Identifier: MIT
// Superblock, table and slots: any bytes at all, in memory of any size.
#include "harness.h"

/*
 * Sorting is the platform's (the kernel's sort(), libc's qsort()). Here the
 * entries are assumed to be in order; that the comparison is one to sort by is
 * prove_order().
 */
#define kvmchan_sort(base, n, size, compare) proof_sort(base, n, compare)

struct kvmchan_extent;
typedef int compare_function(const void *, const void *);
static void proof_sort(struct kvmchan_extent *extents, __u32 n,
		       compare_function *compare);

#include "table.h"

#define EXTENTS 4

struct kvmchan_extent nondet_extent(void);
struct kvmchan_slot nondet_slot(void);
struct kvmchan_superblock nondet_superblock(void);

void prove_order(void)
{
	struct kvmchan_extent a = nondet_extent(), b = nondet_extent();
	struct kvmchan_extent c = nondet_extent();
	int ab = kvmchan_extent_compare(&a, &b), bc = kvmchan_extent_compare(&b, &c);

	prove(kvmchan_extent_compare(&a, &a) == 0, "equal to itself");
	prove((ab < 0) == (kvmchan_extent_compare(&b, &a) > 0), "of two, one is first");
	prove(ab > 0 || bc > 0 || kvmchan_extent_compare(&a, &c) <= 0, "transitive");
	prove(ab > 0 || a.start <= b.start, "by where they start");
	reached();
}

/* In numbers that cannot wrap. */
typedef unsigned __int128 wide;

static bool inside(__u64 offset, __u64 length, __u64 size)
{
	return offset % KVMCHAN_PAGE_SIZE == 0 && length % KVMCHAN_PAGE_SIZE == 0 &&
	       length > 0 && offset >= KVMCHAN_PAGE_SIZE &&
	       (wide)offset + length <= size;
}

void prove_range(void)
{
	__u64 offset = nondet_u64(), length = nondet_u64(), size = nondet_u64();

	prove(kvmchan_range_ok(offset, length, size) == inside(offset, length, size),
	      "just what is inside, aligned, and not in the first page");
	reached();
}

void prove_superblock(void)
{
	struct kvmchan_superblock sb = nondet_superblock();
	__u64 memory = nondet_u64(), bytes;
	bool good;

	bytes = ((__u64)sb.slot_count * 256 + 4095) / 4096 * 4096;
	good = sb.magic == KVMCHAN_MAGIC && sb.major == 1 && sb.size >= 32768 &&
	       sb.size <= memory && sb.slot_count >= 1 && sb.slot_count <= 4096 &&
	       sb.slot_size == 256 && inside(sb.table_offset, bytes, sb.size);
	prove((kvmchan_superblock_check(&sb, memory) == NULL) == good,
	      "just what FORMAT.md says is let pass");
	if (good)
		prove((wide)sb.table_offset + (wide)sb.slot_count * 256 <= memory,
		      "every slot is inside the memory");
	reached();
}

static bool letter_ok(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':' ||
	       c == '@' || c == '+' || c == '-';
}

static bool first_letter_ok(char c)
{
	return letter_ok(c) && c != '.' && c != ':' && c != '@' && c != '+' &&
	       c != '-';
}

/* A name that passes ends inside its field, and can be printed and made a path. */
void prove_name(void)
{
	struct kvmchan_slot slot = nondet_slot();
	__u32 end = nondet_u32(), i = nondet_u32();

	assume(i < KVMCHAN_NAME_SIZE && end < KVMCHAN_NAME_SIZE);
	if (kvmchan_name_ok(slot.name)) {
		prove(first_letter_ok(slot.name[0]), "the first letter");
		prove(slot.name[KVMCHAN_NAME_SIZE - 1] == 0, "it ends");
		prove(letter_ok(slot.name[i]) || slot.name[i] == 0, "every letter");
		prove(i == 0 || slot.name[i] == 0 || slot.name[i - 1] != 0,
		      "nothing behind the end");
	} else {
		/* Why not: for the least i of each kind, so any i is fair. */
		assume(first_letter_ok(slot.name[0]) && slot.name[63] == 0);
		for (i = 1; i < KVMCHAN_NAME_SIZE; i++)
			assume(slot.name[i] == 0 ||
			       (letter_ok(slot.name[i]) && slot.name[i - 1] != 0));
		prove(false, "a good name is not refused");
	}
	reached();
}

static bool side_ok(__u32 side)
{
	return side <= 65535 || side >= 0xfffffffe;
}

static bool ring_ok(__u64 offset, __u64 length, __u64 size)
{
	unsigned int bits = 12;

	while (bits < 30 && length != 1ULL << bits)
		bits++;
	return length == 1ULL << bits && inside(offset, length, size);
}

static bool slot_ok(const struct kvmchan_slot *slot, __u64 size)
{
	if (slot->kind != 1 && slot->kind != 2)
		return false;
	if (!side_ok(slot->side[0]) || !side_ok(slot->side[1]) ||
	    (slot->side[0] == slot->side[1] && slot->side[0] <= 65535))
		return false;
	if (!kvmchan_name_ok(slot->name) || !inside(slot->control, 16384, size))
		return false;
	if (slot->kind == 2)
		return inside(slot->data[0], slot->data_size[0], size) &&
		       slot->data[1] == 0 && slot->data_size[1] == 0;
	return slot->mode <= 1 &&
	       ring_ok(slot->data[0], slot->data_size[0], size) &&
	       ring_ok(slot->data[1], slot->data_size[1], size);
}

void prove_slot(void)
{
	struct kvmchan_slot slot = nondet_slot();
	__u64 size = nondet_u64();

	prove((kvmchan_slot_check(&slot, size) == NULL) == slot_ok(&slot, size),
	      "just what FORMAT.md says is let pass");
	reached();
}

/* ---- the table as a whole ---- */

static void proof_sort(struct kvmchan_extent *extents, __u32 n,
		       compare_function *compare)
{
	for (__u32 i = 1; i < n; i++)
		assume(compare(&extents[i - 1], &extents[i]) <= 0);
}

static bool apart(const struct kvmchan_extent *a, const struct kvmchan_extent *b)
{
	return a->end <= b->start || b->end <= a->start;
}

/* Every sorted list of ranges: of two slots that share a byte both are out. */
void prove_overlaps(void)
{
	struct kvmchan_extent extents[EXTENTS], table;
	struct kvmchan_superblock sb = nondet_superblock();
	const char *why[EXTENTS] = { NULL };
	__u32 i = nondet_u32(), j = nondet_u32();
	bool collides = false;

	assume(i < EXTENTS && j < EXTENTS && i != j);
	assume(!kvmchan_superblock_check(&sb, nondet_u64()));
	table.start = sb.table_offset;
	table.end = table.start + kvmchan_table_bytes(sb.slot_count);
	for (__u32 k = 0; k < EXTENTS; k++) {
		extents[k] = nondet_extent();
		assume(extents[k].start < extents[k].end && extents[k].slot < EXTENTS);
	}
	kvmchan_table_mark_overlaps(&sb, extents, EXTENTS, why);
	if (!why[extents[i].slot]) {
		prove(apart(&extents[i], &table), "not in the table");
		prove(apart(&extents[i], &extents[j]), "in no other, good or bad");
		return;
	}
	for (__u32 k = 0; k < EXTENTS; k++)
		for (__u32 l = 0; l < EXTENTS; l++)
			collides |= extents[k].slot == extents[i].slot &&
				    (!apart(&extents[k], &table) ||
				     (k != l && !apart(&extents[k], &extents[l])));
	prove(collides, "and who collides with nothing is not refused");
	reached();
}

void prove_slot_side(void)
{
	struct kvmchan_slot slot = nondet_slot();
	__u32 id = nondet_u32(), prefer = nondet_u32();
	int side = kvmchan_slot_side(&slot, id, prefer);
	__u32 any = KVMCHAN_PEER_ANY;

	prove(side >= -1 && side <= 1, "a side or none");
	if (side >= 0)
		prove(slot.side[side] == id || slot.side[side] == any,
		      "only a side that is for us");
	else
		prove(slot.side[0] != id && slot.side[1] != id &&
		      slot.side[0] != any && slot.side[1] != any,
		      "and every one that is");
	reached();
}
