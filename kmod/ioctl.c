// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: ioctls of /dev/kvmchanN; uapi/kvmchan.h is their reference.
 */
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <asm/ioctls.h>

#include "kvmchan.h"

#define KVMCHAN_SHUT_RD		0
#define KVMCHAN_SHUT_WR		1
#define KVMCHAN_SHUT_RDWR	2

/**
 * union kvmchan_arg - a private copy of what an ioctl's argument points to
 * @info:   KVMCHAN_IOC_INFO
 * @lowat:  KVMCHAN_IOC_GET_LOWAT, _SET_LOWAT
 * @wait:   KVMCHAN_IOC_WAIT
 * @rings:  KVMCHAN_IOC_RINGS
 * @record: KVMCHAN_IOC_LAST_RECORD
 * @amount: KVMCHAN_IOC_SPACE, FIONREAD
 */
union kvmchan_arg {
	struct kvmchan_info info;
	struct kvmchan_lowat lowat;
	struct kvmchan_wait wait;
	struct kvmchan_rings rings;
	u32 record;
	int amount;
};

static fmode_t kvmchan_ioctl_mode(const struct file *file)
{
	return file->f_mode & (FMODE_READ | FMODE_WRITE);
}

static void kvmchan_info_fill(struct kvmchan_channel *ch,
			      struct kvmchan_info *info)
{
	u64 bell = kvmchan_load(&ch->session.peer->bell);

	memcpy(info->name, ch->slot.name, sizeof(info->name));
	info->kind = le32_to_cpu(ch->slot.kind);
	info->mode = le32_to_cpu(ch->slot.mode);
	info->side = ch->side;
	info->peer = bell & KVMCHAN_BELL_RINGABLE ? kvmchan_bell_peer(bell) :
		     KVMCHAN_PEER_ANY;
	info->vector = ch->vector ? ch->vector->index : KVMCHAN_PEER_ANY;
	info->rx_size = ch->rx.size;
	memcpy(info->incarnation, ch->kd->incarnation,
	       sizeof(info->incarnation));
	if (kvmchan_is_memory(ch)) {
		info->rx_size = le64_to_cpu(ch->slot.data_size[0]);
		return;
	}
	info->state = kvmchan_channel_state(ch);
	info->tx_size = ch->tx.size;
	if (kvmchan_is_packet(ch))
		info->max_record = kvmchan_record_max(ch->tx.size);
	info->rx_ready = kvmchan_rx_ready(ch);
	info->tx_space = kvmchan_tx_space(ch);
}

static int kvmchan_ioctl_shutdown(struct kvmchan_channel *ch, fmode_t held,
				  unsigned long how)
{
	static const fmode_t modes[] = {
		[KVMCHAN_SHUT_RD] = FMODE_READ,
		[KVMCHAN_SHUT_WR] = FMODE_WRITE,
		[KVMCHAN_SHUT_RDWR] = FMODE_READ | FMODE_WRITE,
	};

	if (how >= ARRAY_SIZE(modes))
		return -EINVAL;
	if (modes[how] & ~held)
		return -EBADF;
	kvmchan_channel_shutdown(ch, modes[how]);
	return 0;
}

static int kvmchan_ioctl_set_lowat(struct kvmchan_channel *ch,
				   const struct kvmchan_lowat *lowat)
{
	if (kvmchan_is_packet(ch))
		return -EOPNOTSUPP;
	if (!lowat->rx || lowat->rx > ch->rx.size / 2 ||
	    !lowat->tx || lowat->tx > ch->tx.size / 2)
		return -ERANGE;
	WRITE_ONCE(ch->rx_want, lowat->rx);
	WRITE_ONCE(ch->tx_lowat, lowat->tx);
	WRITE_ONCE(ch->tx_want, lowat->tx);
	/* Whoever sleeps arms again, for the new amounts. */
	kvmchan_channel_wake(ch);
	return 0;
}

static int kvmchan_ioctl_channel(struct file *file, struct kvmchan_channel *ch,
				 unsigned int cmd, unsigned long how,
				 union kvmchan_arg *arg)
{
	switch (cmd) {
	case FIONREAD:
		/* The process knows where its next record begins. */
		if (kvmchan_is_packet(ch) && READ_ONCE(ch->rx_mapped))
			return -EBUSY;
		arg->amount = min_t(u64, INT_MAX, kvmchan_is_packet(ch) ?
				    kvmchan_rx_next_record(ch) :
				    kvmchan_rx_ready(ch));
		return 0;
	case KVMCHAN_IOC_SPACE:
		arg->amount = min_t(u64, INT_MAX, kvmchan_tx_space(ch));
		return 0;
	case KVMCHAN_IOC_SHUTDOWN:
		return kvmchan_ioctl_shutdown(ch, kvmchan_ioctl_mode(file),
					      how);
	case KVMCHAN_IOC_GET_LOWAT:
		arg->lowat.rx = READ_ONCE(ch->rx_want);
		arg->lowat.tx = READ_ONCE(ch->tx_lowat);
		return 0;
	case KVMCHAN_IOC_SET_LOWAT:
		return kvmchan_ioctl_set_lowat(ch, &arg->lowat);
	case KVMCHAN_IOC_KICK:
		return kvmchan_rings_kick(ch, how);
	case KVMCHAN_IOC_LAST_RECORD:
		arg->record = READ_ONCE(ch->last_record);
		return kvmchan_is_packet(ch) ? 0 : -EOPNOTSUPP;
	}
	return -ENOTTY;
}

