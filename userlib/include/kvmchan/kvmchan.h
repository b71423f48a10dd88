/* SPDX-License-Identifier: MIT */
/*
 * kvmchan: channels between virtual machines and their host.
 *
 * The C interface of libkvmchan. An object is opaque and is made and freed by
 * functions of its own. Functions return 0 or a count, or a negated errno
 * value; kvmchan_error_text() has a sentence about the last failure of a
 * function that opens, attaches or creates something. Sizes are in bytes,
 * times in nanoseconds. Structures that begin with `struct_size` are filled in
 * with their sizeof before a call, so that they can grow.
 *
 * Threads: one thread may read from a channel while another one writes to it.
 * Everything else on one object is for one thread at a time, unless its comment
 * says more. No object may be used in the child of a fork().
 */
#ifndef KVMCHAN_KVMCHAN_H
#define KVMCHAN_KVMCHAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "uapi/kvmchan.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVMCHAN_API __attribute__((visibility("default")))

/** The version of the library, "1.2.3". */
KVMCHAN_API const char *kvmchan_version(void);

/**
 * A sentence about the last failure in this thread: what, where, and what to do
 * about it. Valid until the next call in this thread. Never NULL.
 */
KVMCHAN_API const char *kvmchan_error_text(void);

/* ---- regions (on the host) ---- */

/** One shared memory with its table of channels. */
struct kvmchan_region;

/**
 * Turn the truncation of memory that is not sealed into -ENODEV. Without it
 * such a truncation, which anybody who may open the file can do, ends the
 * process with SIGBUS. Installs a SIGBUS handler, which passes on what is not
 * its own. Bytes that are read just then may be zeros. Memory that a kvmchan
 * server made is sealed and needs none.
 */
#define KVMCHAN_REGION_GUARD (1u << 0)

struct kvmchan_region_options {
	size_t struct_size;
	unsigned int flags;	/**< KVMCHAN_REGION_* */
	unsigned int reserved;	/**< 0 */
	int64_t timeout_ns;	/**< for a server's answer; 0: five seconds */
};

/**
 * Attaches to the region of an ivshmem server (ours or QEMU's) by its socket.
 * Only so are there doorbells, and only so does a peer's death end a session.
 * Keeps a thread that takes what the server tells. Waits for the server's first
 * answer at most for the time-out. @p options may be NULL.
 */
KVMCHAN_API int kvmchan_region_attach(const char *socket, const struct kvmchan_region_options *options,
				      struct kvmchan_region **out);

/**
 * Opens a region by the name of a POSIX shared memory object or by a path. No
 * doorbells: both ends poll (50 us to 5 ms).
 */
KVMCHAN_API int kvmchan_region_open(const char *name_or_path, const struct kvmchan_region_options *options,
				    struct kvmchan_region **out);

/** The same for a descriptor, which stays the caller's. */
KVMCHAN_API int kvmchan_region_adopt(int fd, const struct kvmchan_region_options *options,
				     struct kvmchan_region **out);

/** Lets go. Channels that were opened through it live on. NULL is allowed. */
KVMCHAN_API void kvmchan_region_close(struct kvmchan_region *region);

struct kvmchan_region_info {
	size_t struct_size;
	uint64_t size;
	uint64_t generation;	/**< moves whenever the table changes */
	uint32_t slot_count;
	uint32_t peer;		/**< our ivshmem ID, or 0xffffffff */
	uint32_t vectors;	/**< our vectors, 0 without a server */
	uint32_t sealed;	/**< 1: nobody can truncate it */
	uint32_t managed;	/**< 1: a server rings when the table changes */
	uint32_t server_alive;	/**< 1: its socket is connected */
	uint8_t incarnation[16];
};

KVMCHAN_API int kvmchan_region_describe(struct kvmchan_region *region, struct kvmchan_region_info *out);

/** IDs of the ivshmem peers that the server has told us of; returns how many there are. */
KVMCHAN_API ssize_t kvmchan_region_peers(struct kvmchan_region *region, uint16_t *ids, size_t max);

/** Rings vector @p vector of peer @p peer. -ENOTCONN without a server. */
KVMCHAN_API int kvmchan_region_ring(struct kvmchan_region *region, uint16_t peer, uint16_t vector);

