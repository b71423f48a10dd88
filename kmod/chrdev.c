// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: /dev/kvmchanN, open to release.
 *
 * Every operation is inside kd->srcu while it touches the region, and outside
 * while it sleeps or faults pages in; inside it first asks whether the
 * channel is gone.
 */
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "kvmchan.h"

/* How much of a stream's buffer is faulted in at a time, at first. */
#define KVMCHAN_FAULT_IN	SZ_1M
/* A page that vanishes so many times in a row is somebody's doing. */
#define KVMCHAN_FAULT_TRIES	16

static struct kvmchan_channel *kvmchan_file_channel(const struct file *file)
{
	return ((struct kvmchan_file *)file->private_data)->ch;
}

static bool kvmchan_nowait(const struct kiocb *iocb)
{
	return (iocb->ki_filp->f_flags & O_NONBLOCK) ||
	       (iocb->ki_flags & IOCB_NOWAIT);
}

static int kvmchan_lock(struct mutex *mutex, bool nowait)
{
	if (nowait)
		return mutex_trylock(mutex) ? 0 : -EAGAIN;
	return mutex_lock_interruptible(mutex) ? -ERESTARTSYS : 0;
}

/*
 * A record is copied at one go: what it may touch has to be there at once. A
 * stream can do with less, and does when pages vanish again before the copy.
 */
static size_t kvmchan_fault_in_bytes(const struct kvmchan_channel *ch,
				     u64 ring_size, const struct iov_iter *i,
				     unsigned int tries)
{
	u64 most = kvmchan_is_packet(ch) ? ring_size :
					   KVMCHAN_FAULT_IN >> tries;

	return min_t(u64, iov_iter_count(i), most);
}

/* ---- read ---- */

static ssize_t kvmchan_read_some(struct kvmchan_channel *ch,
				 struct iov_iter *to, u64 want, bool *fault)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	ssize_t ret = -ENODEV;

	if (!kvmchan_is_gone(ch))
		ret = kvmchan_receive(ch, to, want, fault);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return ret;
}

/**
 * kvmchan_read_idle() - may a reader sleep?
 * @ch: channel
 *
 * Context: any. Arms, so that the answer yes is followed by a wake-up.
 * Return: whether there is nothing to read yet.
 */
bool kvmchan_read_idle(struct kvmchan_channel *ch)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	bool idle = false;

	/* A ring that was taken meanwhile is an answer, too. */
	if (!kvmchan_is_gone(ch) && !READ_ONCE(ch->rx_mapped))
		idle = !kvmchan_rx_state(ch, READ_ONCE(ch->rx_want), true);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return idle;
}

/* Sleeps without the mutex, so that a reader never shuts another one out. */
static int kvmchan_read_wait(struct kvmchan_channel *ch)
{
	int err;

	if (kvmchan_busy_poll_rx(ch))
		return 0;
	mutex_unlock(&ch->rx_mutex);
	err = wait_event_interruptible(ch->rx_wait, !kvmchan_read_idle(ch));
	mutex_lock(&ch->rx_mutex);
	return err;
}

static bool kvmchan_fault_in_to(const struct kvmchan_channel *ch,
				struct iov_iter *to, unsigned int *tries)
{
	size_t bytes = kvmchan_fault_in_bytes(ch, ch->rx.size, to, *tries);

	return ++*tries < KVMCHAN_FAULT_TRIES &&
	       fault_in_iov_iter_writeable(to, bytes) < bytes;
}

static ssize_t kvmchan_read_locked(struct kvmchan_channel *ch,
				   struct iov_iter *to, bool nowait)
{
	unsigned int tries = 0;
	ssize_t total = 0, ret;

	while (iov_iter_count(to)) {
		bool fault = false;

		ret = kvmchan_read_some(ch, to, nowait || total ? 1 :
					READ_ONCE(ch->rx_want), &fault);
		if (ret > 0) {
			total += ret;
			tries = 0;
			if (kvmchan_is_packet(ch))
				break;
		}
		if (fault && !kvmchan_fault_in_to(ch, to, &tries))
			return total ? total : -EFAULT;
		if (fault)
			continue;
		if (ret == -EAGAIN) {
			/* A short read says "empty" as -EAGAIN does: arm. */
			if (nowait && !kvmchan_read_idle(ch))
				continue;
			if (nowait || total)
				break;
			ret = kvmchan_read_wait(ch);
			if (!ret)
				continue;
		}
		if (ret < 0)
			return total ? total : ret == -ENODATA ? 0 : ret;
		if (signal_pending(current))
			break;
	}
	return total ? total : ret;
}

static ssize_t kvmchan_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct kvmchan_channel *ch = kvmchan_file_channel(iocb->ki_filp);
	bool nowait = kvmchan_nowait(iocb);
	ssize_t ret;

	if (kvmchan_is_memory(ch))
		return -EINVAL;
	if (!iov_iter_count(to))
		return 0;
	ret = kvmchan_lock(&ch->rx_mutex, nowait);
	if (ret)
		return ret;
	ret = kvmchan_read_locked(ch, to, nowait);
	mutex_unlock(&ch->rx_mutex);
	return ret;
}

