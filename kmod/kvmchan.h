/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmchan: the driver's structures, and its functions in the order in which
 * things happen: a device is probed, its memory mapped, its interrupts set
 * up, its table read, channels made; a channel is opened, moves bytes, waits,
 * is closed; all of it goes away.
 */
#ifndef KVMCHAN_H
#define KVMCHAN_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "compat.h"
#include "session.h"
#include "spin.h"
#include "table.h"
#include "uapi/kvmchan.h"

#define KVMCHAN_DRIVER		"kvmchan"
#define KVMCHAN_MAX_MINORS	8192
#define KVMCHAN_MAX_VECTORS	64

struct kvmchan_device;

/**
 * struct kvmchan_memory - the region as the kernel sees it
 * @start: physical address of BAR2
 * @size:  bytes
 * @base:  kernel mapping, write-back
 * @pgmap: struct pages for the BAR, where it is large enough to have them
 * @pages: whether @pgmap is in use
 * @unmap: undoes @base
 * @type:  how @base is mapped, for sysfs
 */
struct kvmchan_memory {
	resource_size_t start;
	resource_size_t size;
	void *base;
	struct dev_pagemap pgmap;
	bool pages;
	void (*unmap)(const void *base);
	const char *type;
};

/**
 * struct kvmchan_vector - one MSI-X vector and the channels that it wakes
 * @kd:        device
 * @index:     vector number; 0 also means "the table changed"
 * @irq:       Linux's number of it
 * @name:      as in /proc/interrupts
 * @channels:  list of struct kvmchan_channel, RCU; changed by the table work
 * @empty:     interrupts in a row that found no work
 * @backoff:   for how long the vector is masked next, in jiffies
 * @masked:    it is masked because a peer floods it; channels are polled
 * @unmask:    ends that
 */
struct kvmchan_vector {
	struct kvmchan_device *kd;
	unsigned int index;
	unsigned int irq;
	char name[32];
	struct list_head channels;
	unsigned int empty;
	unsigned long backoff;
	bool masked;
	struct delayed_work unmask;
};

/**
 * struct kvmchan_device - one ivshmem device
 * @kref:         held by the probed device and by each channel
 * @pdev:         PCI device; valid until @gone
 * @regs:         BAR0
 * @memory:       BAR2
 * @srcu:         read-held by whoever touches @regs, @memory or a channel's
 *                rings; removal sets @gone and then waits for it
 * @gone:         the device is being removed
 * @doorbell:     ivshmem-doorbell, not ivshmem-plain
 * @id:           IVPosition; KVMCHAN_PEER_ANY while unknown
 * @vector_count: MSI-X vectors in use; 0: everything is polled
 * @vectors:      them
 * @channels:     slot number -> struct kvmchan_channel; changed by @table_work
 * @table_work:   reads the table; its own serialization
 * @table_force:  read it even when its generation has not changed
 * @table_stopped: do not start @table_work
 * @prefer_side:  which side to take of a slot that has two for anyone
 * @generation:   table generation that @channels reflects
 * @table_offset: where that table lies, checked
 * @incarnation:  of the region that @channels reflects
 * @formatted:    a valid superblock was seen
 * @poll_timer:   looks at channels that no interrupt tells of
 * @poll_lock:    protects @poll_ns and starting @poll_timer
 * @poll_ns:      its present interval
 */
struct kvmchan_device {
	struct kref kref;
	struct pci_dev *pdev;
	void __iomem *regs;
	struct kvmchan_memory memory;
	struct srcu_struct srcu;
	bool gone;
	bool doorbell;
	u32 id;
	unsigned int vector_count;
	struct kvmchan_vector *vectors;
	struct xarray channels;
	struct delayed_work table_work;
	bool table_force;
	bool table_stopped;
	unsigned int prefer_side;
	u64 generation;
	u64 table_offset;
	u8 incarnation[16];
	bool formatted;
	struct hrtimer poll_timer;
	spinlock_t poll_lock; /* poll_ns, starting poll_timer */
	u64 poll_ns;
};

/**
 * struct kvmchan_stats - counters of one direction, under that end's lock
 * @bytes:      payload
 * @records:    packet mode
 * @suppressed: publishes after which the peer did not ask to be rung
 * @stalls:     times that the ring was found full (tx) or empty (rx)
 */
struct kvmchan_stats {
	u64 bytes;
	u64 records;
	u64 suppressed;
	u64 stalls;
};

/**
 * struct kvmchan_words - the words of others that a session goes by
 * @link:        the peer's link word
 * @own_reaped:  the manager's word about us
 * @peer_reaped: the manager's word about the peer
 */