struct kvmchan_slot_info {
	size_t struct_size;
	char name[64];
	uint32_t kind;		/**< 1 channel, 2 memory; 0: free */
	uint32_t mode;		/**< 0 stream, 1 packet */
	uint32_t side[2];	/**< who may be side 0 and 1: an ID, ~1 host, ~0 anyone */
	uint64_t id;
	uint64_t control;	/**< offset of the control pages */
	uint64_t offset[2];	/**< of the ring that each side writes; memory: [0] */
	uint64_t size[2];
	uint32_t open[2];	/**< 1: the side's session is open and not declared dead */
	uint32_t connected;	/**< 1: both sides have paired */
	uint32_t reserved;
	uint64_t epoch[2];	/**< number of each side's session */
	uint64_t written[2];	/**< bytes published by each side, since ever */
	uint64_t consumed[2];	/**< bytes read by each side, since ever */
	char problem[64];	/**< why the slot cannot be used, or "" */
};

/**
 * Looks at a slot of the table as it is now. 1: there is something in it; 0: it
 * is free; -ERANGE past the last one.
 */
KVMCHAN_API int kvmchan_region_slot(struct kvmchan_region *region, uint32_t index, struct kvmchan_slot_info *out);

/* ---- making a region without a server ---- */

#define KVMCHAN_SIDE_HOST 0xfffffffeu	/* a process on the host */
#define KVMCHAN_SIDE_ANY 0xffffffffu	/* whoever comes */

struct kvmchan_slot_options {
	size_t struct_size;
	const char *name;	/**< [A-Za-z0-9_][A-Za-z0-9._:@+-]*, at most 63 */
	uint32_t kind;		/**< 1 channel, 2 memory */
	uint32_t mode;		/**< 0 stream, 1 packet */
	uint32_t side[2];	/**< an ivshmem ID or KVMCHAN_SIDE_* */
	uint64_t size[2];	/**< rings: powers of two, 4 KiB to 1 GiB; memory: whole pages */
};

struct kvmchan_create_options {
	size_t struct_size;
	uint64_t size;		/**< of the region: a power of two */
	uint32_t slots;		/**< room in the table; 0: by size */
	uint32_t replace;	/**< 1: format again what is formatted already */
	const struct kvmchan_slot_options *slot;
	size_t slot_count;
};

/**
 * Makes and formats a region in a POSIX shared memory object or a file, for
 * QEMU's ivshmem-plain or for processes on one host. -EEXIST when it is
 * formatted already and not to be replaced; -EBUSY when a server manages it.
 */
KVMCHAN_API int kvmchan_region_create(const char *name_or_path, const struct kvmchan_create_options *options);

/** The same in memory that the caller has, for instance a sealed memfd. */
KVMCHAN_API int kvmchan_region_format(int fd, const struct kvmchan_create_options *options);

/* ---- channels ---- */

/** One end of a channel. */
struct kvmchan_channel;

#define KVMCHAN_NONBLOCK (1u << 0)	/* -EAGAIN instead of waiting */
#define KVMCHAN_READ_ONLY (1u << 1)
#define KVMCHAN_WRITE_ONLY (1u << 2)
/* Host: take the side that `side` says, and none but that. */
#define KVMCHAN_SIDE (1u << 3)
/*
 * Guest: what KVMCHAN_REGION_GUARD, which goes for channels on the host, is for
 * regions: -ENODEV and not SIGBUS when the device is unplugged, or the channel
 * removed, under a ring that is mapped here.
 */
#define KVMCHAN_GUARD (1u << 4)

struct kvmchan_channel_options {
	size_t struct_size;
	unsigned int flags;	/**< KVMCHAN_NONBLOCK ... */
	unsigned int side;	/**< with KVMCHAN_SIDE: 0 or 1 */
	struct kvmchan_lowat lowat; /**< 0: the defaults; streams only */
	/**
	 * How long a call that waits, and found nothing or no room, looks
	 * again before it sleeps, as long as that mostly brings something. A
	 * read that must not wait does so only at the one end of the process
	 * that has a handle: elsewhere other ends may be ready meanwhile.
	 * 0: 100 us; negative: never. In a guest it is for rings that are mapped
	 * (see below); else the module's busy_poll_us says so.
	 */
	int64_t busy_poll_ns;
};

/**
 * In a guest: opens a device node, by its path or by its name below
 * /dev/kvmchan/by-name. -EBUSY when somebody has that direction open.
 */
KVMCHAN_API int kvmchan_channel_open(const char *device, const struct kvmchan_channel_options *options,
				     struct kvmchan_channel **out);

/**
 * On the host: takes a side of a channel and begins a session. Does not wait for
 * the peer: what is written meanwhile waits for it in the ring. -ENOENT, -EBUSY,
 * -EACCES. The region's object is not needed afterwards.
 */
KVMCHAN_API int kvmchan_channel_connect(struct kvmchan_region *region, const char *name,
					const struct kvmchan_channel_options *options,
					struct kvmchan_channel **out);