/* ---- write ---- */

static ssize_t kvmchan_write_some(struct kvmchan_channel *ch,
				  struct iov_iter *from, bool *fault)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	ssize_t ret = -ENODEV;

	if (!kvmchan_is_gone(ch))
		ret = kvmchan_transmit(ch, from, fault);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return ret;
}

/**
 * kvmchan_write_idle() - may a writer sleep?
 * @ch: channel
 *
 * Context: any. Arms, so that the answer yes is followed by a wake-up.
 * Return: whether there is no room yet.
 */
bool kvmchan_write_idle(struct kvmchan_channel *ch)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	bool idle = false;

	if (!kvmchan_is_gone(ch))
		idle = !kvmchan_tx_state(ch, READ_ONCE(ch->tx_want), true);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return idle;
}

/**
 * kvmchan_set_tx_want() - how much room to wait for
 * @ch:   channel
 * @want: bytes
 *
 * All that wait for room wait for the same amount; when it gets smaller the
 * others have to arm again.
 *
 * Context: process.
 */
void kvmchan_set_tx_want(struct kvmchan_channel *ch, u64 want)
{
	u64 was = READ_ONCE(ch->tx_want);

	WRITE_ONCE(ch->tx_want, want);
	if (want < was)
		wake_up_interruptible_all(&ch->tx_wait);
}

/*
 * How much room the rest of a write waits for. Never less than the low-water
 * mark: a short write that got by with less would be woken, and rung for, at
 * every read of a peer that is slower than we are.
 */
static u64 kvmchan_write_want(struct kvmchan_channel *ch,
			      const struct iov_iter *from)
{
	u64 lowat = READ_ONCE(ch->tx_lowat);

	if (kvmchan_is_packet(ch))
		return max(lowat, kvmchan_record_space(iov_iter_count(from)));
	return lowat;
}

/* The least room with which the rest of a write goes on, before it sleeps. */
static u64 kvmchan_write_room(struct kvmchan_channel *ch,
			      const struct iov_iter *from)
{
	if (kvmchan_is_packet(ch))
		return kvmchan_record_space(iov_iter_count(from));
	return min_t(u64, iov_iter_count(from), ch->tx.size / 4);
}

static bool kvmchan_fault_in_from(const struct kvmchan_channel *ch,
				  struct iov_iter *from, unsigned int *tries)
{
	size_t bytes = kvmchan_fault_in_bytes(ch, ch->tx.size, from, *tries);

	return ++*tries < KVMCHAN_FAULT_TRIES &&
	       fault_in_iov_iter_readable(from, bytes) < bytes;
}

static ssize_t kvmchan_write_locked(struct kvmchan_channel *ch,
				    struct iov_iter *from, bool nowait)
{
	unsigned int tries = 0;
	ssize_t total = 0, ret;

	while (iov_iter_count(from)) {
		bool fault = false;

		ret = kvmchan_write_some(ch, from, &fault);
		if (ret > 0) {
			total += ret;
			tries = 0;
		}
		if (fault && !kvmchan_fault_in_from(ch, from, &tries))
			return total ? total : -EFAULT;
		if (fault)
			continue;
		if (ret == -EAGAIN) {
			/*
			 * A record that finds no room leaves its wish behind,
			 * or poll() would report room that is not enough.
			 */
			kvmchan_set_tx_want(ch, kvmchan_write_want(ch, from));
			if (nowait && kvmchan_write_idle(ch))
				return total ? total : -EAGAIN;
			if (nowait ||
			    kvmchan_busy_poll_tx(ch, kvmchan_write_room(ch, from)))
				continue;
			ret = wait_event_interruptible(ch->tx_wait,
						       !kvmchan_write_idle(ch));
			if (!ret)
				continue;
		}
		if (ret < 0)
			return total ? total : ret;
		if (signal_pending(current))
			break;
	}
	return total;
}

static ssize_t kvmchan_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct kvmchan_channel *ch = kvmchan_file_channel(iocb->ki_filp);
	bool nowait = kvmchan_nowait(iocb);
	ssize_t ret;

	if (kvmchan_is_memory(ch))
		return -EINVAL;
	if (!iov_iter_count(from))
		return 0;
	ret = kvmchan_lock(&ch->tx_mutex, nowait);
	if (ret)
		return ret;
	ret = kvmchan_write_locked(ch, from, nowait);
	/* Of a mapped ring the process says what it waits for. */
	if (ret != -EAGAIN && ret != -EBUSY)
		kvmchan_set_tx_want(ch, READ_ONCE(ch->tx_lowat));
	mutex_unlock(&ch->tx_mutex);
	return ret;
}

/* ---- poll ---- */

static __poll_t kvmchan_poll_read(struct kvmchan_channel *ch)
{
	int ret = kvmchan_rx_state(ch, READ_ONCE(ch->rx_want), true);

	if (ret == 1)
		return EPOLLIN | EPOLLRDNORM;
	if (ret == -ENODATA)
		return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	return ret ? EPOLLIN | EPOLLRDNORM | EPOLLERR : 0;
}

