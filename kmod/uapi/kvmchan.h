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

#endif /* UAPI_KVMCHAN_H */