/** Ends the session and frees the end. No call on it may be under way. NULL is allowed. */
KVMCHAN_API void kvmchan_channel_close(struct kvmchan_channel *channel);

/**
 * Reads what there is, or waits for the first of it; a packet channel gives one
 * record and drops what does not fit. 0: no more will come, the peer closed,
 * died, or shut its writing down. A signal does not end the wait.
 *
 * -EAGAIN when there is nothing and the end is non-blocking; -EPROTO when the
 * peer broke the protocol; -ENODEV when the channel is gone.
 */
KVMCHAN_API ssize_t kvmchan_channel_read(struct kvmchan_channel *channel, void *to, size_t size);

/**
 * Writes as much as there is room for, or waits for room; a packet channel
 * takes it as one record, whole. -EPIPE when nobody will read it, -EMSGSIZE when
 * the record is longer than max_record of kvmchan_channel_info().
 */
KVMCHAN_API ssize_t kvmchan_channel_write(struct kvmchan_channel *channel, const void *from, size_t size);

/** Stream: writes all of it, waiting whether blocking or not. Or an error; then some may have been written. */
KVMCHAN_API int kvmchan_channel_write_all(struct kvmchan_channel *channel, const void *from, size_t size);

/** Packet mode: one record, whole, not empty. 0 or an error. -ENOTSUP on a stream. */
KVMCHAN_API int kvmchan_channel_send(struct kvmchan_channel *channel, const void *record, size_t size);

/**
 * Packet mode: takes one record. 1: @p length is its whole length, of which the
 * first @p size bytes at most are in @p to; the rest is dropped. 0: no more will
 * come.
 */
KVMCHAN_API int kvmchan_channel_recv(struct kvmchan_channel *channel, void *to, size_t size, size_t *length);

/* ---- many records at once (packet mode) ---- */

/**
 * Sends the first of @p count records, as many as there is room for, and tells
 * the peer once. Waits for the room for one. Returns how many were sent, at
 * least 1; a record that send() would refuse ends the call before it, and is
 * refused (-EINVAL, -EMSGSIZE) when it is the first.
 */
KVMCHAN_API ssize_t kvmchan_channel_send_many(struct kvmchan_channel *channel, const struct iovec *records,
					      size_t count);

/**
 * Takes the records that are there, at most @p count, one into each buffer, and
 * tells the peer once. Waits for one. Returns how many; their iov_len is their
 * length then, the others' stays. 0: no more will come. Nothing is cut: a record
 * that is longer than its buffer ends the call before it, and is -EMSGSIZE when
 * it is the first; it stays for recv() or peek().
 */
KVMCHAN_API ssize_t kvmchan_channel_recv_many(struct kvmchan_channel *channel, struct iovec *records, size_t count);

/* ---- without copying ---- */

/*
 * The ring itself, mapped two times in a row, so that no window is in two
 * pieces. The first call of a direction maps it: -ENOMEM, -ENOTSUP (memory of
 * huge pages), -ENOSPC (with KVMCHAN_REGION_GUARD: too many mappings are
 * guarded; likewise KVMCHAN_GUARD) are about that, and the channel goes on as
 * before. In a guest the end must be open for both directions (-EACCES), and
 * from then on the node itself gives -EBUSY in this direction to whoever reads
 * or writes it without the library. Touching the ring after the device was
 * unplugged is SIGBUS; with KVMCHAN_GUARD it shows zeros, and -ENODEV comes from
 * the next call.
 *
 * Other calls of the same direction may come between; those that read or write
 * end the window (commit and consume say -EINVAL then). A window is valid until
 * all of it is committed or consumed, the next reserve or peek, reconnect or
 * close.
 *
 * The session is only looked at when a ring looks empty or full, when the peer
 * has to be rung, and, on the host, when the peer changes its own; so a writer
 * may hear of its peer's end as late as that, and what it committed meanwhile is
 * lost, as what write() wrote just before is.
 */

/**
 * Gives a window of @p size bytes on room in the ring, at least @p least (0
 * counts as 1) and all that this end knows of; asked again before a commit, it
 * looks for more. Waits for so much unless non-blocking. Packet mode: room for
 * the payload of one record.
 *
 * -EAGAIN, -EPIPE, -EPROTO, -ENODEV as write. -ERANGE on a stream when @p least
 * is more than the ring, or more than half of it and not there: a reader may
 * wait likewise, and then both would for ever. -EMSGSIZE above max_record.
 */
KVMCHAN_API int kvmchan_channel_reserve(struct kvmchan_channel *channel, size_t least, void **data, size_t *size);

