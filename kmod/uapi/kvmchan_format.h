/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: layout of a region of shared memory.
 *
 * The normative text is kmod/FORMAT.md; this header is its C form, compiled
 * by the kernel module, the library, the tests, the fuzzers and the provers.
 *
 * All integers are little-endian and naturally aligned. Reserved fields are
 * zero when written and are not looked at when read. Every word has exactly
 * ONE writer for its whole life (the manager, side 0 or side 1), named beside
 * each structure; nobody ever does a read-modify-write in the region.
 */
#ifndef KVMCHAN_FORMAT_H
#define KVMCHAN_FORMAT_H

#include <linux/const.h>
#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#else
#include <assert.h>
#include <stddef.h>
#endif

#define KVMCHAN_STATIC_ASSERT(cond) static_assert(cond, #cond)

/* "KVMCHAN" and a zero byte, read as a little-endian word. */
#define KVMCHAN_MAGIC		0x004e4148434d564bULL
#define KVMCHAN_VERSION_MAJOR	1	/* incompatible when it differs */
#define KVMCHAN_VERSION_MINOR	0	/* additive */

#define KVMCHAN_PAGE_SIZE	4096u
#define KVMCHAN_LINE_SIZE	128u	/* two cache lines: adjacent-line prefetch */

#define KVMCHAN_NAME_SIZE	64u	/* with the terminating zero */
#define KVMCHAN_MAX_SLOTS	4096u
#define KVMCHAN_MIN_RING	4096ULL
#define KVMCHAN_MAX_RING	_BITULL(30)
/* Superblock, one page of table, one channel of two smallest rings. */
#define KVMCHAN_MIN_REGION	(8ULL * KVMCHAN_PAGE_SIZE)

/* Who may be a side of a slot, beside a plain ivshmem ID (0 to 65535). */
#define KVMCHAN_PEER_MAX	0xffffu
#define KVMCHAN_PEER_HOST	0xfffffffeu	/* a process on the host */
#define KVMCHAN_PEER_ANY	0xffffffffu	/* whoever comes */

/**
 * struct kvmchan_superblock - the first page of a region
 *
 * Writer: the manager. Readers take a snapshot under @generation (a seqlock:
 * odd while the manager changes the superblock or the table) and validate
 * the private copy as a whole before they use any of it.
 *
 * @magic:       KVMCHAN_MAGIC; stored last when a region is formatted
 * @major:       KVMCHAN_VERSION_MAJOR
 * @minor:       KVMCHAN_VERSION_MINOR
 * @size:        bytes of the region that the layout may use; at most the size
 *               of the memory
 * @incarnation: random, new at each format: tells a reformatted region
 * @table_offset: offset of slot 0; page-aligned
 * @slot_count:  slots in the table, at most KVMCHAN_MAX_SLOTS
 * @slot_size:   bytes from slot to slot: sizeof(struct kvmchan_slot)
 * @generation:  table generation; even when the table is at rest
 * @manager:     address at which a running manager can be rung, and whether
 *               it rings vector 0 of the peers when the table changes: a
 *               KVMCHAN_BELL_* word, 0 when no manager runs
 */
struct kvmchan_superblock {
	__le64 magic;
	__le16 major;
	__le16 minor;
	__le32 reserved0;
	__le64 size;
	__u8   incarnation[16];
	__le64 table_offset;
	__le32 slot_count;
	__le32 slot_size;
	__le64 generation;
	__le64 manager;
	__u8   reserved1[4024];
};

KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_superblock) == KVMCHAN_PAGE_SIZE);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, size) == 16);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, incarnation) == 24);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, table_offset) == 40);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, slot_count) == 48);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, generation) == 56);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_superblock, manager) == 64);

enum kvmchan_kind {
	KVMCHAN_KIND_FREE    = 0,	/* an empty slot */
	KVMCHAN_KIND_CHANNEL = 1,	/* two sides, two rings */
	KVMCHAN_KIND_MEMORY  = 2,	/* a named block of plain memory */
};

enum kvmchan_mode {
	KVMCHAN_MODE_STREAM = 0,	/* bytes, no boundaries */
	KVMCHAN_MODE_PACKET = 1,	/* whole records */
};

/**
 * struct kvmchan_slot - one entry of the channel table
 *
 * Writer: the manager. All but @reaped change only under the superblock's
 * generation; @reaped changes at run time and is read live.
 *
 * @name:     [A-Za-z0-9_] then [A-Za-z0-9._:@+-], at most 63 bytes, padded
 *            with zeros; unique in the table
 * @kind:     enum kvmchan_kind
 * @mode:     enum kvmchan_mode; 0 for memory
 * @side:     who takes side 0 and side 1: an ivshmem ID or KVMCHAN_PEER_*
 * @id:       never reused within an incarnation: tells a slot that was freed
 *            and filled again, even under the same name
 * @control:  offset of four control pages: session page and index page of
 *            side 0, session page and index page of side 1
 * @data:     channel: offset of the ring that side i writes;
 *            memory: data[0] is the block's offset, data[1] is 0
 * @data_size: channel: size of the ring that side i writes, a power of two;
 *            memory: data_size[0] is a multiple of the page size
 * @reaped:   newest epoch of side i that the manager declares dead; 0: none;
 *            a new channel's are random, and its sessions begin one past them
 */