struct kvmchan_words {
	u64 link;
	u64 own_reaped;
	u64 peer_reaped;
};

/**
 * struct kvmchan_channel - one slot of the table and its node /dev/kvmchanN
 * @dev:        class device; its release frees this
 * @cdev:       character device
 * @kd:         the ivshmem device, kref held
 * @vector:     vector that wakes us, NULL without interrupts
 * @on_vector:  link in @vector->channels
 * @retired:    link in the list of those that are being removed
 * @slot:       private, validated copy of the slot
 * @index:      slot number
 * @side:       which side we are
 * @bell:       the bell word that we publish
 * @gone:       the slot or the device went away; see kvmchan_device.srcu
 * @broken:     the peer broke the protocol; until the next session
 * @open_lock:  protects @claimed and the beginning and end of sessions
 * @claimed:    FMODE_READ and/or FMODE_WRITE that open files hold
 * @mappers:    files that map memory: all of a memory slot, and those that have
 *              mapped rings
 * @link_lock:  protects @session; taken from interrupts, innermost
 * @session:    handshake
 * @rx_mutex:   one reader at a time; held while bytes are copied
 * @rx_lock:    protects @rx, @rx_stats and @rx_want; before @link_lock
 * @rx:         consumer's end
 * @rx_want:    low-water mark
 * @rx_spin:    whether looking before sleeping pays; under @rx_mutex
 * @rx_shut:    reading was shut down in this session
 * @rx_mapped:  a process has the ring mapped and moves rx_cons itself
 * @rx_kicked:  rx_cons for which the process had the peer rung last
 * @rx_wait:    readers and pollers
 * @tx_mutex:   one writer at a time; held while it waits for room, so that
 *              writes do not interleave
 * @tx_lock:    protects @tx, @tx_stats, @tx_want, @tx_lowat, @tx_words and
 *              @tx_calm; before @link_lock
 * @tx:         producer's end
 * @tx_want:    room that all who wait for room wait for
 * @tx_words:   what the session was like when a writer looked at it last
 * @tx_calm:    then he could write, and can as long as @tx_words stay
 * @tx_spin:    whether looking for room before sleeping pays; under @tx_mutex
 * @tx_lowat:   room from which poll() reports some, when no record waits
 * @tx_shut:    writing was shut down in this session
 * @tx_mapped:  a process has the ring mapped and moves tx_prod itself
 * @tx_kicked:  tx_prod for which the process had the peer rung last
 * @tx_wait:    writers and pollers
 * @last_record: whole length of the record that was read last
 * @fasync:     SIGIO
 * @mapping:    through which processes map the node; valid while @mappers
 * @shown:      there were @mappers at some time; under @open_lock
 * @debugfs:    file
 * @seen_prod:  peer's words as the last interrupt or poll saw them
 * @seen_cons:  likewise
 * @seen_link:  likewise
 * @seen_reaped: likewise
 * @rx_stats:   counters
 * @tx_stats:   counters
 * @doorbells:  rung at the peer
 * @interrupts: that found something for us
 * @empty_interrupts: of our vector that found nothing for us
 * @protocol_errors: sessions that the peer broke
 */
struct kvmchan_channel {
	struct device dev;
	struct cdev cdev;
	struct kvmchan_device *kd;
	struct kvmchan_vector *vector;
	struct list_head on_vector;
	struct list_head retired;
	struct kvmchan_slot slot;
	u32 index;
	unsigned int side;
	u64 bell;
	bool gone;
	bool broken;

	struct mutex open_lock; /* claimed, mappers, mapping, sessions begin and end */
	fmode_t claimed;
	unsigned int mappers;

	spinlock_t link_lock; /* session */
	struct kvmchan_session session;

	struct mutex rx_mutex; /* one reader at a time */
	spinlock_t rx_lock; /* rx, rx_stats, rx_want */
	struct kvmchan_rx rx;
	u64 rx_want;
	struct kvmchan_spin rx_spin;
	bool rx_shut;
	bool rx_mapped;
	u64 rx_kicked;
	wait_queue_head_t rx_wait;
	u32 last_record;

	struct mutex tx_mutex; /* one writer at a time */
	spinlock_t tx_lock; /* tx, tx_stats, tx_want, tx_lowat */
	struct kvmchan_tx tx;
	struct kvmchan_words tx_words;
	bool tx_calm;
	struct kvmchan_spin tx_spin;
	u64 tx_want;
	u64 tx_lowat;
	bool tx_shut;
	bool tx_mapped;
	u64 tx_kicked;
	wait_queue_head_t tx_wait;