/**
 * Sends the first @p size bytes of the window; packet mode: as one record. The
 * rest of a stream's window stays. 0: gives the window back. -EINVAL when it was
 * not so long.
 */
KVMCHAN_API int kvmchan_channel_commit(struct kvmchan_channel *channel, size_t size);

/**
 * 1: a window of @p size bytes on what has come, at least @p least (0 counts as
 * 1; less only at the end) and all that this end knows of; peeked at again before
 * anything is consumed, it looks for more. Packet mode: the payload of exactly
 * one record, whatever @p least. 0: no more will come. -EAGAIN, -EPROTO,
 * -ENODEV as read; -ERANGE as reserve.
 *
 * The peer can change these bytes at any time: who checks them copies them
 * first, and checks and uses the copy.
 */
KVMCHAN_API int kvmchan_channel_peek(struct kvmchan_channel *channel, size_t least, const void **data, size_t *size);

/**
 * Gives the first @p size bytes of the window back to the peer; what is left
 * stays. Packet mode: the record, whatever @p size. -EINVAL beyond the window.
 */
KVMCHAN_API int kvmchan_channel_consume(struct kvmchan_channel *channel, size_t size);

/* ---- waiting ---- */

#define KVMCHAN_EVENT_READABLE 1u	/* a read (or the peek that found too little) would not wait */
#define KVMCHAN_EVENT_WRITABLE 2u	/* a write (or the reserve that found too little) would not wait */
#define KVMCHAN_EVENT_HANGUP 4u		/* the peer is gone; always waited for */

/**
 * Waits for one of @p events, however the end is set. Returns those that are
 * there; 0 after @p timeout_ns (negative: none). Of two threads each may wait
 * for its own direction.
 */
KVMCHAN_API int kvmchan_channel_wait(struct kvmchan_channel *channel, unsigned int events, int64_t timeout_ns);

/**
 * A descriptor for poll, epoll, Asio: readable when there may be something to
 * do in either direction. It is the channel's; it is only for waiting.
 *
 * The contract: make the end non-blocking; call read and write (or peek and
 * reserve) until each that you want says -EAGAIN; wait until the descriptor is readable; again. It is
 * readable at first, and now and then without cause. It works level-triggered
 * and edge-triggered, for one event loop, the same on both ends.
 */
KVMCHAN_API int kvmchan_channel_handle(struct kvmchan_channel *channel);

/** In a guest: the device node itself, with poll's usual meaning. Host: -ENODEV. */
KVMCHAN_API int kvmchan_channel_device_handle(struct kvmchan_channel *channel);

KVMCHAN_API int kvmchan_channel_set_nonblocking(struct kvmchan_channel *channel, int on);
KVMCHAN_API int kvmchan_channel_is_nonblocking(struct kvmchan_channel *channel);

/** What the end is and how it stands. Any thread. */
KVMCHAN_API int kvmchan_channel_info(struct kvmchan_channel *channel, struct kvmchan_info *out);

/** How the session stands: KVMCHAN_STATE_*. Any thread. */
KVMCHAN_API int kvmchan_channel_state(struct kvmchan_channel *channel);

/** Bytes that can be read, or written, now; packet mode: with record heads. */
KVMCHAN_API ssize_t kvmchan_channel_data_ready(struct kvmchan_channel *channel);
KVMCHAN_API ssize_t kvmchan_channel_buffer_space(struct kvmchan_channel *channel);

/**
 * Ends reading (SHUT_RD), writing (SHUT_WR) or both, for this session. What was
 * written can still be read by the peer. A thread that waits here is woken. Any
 * thread.
 */
KVMCHAN_API int kvmchan_channel_shutdown(struct kvmchan_channel *channel, int how);

/**
 * Ends this session, whatever its state, and begins a new one. Unread data is
 * lost. No other call may be under way.
 */
KVMCHAN_API int kvmchan_channel_reconnect(struct kvmchan_channel *channel);

/** Low-water marks, see struct kvmchan_lowat. -ERANGE, -ENOTSUP for packets. */
KVMCHAN_API int kvmchan_channel_lowat(struct kvmchan_channel *channel, struct kvmchan_lowat *out);
KVMCHAN_API int kvmchan_channel_set_lowat(struct kvmchan_channel *channel, const struct kvmchan_lowat *marks);

/**
 * What was counted: on the host since the end was opened, in a guest since the
 * device came. Of rings that a guest has mapped, bytes are with record heads.
 */