struct kvmchan_slot {
	char   name[KVMCHAN_NAME_SIZE];
	__le32 kind;
	__le32 mode;
	__le32 side[2];
	__le64 id;
	__le64 control;
	__le64 data[2];
	__le64 data_size[2];
	__le64 reaped[2];
	__u8   reserved[112];
};

KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_slot) == 256);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, kind) == 64);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, side) == 72);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, id) == 80);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, control) == 88);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, data) == 96);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, data_size) == 112);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_slot, reaped) == 128);

/*
 * The link word: the whole state of one side's session in one 64-bit store,
 * so that its peer always sees a consistent snapshot.
 *
 *   bits  0-29  epoch: number of this side's session; 0: never opened
 *   bits 30-59  acked: the newest peer epoch that this side has paired with;
 *               kept from session to session
 *   bit  60     OPEN: the session runs; clear: it was closed in order
 *   bit  61     PAIRED: this session is the one that paired with acked
 *   bit  62     NO_WRITER: nobody will write here now; end of file for the
 *               peer's reader once it has drained the ring
 *   bit  63     NO_READER: nobody will read here now; the peer's writer gets
 *               EPIPE
 */
#define KVMCHAN_EPOCH_BITS	30
#define KVMCHAN_EPOCH_MASK	(_BITULL(KVMCHAN_EPOCH_BITS) - 1)
#define KVMCHAN_LINK_ACKED_SHIFT 30
#define KVMCHAN_LINK_OPEN	_BITULL(60)
#define KVMCHAN_LINK_PAIRED	_BITULL(61)
#define KVMCHAN_LINK_NO_WRITER	_BITULL(62)
#define KVMCHAN_LINK_NO_READER	_BITULL(63)

/*
 * A bell word: where its owner can be rung, and whether it rings others.
 *
 *   bits  0-15  MSI-X vector
 *   bits 16-31  ivshmem ID
 *   bit  32     RINGABLE: the owner wakes when (ID, vector) is rung
 *   bit  33     RINGS: the owner rings its peers; where it is clear, a peer
 *               has to poll
 */
#define KVMCHAN_BELL_PEER_SHIFT	16
#define KVMCHAN_BELL_RINGABLE	_BITULL(32)
#define KVMCHAN_BELL_RINGS	_BITULL(33)

/**
 * struct kvmchan_session_page - one side's session
 *
 * Writer: that side.
 *
 * @link:     link word, see above
 * @tx_start: the producer index at which this session's bytes begin; stored
 *            before the link word that opens the session
 * @bell:     bell word, see above
 */
struct kvmchan_session_page {
	__le64 link;
	__le64 tx_start;
	__le64 bell;
	__u8   reserved[4072];
};

KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_session_page) == KVMCHAN_PAGE_SIZE);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_session_page, tx_start) == 8);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_session_page, bell) == 16);

/**
 * struct kvmchan_index_page - one side's indices, each on a line of its own
 *
 * Writer: that side. Indices are free-running counts of bytes that are never
 * reset; position in a ring is index & (size - 1). For a memory slot @tx_prod
 * counts the signals that this side has sent and the rest is unused.
 *
 * @tx_prod:  bytes published in the ring that this side writes
 * @rx_cons:  bytes consumed from the ring that the peer writes
 * @rx_event: ring me when your tx_prod moves past this value
 * @tx_event: ring me when your rx_cons moves past this value
 */
struct kvmchan_index_page {
	__le64 tx_prod;
	__u8   reserved0[120];
	__le64 rx_cons;
	__u8   reserved1[120];
	__le64 rx_event;
	__u8   reserved2[120];
	__le64 tx_event;
	__u8   reserved3[120];
	__u8   reserved4[3584];
};

KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_index_page) == KVMCHAN_PAGE_SIZE);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_index_page, rx_cons) == 128);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_index_page, rx_event) == 256);
KVMCHAN_STATIC_ASSERT(offsetof(struct kvmchan_index_page, tx_event) == 384);

/**
 * struct kvmchan_control - the control pages of one slot
 * @side: session page and index page of side 0, then of side 1
 */
struct kvmchan_control {
	struct {
		struct kvmchan_session_page session;
		struct kvmchan_index_page index;
	} side[2];
};

KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_control) == 4 * KVMCHAN_PAGE_SIZE);

/**
 * struct kvmchan_record - the head of a record in packet mode
 *
 * Heads start at multiples of 8 in index space; the payload follows and is
 * padded to a multiple of 8. A record is published whole.
 *
 * @length: bytes of payload, 1 to ring size - 8
 * @flags:  reserved, zero
 */
struct kvmchan_record {
	__le32 length;
	__le32 flags;
};

#define KVMCHAN_RECORD_ALIGN	8u
KVMCHAN_STATIC_ASSERT(sizeof(struct kvmchan_record) == KVMCHAN_RECORD_ALIGN);

#endif /* KVMCHAN_FORMAT_H */