	struct fasync_struct *fasync;
	struct address_space *mapping;
	bool shown;
	struct dentry *debugfs;

	u64 seen_prod;
	u64 seen_cons;
	u64 seen_link;
	u64 seen_reaped;

	struct kvmchan_stats rx_stats;
	struct kvmchan_stats tx_stats;
	atomic64_t doorbells;
	atomic64_t interrupts;
	atomic64_t empty_interrupts;
	atomic64_t protocol_errors;
};

/**
 * struct kvmchan_file - an open node
 * @ch:   channel; the open file keeps it alive
 * @seen: memory slots: signal count that this file has seen
 * @maps: it is one of @ch->mappers
 */
struct kvmchan_file {
	struct kvmchan_channel *ch;
	u64 seen;
	bool maps;
};

/* The superblock; only through the accessors of ring_platform.h. */
static inline struct kvmchan_superblock __kvmchan_shared *
kvmchan_superblock(struct kvmchan_device *kd)
{
	return (struct kvmchan_superblock __kvmchan_shared __force *)
		kd->memory.base;
}

static inline struct kvmchan_channel *kvmchan_from_dev(struct device *dev)
{
	return container_of(dev, struct kvmchan_channel, dev);
}

static inline bool kvmchan_is_packet(const struct kvmchan_channel *ch)
{
	return le32_to_cpu(ch->slot.mode) == KVMCHAN_MODE_PACKET;
}

static inline bool kvmchan_is_memory(const struct kvmchan_channel *ch)
{
	return le32_to_cpu(ch->slot.kind) == KVMCHAN_KIND_MEMORY;
}

/* The indices of a mapped ring are where the process publishes them. */
static inline bool kvmchan_is_mapped(const struct kvmchan_channel *ch)
{
	return READ_ONCE(ch->rx_mapped) || READ_ONCE(ch->tx_mapped);
}

static inline bool kvmchan_is_gone(const struct kvmchan_channel *ch)
{
	return READ_ONCE(ch->gone) || READ_ONCE(ch->kd->gone);
}

/* main.c: class and minors */
extern struct class kvmchan_class;
extern dev_t kvmchan_devt;
int kvmchan_minor_get(void);
void kvmchan_minor_put(int minor);

/* pci.c: probe and remove */
extern struct pci_driver kvmchan_pci_driver;
void kvmchan_device_get(struct kvmchan_device *kd);
void kvmchan_device_put(struct kvmchan_device *kd);

/* memory.c: the region in the kernel's address space */
int kvmchan_memory_map(struct kvmchan_memory *m, struct pci_dev *pdev);
void kvmchan_memory_unmap(struct kvmchan_memory *m, struct pci_dev *pdev);

/* irq.c: doorbells in and out */
int kvmchan_irq_setup(struct kvmchan_device *kd);
void kvmchan_irq_teardown(struct kvmchan_device *kd);
bool kvmchan_irq_masked(const struct kvmchan_channel *ch);
void kvmchan_ring_peer(struct kvmchan_channel *ch);

/* poll_timer.c: where no doorbell tells */
#define KVMCHAN_POLL_ABSENT_NS	(250 * NSEC_PER_MSEC)
u64 kvmchan_poll_max(void);
void kvmchan_poll_init(struct kvmchan_device *kd);
void kvmchan_poll_soon(struct kvmchan_channel *ch);
void kvmchan_poll_stop(struct kvmchan_device *kd);

/* busy_poll.c: looking for a while before sleeping */
bool kvmchan_busy_poll_rx(struct kvmchan_channel *ch);
bool kvmchan_busy_poll_tx(struct kvmchan_channel *ch, u64 room);

/* table.c: superblock and slots */
void kvmchan_table_init(struct kvmchan_device *kd);
void kvmchan_table_start(struct kvmchan_device *kd);
bool kvmchan_table_holds(const struct kvmchan_channel *ch);
void kvmchan_table_rescan(struct kvmchan_device *kd, bool force);
void kvmchan_table_rescan_wait(struct kvmchan_device *kd);
void kvmchan_table_stop(struct kvmchan_device *kd);

/* channel.c: a channel's life, and what its peer does */
struct kvmchan_channel *kvmchan_channel_add(struct kvmchan_device *kd, u32 index,
					    const struct kvmchan_slot *slot,
					    unsigned int side);
void kvmchan_channel_retire(struct kvmchan_channel *ch,
			    struct list_head *retired);
void kvmchan_channels_bury(struct kvmchan_device *kd,
			   struct list_head *retired);