struct kvmchan_counters {
	size_t struct_size;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t rx_records;
	uint64_t tx_records;
	uint64_t doorbells_sent;
	uint64_t doorbells_suppressed;	/**< the peer was awake */
	uint64_t interrupts;		/**< wake-ups that came */
	uint64_t empty_interrupts;	/**< and found nothing */
	uint64_t ring_full;		/**< writes that found no room */
	uint64_t protocol_errors;
};

KVMCHAN_API int kvmchan_channel_counters(struct kvmchan_channel *channel, struct kvmchan_counters *out);

/* ---- memory blocks ---- */

/**
 * A named block of shared memory, mapped for reading and writing. The peer can
 * change any of it at any time: copy, and then look at the copy. What the bytes
 * mean is the users' affair; a signal says that something is new.
 *
 * Any number of processes may map a block. On the host the first of them speaks
 * for its side: it signals, and is rung; the others poll when they wait.
 */
struct kvmchan_memory;

/** In a guest: by the path of a device node, or its name below /dev/kvmchan/by-name. */
KVMCHAN_API int kvmchan_memory_open(const char *device, struct kvmchan_memory **out);
/** On the host. */
KVMCHAN_API int kvmchan_memory_connect(struct kvmchan_region *region, const char *name, struct kvmchan_memory **out);
/** Unmaps. NULL is allowed. */
KVMCHAN_API void kvmchan_memory_close(struct kvmchan_memory *memory);

KVMCHAN_API void *kvmchan_memory_address(struct kvmchan_memory *memory);
KVMCHAN_API size_t kvmchan_memory_size(struct kvmchan_memory *memory);

/**
 * Adds one to this side's signal count and rings the peer. What was stored
 * before is seen by who sees the count. -EBUSY when another process speaks for
 * this side; -ENODEV. Any thread.
 */
KVMCHAN_API int kvmchan_memory_signal(struct kvmchan_memory *memory);

/** The peer's signal count now. Any thread. */
KVMCHAN_API int kvmchan_memory_count(struct kvmchan_memory *memory, uint64_t *count);

/**
 * Waits until the peer's signal count is not @p count, and puts it there. So no
 * signal is missed between two calls. -ETIMEDOUT after @p timeout_ns (negative:
 * none). One thread at a time.
 */
KVMCHAN_API int kvmchan_memory_wait(struct kvmchan_memory *memory, uint64_t *count, int64_t timeout_ns);

/* ---- ivshmem devices (in a guest) ---- */

struct kvmchan_device_info {
	size_t struct_size;
	char address[32];	/**< on the PCI bus: "0000:00:04.0" */
	char driver[32];	/**< the driver that has it, or "" */
	uint64_t memory_size;	/**< of BAR2 */
	uint32_t doorbell;	/**< 1: ivshmem-doorbell, 0: ivshmem-plain */
	uint32_t reserved;
};

/** Lists ivshmem devices; returns how many there are, of which the first @p max are in @p list. */
KVMCHAN_API ssize_t kvmchan_devices(struct kvmchan_device_info *list, size_t max);

struct kvmchan_node_info {
	size_t struct_size;
	char node[32];		/**< "kvmchan0", in /dev */
	char name[64];
	char device[32];	/**< the address of its PCI device */
	uint32_t kind;		/**< 1 channel, 2 memory */
	uint32_t mode;		/**< 0 stream, 1 packet */
	uint32_t side;
	uint32_t state;		/**< KVMCHAN_STATE_* */
	uint64_t rx_size;
	uint64_t tx_size;
	char peer[16];		/**< "ID:VECTOR", or "none" */
	struct kvmchan_counters counters;
};

/** Lists the module's nodes; returns how many there are, of which the first @p max are in @p list. */
KVMCHAN_API ssize_t kvmchan_nodes(struct kvmchan_node_info *list, size_t max);

/** An ivshmem device without a driver, through sysfs; for the superuser. */
struct kvmchan_device;

/** -EBUSY when a driver has it. */
KVMCHAN_API int kvmchan_device_open(const char *address, struct kvmchan_device **out);
KVMCHAN_API void kvmchan_device_close(struct kvmchan_device *device);
/** All of its shared memory. */
KVMCHAN_API void *kvmchan_device_address(struct kvmchan_device *device);
KVMCHAN_API size_t kvmchan_device_size(struct kvmchan_device *device);
/** Our ivshmem ID; 0 also for ivshmem-plain. */
KVMCHAN_API int kvmchan_device_id(struct kvmchan_device *device);
/** Rings a peer, if it is there. -ENOTSUP for ivshmem-plain. */
KVMCHAN_API int kvmchan_device_ring(struct kvmchan_device *device, uint16_t peer, uint8_t vector);

#ifdef __cplusplus
}
#endif

#endif