static __poll_t kvmchan_poll_write(struct kvmchan_channel *ch)
{
	int ret = kvmchan_tx_state(ch, READ_ONCE(ch->tx_want), true);

	if (ret == 1)
		return EPOLLOUT | EPOLLWRNORM;
	return ret ? EPOLLOUT | EPOLLWRNORM | EPOLLERR : 0;
}

/* What concerns both directions: the peer has left. */
static __poll_t kvmchan_poll_peer(struct kvmchan_channel *ch)
{
	return READ_ONCE(ch->session.peer_gone) ? EPOLLHUP | EPOLLRDHUP : 0;
}

static __poll_t kvmchan_poll_memory(struct kvmchan_file *f)
{
	u64 count = kvmchan_load_acquire(&f->ch->session.peer_index->tx_prod);

	kvmchan_poll_soon(f->ch);
	return count != READ_ONCE(f->seen) ? EPOLLIN | EPOLLRDNORM : 0;
}

static __poll_t kvmchan_poll_channel(struct file *file)
{
	struct kvmchan_channel *ch = kvmchan_file_channel(file);
	__poll_t mask = 0;

	if (kvmchan_is_memory(ch))
		return kvmchan_poll_memory(file->private_data);
	if (file->f_mode & FMODE_READ)
		mask |= kvmchan_poll_read(ch);
	if (file->f_mode & FMODE_WRITE)
		mask |= kvmchan_poll_write(ch);
	return mask | kvmchan_poll_peer(ch);
}

static __poll_t kvmchan_poll(struct file *file, poll_table *wait)
{
	struct kvmchan_channel *ch = kvmchan_file_channel(file);
	__poll_t mask = EPOLLERR | EPOLLHUP | EPOLLRDHUP;
	int idx;

	/* On the queues before the first look: see kvmchan_channel_check(). */
	poll_wait(file, &ch->rx_wait, wait);
	if (file->f_mode & FMODE_WRITE)
		poll_wait(file, &ch->tx_wait, wait);
	idx = srcu_read_lock(&ch->kd->srcu);
	if (!kvmchan_is_gone(ch))
		mask = kvmchan_poll_channel(file);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return mask;
}

static int kvmchan_fasync(int fd, struct file *file, int on)
{
	int ret = fasync_helper(fd, file, on,
				&kvmchan_file_channel(file)->fasync);

	/* The peer rings only those who ask for it. */
	if (on && ret >= 0)
		kvmchan_poll(file, NULL);
	return ret;
}

/* ---- open and release ---- */

static fmode_t kvmchan_file_mode(const struct file *file)
{
	return file->f_mode & (FMODE_READ | FMODE_WRITE);
}

/* Whoever opens a memory slot is taken to map it. */
static int kvmchan_open_channel(struct kvmchan_file *f, struct file *file)
{
	struct kvmchan_channel *ch = f->ch;
	int idx = srcu_read_lock(&ch->kd->srcu);
	int err;

	if (kvmchan_is_gone(ch) || !kvmchan_table_holds(ch)) {
		err = -ENODEV;
	} else if (!kvmchan_is_memory(ch)) {
		err = kvmchan_channel_claim(ch, kvmchan_file_mode(file));
	} else {
		err = kvmchan_mapping_claim(f, file->f_mapping);
		if (!err)
			kvmchan_channel_show_bell(ch);
	}
	srcu_read_unlock(&ch->kd->srcu, idx);
	return err;
}

static int kvmchan_open(struct inode *inode, struct file *file)
{
	struct kvmchan_channel *ch = container_of(inode->i_cdev,
						  struct kvmchan_channel, cdev);
	struct kvmchan_file *f;
	int err;

	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->ch = ch;
	err = kvmchan_open_channel(f, file);
	if (err) {
		kfree(f);
		return err;
	}
	get_device(&ch->dev);
	file->private_data = f;
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

static int kvmchan_release(struct inode *inode, struct file *file)
{
	struct kvmchan_channel *ch = kvmchan_file_channel(file);
	int idx;

	/* Before anybody else can have the rings. */
	kvmchan_mapping_release(file->private_data);
	idx = srcu_read_lock(&ch->kd->srcu);
	if (!kvmchan_is_memory(ch))
		kvmchan_channel_release(ch, kvmchan_file_mode(file));
	srcu_read_unlock(&ch->kd->srcu, idx);
	kfree(file->private_data);
	put_device(&ch->dev);
	return 0;
}

const struct file_operations kvmchan_fops = {
	.owner = THIS_MODULE,
	KVMCHAN_NO_LLSEEK
	.read_iter = kvmchan_read_iter,
	.write_iter = kvmchan_write_iter,
	.splice_read = kvmchan_splice_read,
	.splice_write = kvmchan_splice_write,
	.poll = kvmchan_poll,
	.unlocked_ioctl = kvmchan_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = kvmchan_mmap,
	.open = kvmchan_open,
	.release = kvmchan_release,
	.fasync = kvmchan_fasync,
};
