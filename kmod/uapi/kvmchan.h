/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kvmchan: ioctls of /dev/kvmchanN.
 *
 * Integers are in the byte order of the machine. Reserved fields must be zero
 * when passed in (EINVAL otherwise) and are zero when passed out.
 */
#ifndef UAPI_KVMCHAN_H
#define UAPI_KVMCHAN_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* State of a channel's session, seen from this side. */
enum kvmchan_state {
	KVMCHAN_STATE_CLOSED       = 0,	/* nobody has the node open */
	KVMCHAN_STATE_WAITING      = 1,	/* open, no peer yet */
	KVMCHAN_STATE_CONNECTED    = 2,	/* both sides have paired */
	KVMCHAN_STATE_DISCONNECTED = 3,	/* the peer closed, died or restarted */
	KVMCHAN_STATE_BROKEN       = 4,	/* the peer broke the protocol: EPROTO */
};

/**
 * struct kvmchan_info - KVMCHAN_IOC_INFO
 *
 * @name:      the slot's name
 * @kind:      1 channel, 2 memory
 * @mode:      0 stream, 1 packet
 * @side:      which side this node is: 0 or 1
 * @state:     enum kvmchan_state
 * @peer:      ivshmem ID of the peer, or 0xffffffff when it has none
 * @vector:    MSI-X vector that wakes this channel, or 0xffffffff: polling
 * @rx_size:   size of the ring that is read here, or of the memory block
 * @tx_size:   size of the ring that is written here; 0 for memory
 * @max_record: longest record that write() takes, 0 for a stream
 * @rx_ready:  bytes that can be read now (packet mode: with record heads)
 * @tx_space:  bytes that can be written now (packet mode: with the head)
 * @incarnation: the region's random identity
 */
struct kvmchan_info {
	__u8  name[64];
	__u32 kind;
	__u32 mode;
	__u32 side;
	__u32 state;
	__u32 peer;
	__u32 vector;
	__u64 rx_size;
	__u64 tx_size;
	__u64 max_record;
	__u64 rx_ready;
	__u64 tx_space;
	__u8  incarnation[16];
	__u64 reserved[8];
};

/**
 * struct kvmchan_lowat - KVMCHAN_IOC_GET_LOWAT, KVMCHAN_IOC_SET_LOWAT
 *
 * Stream mode only. Both are bounded to 1 ... half the ring's size (ERANGE):
 * a reader that waits for more than the writer waits to be free would leave
 * both asleep.
 *
 * @rx: poll() and a blocking read() wake when so many bytes are there, or at
 *      end of file; default 1
 * @tx: poll() reports room, and a blocked write() wakes, when so many bytes
 *      are free; default half the ring
 */
struct kvmchan_lowat {
	__u64 rx;
	__u64 tx;
};

/**
 * struct kvmchan_wait - KVMCHAN_IOC_WAIT, memory slots
 *
 * Waits until the peer's signal count differs from @count.
 *
 * @count:      in: the count last seen; out: the count now
 * @timeout_ns: in: how long to wait, negative: for ever, 0: not at all
 */
struct kvmchan_wait {
	__u64 count;
	__s64 timeout_ns;
};

/*
 * Zero copy: a process maps the rings of a channel and moves their indices
 * itself, with the functions of ring.h; the driver keeps the session, rings
 * the peer and lets wait. The node must be open for reading and writing.
 *
 * Offsets for mmap(), always shared. All can be read; only what this side
 * owns can be written. A ring's range is twice its size and shows the ring
 * two times in a row, so that what lies across its end is in one piece. The
 * mapping keeps the session open until munmap(); it is not inherited by a
 * fork().
 */
#define KVMCHAN_MMAP_OWN_INDEX	0x0ULL		/* one page, writable */
#define KVMCHAN_MMAP_PEER_INDEX	0x1000ULL	/* one page */
#define KVMCHAN_MMAP_TX		0x100000000ULL	/* 2 * tx_size, writable */
#define KVMCHAN_MMAP_RX		0x200000000ULL	/* 2 * rx_size */

/* Directions, for KVMCHAN_IOC_MAP_RINGS and KVMCHAN_IOC_KICK. */
#define KVMCHAN_RING_RX		0x1u	/* the ring that is read here */
#define KVMCHAN_RING_TX		0x2u	/* the ring that is written here */

/*
 * flags of struct kvmchan_rings. READY: what was wanted is there, or the end,
 * or the indices make no sense: look yourself.
 */