void kvmchan_channel_hangup(struct kvmchan_channel *ch);
void kvmchan_channels_hangup(struct kvmchan_device *kd);
void kvmchan_channel_show_bell(struct kvmchan_channel *ch);
bool kvmchan_channel_check(struct kvmchan_channel *ch);
u64 kvmchan_channel_poll_cap(struct kvmchan_channel *ch);
void kvmchan_channel_wake(struct kvmchan_channel *ch);
void kvmchan_break(struct kvmchan_channel *ch, const char *what);
unsigned int kvmchan_channel_state(struct kvmchan_channel *ch);

/* claim.c: who has a node open, and the sessions that begin and end with it */
int kvmchan_channel_claim(struct kvmchan_channel *ch, fmode_t mode);
void kvmchan_channel_release(struct kvmchan_channel *ch, fmode_t mode);
void kvmchan_channel_shutdown(struct kvmchan_channel *ch, fmode_t mode);
int kvmchan_channel_reconnect(struct kvmchan_channel *ch, fmode_t mode);
int kvmchan_channel_lock(struct kvmchan_channel *ch, unsigned int rings);
void kvmchan_channel_unlock(struct kvmchan_channel *ch, unsigned int rings);
int kvmchan_mapping_claim(struct kvmchan_file *f,
			  struct address_space *mapping);
void kvmchan_mapping_release(struct kvmchan_file *f);

/* receive.c: out of the peer's ring; the caller holds kd->srcu */
int kvmchan_rx_state(struct kvmchan_channel *ch, u64 want, bool arm);
unsigned int kvmchan_sync_rx(struct kvmchan_channel *ch);
ssize_t kvmchan_receive(struct kvmchan_channel *ch, struct iov_iter *to,
			u64 want, bool *fault);
u64 kvmchan_rx_ready(struct kvmchan_channel *ch);
u64 kvmchan_rx_next_record(struct kvmchan_channel *ch);

/* transmit.c: into our ring; the caller holds kd->srcu */
int kvmchan_tx_state(struct kvmchan_channel *ch, u64 want, bool arm);
unsigned int kvmchan_sync_tx(struct kvmchan_channel *ch);
ssize_t kvmchan_transmit(struct kvmchan_channel *ch, struct iov_iter *from,
			 bool *fault);
u64 kvmchan_tx_space(struct kvmchan_channel *ch);

/* rings.c: a process has the rings mapped; the caller holds kd->srcu */
int kvmchan_rings_look_rx(struct kvmchan_channel *ch, u64 want, bool arm);
int kvmchan_rings_look_tx(struct kvmchan_channel *ch, u64 want, bool arm);
u64 kvmchan_rings_ready(const struct kvmchan_channel *ch);
u64 kvmchan_rings_space(const struct kvmchan_channel *ch);
void kvmchan_rings_end(struct kvmchan_channel *ch);
int kvmchan_rings_kick(struct kvmchan_channel *ch, unsigned long rings);

/* rings.c, too: outside kd->srcu */
int kvmchan_rings_take(struct kvmchan_channel *ch, fmode_t mode,
		       unsigned long rings);
int kvmchan_rings_wait(struct kvmchan_channel *ch, struct kvmchan_rings *r);
u64 kvmchan_rings_read(struct kvmchan_channel *ch);
u64 kvmchan_rings_written(struct kvmchan_channel *ch);

/* chrdev.c, splice.c, ioctl.c, mmap.c: the node */
extern const struct file_operations kvmchan_fops;
bool kvmchan_read_idle(struct kvmchan_channel *ch);
bool kvmchan_write_idle(struct kvmchan_channel *ch);
void kvmchan_set_tx_want(struct kvmchan_channel *ch, u64 want);
ssize_t kvmchan_splice_read(struct file *in, loff_t *ppos,
			    struct pipe_inode_info *pipe, size_t len,
			    unsigned int flags);
ssize_t kvmchan_splice_write(struct pipe_inode_info *pipe, struct file *out,
			     loff_t *ppos, size_t len, unsigned int flags);
long kvmchan_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
int kvmchan_mmap(struct file *file, struct vm_area_struct *vma);
void kvmchan_mmap_revoke(struct kvmchan_channel *ch);

/* sysfs.c, debugfs.c: looking in */
extern const struct attribute_group *kvmchan_channel_groups[];
extern const struct attribute_group *kvmchan_device_groups[];
void kvmchan_debugfs_init(void);
void kvmchan_debugfs_exit(void);
void kvmchan_debugfs_add(struct kvmchan_channel *ch);
void kvmchan_debugfs_remove(struct kvmchan_channel *ch);

#endif /* KVMCHAN_H */