/* ---- memory slots ---- */

/* This side's signal count has one writer: whoever holds tx_lock. */
static int kvmchan_ioctl_signal(struct kvmchan_channel *ch)
{
	spin_lock(&ch->tx_lock);
	ch->tx.prod++;
	kvmchan_store_release(&ch->tx.own->tx_prod, ch->tx.prod);
	spin_unlock(&ch->tx_lock);
	kvmchan_mb();
	kvmchan_ring_peer(ch);
	return 0;
}

static bool kvmchan_signal_idle(struct kvmchan_channel *ch, u64 *count,
				u64 seen)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	bool idle = false;

	if (!kvmchan_is_gone(ch)) {
		*count = kvmchan_load_acquire(&ch->session.peer_index->tx_prod);
		idle = *count == seen;
		if (idle)
			kvmchan_poll_soon(ch);
	}
	srcu_read_unlock(&ch->kd->srcu, idx);
	return idle;
}

static int kvmchan_signal_wait(struct kvmchan_channel *ch,
			       struct kvmchan_wait *w)
{
	ktime_t timeout = ns_to_ktime(w->timeout_ns);
	u64 seen = w->count;
	int err;

	if (!w->timeout_ns)
		return kvmchan_signal_idle(ch, &w->count, seen) ?
			-ETIMEDOUT : 0;
	if (w->timeout_ns < 0)
		timeout = KTIME_MAX;
	err = wait_event_interruptible_hrtimeout(ch->rx_wait,
						 !kvmchan_signal_idle(ch, &w->count, seen),
						 timeout);
	return err == -ETIME ? -ETIMEDOUT : err;
}

static int kvmchan_ioctl_wait(struct kvmchan_file *f, struct kvmchan_wait *w)
{
	int err = kvmchan_signal_wait(f->ch, w);

	if (kvmchan_is_gone(f->ch))
		return -ENODEV;
	/* A restarted call would wait for the whole time again. */
	if (err == -ERESTARTSYS)
		return -EINTR;
	if (!err)
		WRITE_ONCE(f->seen, w->count);
	return err;
}

static int kvmchan_ioctl_inside(struct file *file, struct kvmchan_channel *ch,
				unsigned int cmd, unsigned long how,
				union kvmchan_arg *arg)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	int err = -ENOTTY;

	if (kvmchan_is_gone(ch)) {
		err = -ENODEV;
	} else if (cmd == KVMCHAN_IOC_INFO) {
		kvmchan_info_fill(ch, &arg->info);
		err = 0;
	} else if (!kvmchan_is_memory(ch)) {
		err = kvmchan_ioctl_channel(file, ch, cmd, how, arg);
	} else if (cmd == KVMCHAN_IOC_SIGNAL) {
		err = kvmchan_ioctl_signal(ch);
	}
	srcu_read_unlock(&ch->kd->srcu, idx);
	return err;
}

/* Those that wait, and so must not be inside kd->srcu. */
static int kvmchan_ioctl_outside(struct file *file, unsigned int cmd,
				 unsigned long how, union kvmchan_arg *arg)
{
	struct kvmchan_file *f = file->private_data;

	if (kvmchan_is_memory(f->ch))
		return cmd == KVMCHAN_IOC_WAIT ?
			kvmchan_ioctl_wait(f, &arg->wait) : -ENOIOCTLCMD;
	switch (cmd) {
	case KVMCHAN_IOC_RECONNECT:
		return kvmchan_channel_reconnect(f->ch,
						 kvmchan_ioctl_mode(file));
	case KVMCHAN_IOC_MAP_RINGS:
		return kvmchan_rings_take(f->ch, kvmchan_ioctl_mode(file), how);
	case KVMCHAN_IOC_RINGS:
		return kvmchan_rings_wait(f->ch, &arg->rings);
	}
	return -ENOIOCTLCMD;
}

static size_t kvmchan_arg_size(unsigned int cmd, unsigned int direction)
{
	if (cmd == FIONREAD)
		return direction == _IOC_READ ? sizeof(int) : 0;
	return _IOC_DIR(cmd) & direction ? _IOC_SIZE(cmd) : 0;
}

/**
 * kvmchan_ioctl() - file operation
 * @file: open node
 * @cmd:  FIONREAD or KVMCHAN_IOC_*
 * @how:  a value, or where the argument is: see uapi/kvmchan.h
 *
 * User memory is touched here only, outside kd->srcu.
 *
 * Context: process.
 * Return: 0 or -errno; -ENOTTY for what this kind of node does not know.
 */
long kvmchan_ioctl(struct file *file, unsigned int cmd, unsigned long how)
{
	size_t in = kvmchan_arg_size(cmd, _IOC_WRITE);
	size_t out = kvmchan_arg_size(cmd, _IOC_READ);
	struct kvmchan_file *f = file->private_data;
	union kvmchan_arg arg = {};
	int err;

	if (in > sizeof(arg) || out > sizeof(arg))
		return -ENOTTY;
	if (in && copy_from_user(&arg, (void __user *)how, in))
		return -EFAULT;
	err = kvmchan_ioctl_outside(file, cmd, how, &arg);
	if (err == -ENOIOCTLCMD)
		err = kvmchan_ioctl_inside(file, f->ch, cmd, how, &arg);
	if (!err && out && copy_to_user((void __user *)how, &arg, out))
		return -EFAULT;
	return err;
}