#define KVMCHAN_RINGS_RX_LIVE	0x1u	/* rx_cons counts, and the peer's tx_prod */
#define KVMCHAN_RINGS_RX_END	0x2u	/* what is there is the rest */
#define KVMCHAN_RINGS_RX_READY	0x4u
#define KVMCHAN_RINGS_TX_LIVE	0x8u	/* the peer's rx_cons counts */
#define KVMCHAN_RINGS_TX_END	0x10u	/* nobody will read: EPIPE */
#define KVMCHAN_RINGS_TX_HOLD	0x20u	/* nothing may be written yet */
#define KVMCHAN_RINGS_TX_READY	0x40u

/**
 * struct kvmchan_rings - KVMCHAN_IOC_RINGS
 *
 * How the session of a channel with mapped rings stands, and, if wanted, a
 * wait. Without a mapped direction: EINVAL.
 *
 * @rx_want:    in: ask to be woken when so many bytes can be read; 0: do not
 *              ask. At most the ring's size (ERANGE). One amount for each
 *              direction: poll(), and another thread that waits, go by the
 *              one that was asked for last
 * @tx_want:    in: likewise, of bytes that are free
 * @timeout_ns: in: how long to wait for what was asked; 0: not at all,
 *              negative: for ever. EINTR
 * @flags:      out: KVMCHAN_RINGS_*
 * @reserved:   0
 * @rx_cons:    out: RX_LIVE: where the process began, or begins, to read
 * @tx_prod:    out: where the process began, or begins, to write
 * @tx_cons:    out: how far the peer had read then; before TX_LIVE this counts
 *              and not the peer's rx_cons
 */
struct kvmchan_rings {
	__u64 rx_want;
	__u64 tx_want;
	__s64 timeout_ns;
	__u32 flags;
	__u32 reserved;
	__u64 rx_cons;
	__u64 tx_prod;
	__u64 tx_cons;
};

#define KVMCHAN_IOC_MAGIC	'K'	/* 0xC0-0xCF of 'K' */

/* What this node is and how it stands. Any open file. */
#define KVMCHAN_IOC_INFO	_IOR(KVMCHAN_IOC_MAGIC, 0xc0, struct kvmchan_info)
/*
 * End one or both directions of this session: argument SHUT_RD (0), SHUT_WR
 * (1) or SHUT_RDWR (2) by value. The file must hold that direction (EBADF).
 */
#define KVMCHAN_IOC_SHUTDOWN	_IO(KVMCHAN_IOC_MAGIC, 0xc1)
#define KVMCHAN_IOC_GET_LOWAT	_IOR(KVMCHAN_IOC_MAGIC, 0xc2, struct kvmchan_lowat)
#define KVMCHAN_IOC_SET_LOWAT	_IOW(KVMCHAN_IOC_MAGIC, 0xc3, struct kvmchan_lowat)
/*
 * Packet mode: the whole length of the record that the last read() returned,
 * which is more than read() returned when the record was cut. u32.
 */
#define KVMCHAN_IOC_LAST_RECORD	_IOR(KVMCHAN_IOC_MAGIC, 0xc4, __u32)
/*
 * End this session, whatever its state, and begin a new one on the same file.
 * EBUSY when the other direction is held by another file.
 */
#define KVMCHAN_IOC_RECONNECT	_IO(KVMCHAN_IOC_MAGIC, 0xc5)
/* Bytes that can be written now: the counterpart of FIONREAD. int. */
#define KVMCHAN_IOC_SPACE	_IOR(KVMCHAN_IOC_MAGIC, 0xc6, int)
/* Memory slots: add one to this side's signal count and ring the peer. */
#define KVMCHAN_IOC_SIGNAL	_IO(KVMCHAN_IOC_MAGIC, 0xc7)
/* Memory slots: wait for the peer's signal; ETIMEDOUT, EINTR. */
#define KVMCHAN_IOC_WAIT	_IOWR(KVMCHAN_IOC_MAGIC, 0xc8, struct kvmchan_wait)
/*
 * The rings of KVMCHAN_RING_* (by value) are in this process's hands from now
 * until it is closed: mmap() gives them, and read() or write() of these
 * directions fail with EBUSY. What was read or written before stays so. EACCES
 * unless the file is open for both directions; EINTR.
 */
#define KVMCHAN_IOC_MAP_RINGS	_IO(KVMCHAN_IOC_MAGIC, 0xc9)
#define KVMCHAN_IOC_RINGS	_IOWR(KVMCHAN_IOC_MAGIC, 0xca, struct kvmchan_rings)
/*
 * Ring the peer, because ring.h said so after a commit in the direction(s)
 * KVMCHAN_RING_* (by value). Does not ring when nothing was moved since the
 * last time. EPIPE for TX when nobody will read it.
 */
#define KVMCHAN_IOC_KICK	_IO(KVMCHAN_IOC_MAGIC, 0xcb)

#endif /* UAPI_KVMCHAN_H */
