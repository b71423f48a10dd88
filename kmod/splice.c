// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: splice and sendfile.
 *
 * splice() calls us with the user's pipe locked, and the lock cannot be
 * interrupted: to wait for the peer under it would hang whoever reads or
 * writes the other end of the pipe, for as long as the peer is silent. So all
 * waiting is done while the pipe is not locked, and what follows finds bytes,
 * or room, and does not sleep.
 */
#include <linux/fs.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>
#include <linux/wait.h>

#include "kvmchan.h"

static struct kvmchan_channel *kvmchan_splice_channel(const struct file *file)
{
	return ((struct kvmchan_file *)file->private_data)->ch;
}

/*
 * sendfile() between files goes through a pipe of its own, which is not
 * locked and which nobody else knows; one that is locked is the caller's.
 */
static int kvmchan_splice_wait_read(struct kvmchan_channel *ch,
				    struct pipe_inode_info *pipe)
{
	bool locked = mutex_is_locked(&pipe->mutex);
	int err;

	if (!kvmchan_read_idle(ch))
		return 0;
	if (locked)
		pipe_unlock(pipe);
	err = wait_event_interruptible(ch->rx_wait, !kvmchan_read_idle(ch));
	if (locked)
		pipe_lock(pipe);
	return err;
}

/**
 * kvmchan_splice_read() - file operation
 * @in:    open node
 * @ppos:  not used, a stream has no position
 * @pipe:  where to
 * @len:   bytes
 * @flags: SPLICE_F_*
 *
 * Return: bytes, 0 end of file, -errno.
 */
ssize_t kvmchan_splice_read(struct file *in, loff_t *ppos,
			    struct pipe_inode_info *pipe, size_t len,
			    unsigned int flags)
{
	struct kvmchan_channel *ch = kvmchan_splice_channel(in);
	int err;

	if (kvmchan_is_memory(ch))
		return -EINVAL;
	if (READ_ONCE(ch->rx_mapped))
		return -EBUSY;
	if (!(in->f_flags & O_NONBLOCK)) {
		err = kvmchan_splice_wait_read(ch, pipe);
		if (err)
			return err;
	}
	return copy_splice_read(in, ppos, pipe, len, flags);
}

/* How much of @len finds room at once; waits until some does. */
static ssize_t kvmchan_splice_wait_write(struct kvmchan_channel *ch, size_t len)
{
	u64 room;
	int err, idx;

	err = wait_event_interruptible(ch->tx_wait, !kvmchan_write_idle(ch));
	if (err)
		return err;
	idx = srcu_read_lock(&ch->kd->srcu);
	room = kvmchan_is_gone(ch) ? 0 : kvmchan_tx_space(ch);
	srcu_read_unlock(&ch->kd->srcu, idx);
	/* None: the peer is gone, and the write will say so. */
	return room ? min_t(u64, room, len) : len;
}

/**
 * kvmchan_splice_write() - file operation
 * @pipe:  where from
 * @out:   open node
 * @ppos:  not used
 * @len:   bytes
 * @flags: SPLICE_F_*
 *
 * In packet mode each buffer of the pipe that is written becomes a record.
 *
 * Return: bytes, -errno.
 */
ssize_t kvmchan_splice_write(struct pipe_inode_info *pipe, struct file *out,
			     loff_t *ppos, size_t len, unsigned int flags)
{
	struct kvmchan_channel *ch = kvmchan_splice_channel(out);
	ssize_t room;

	if (kvmchan_is_memory(ch))
		return -EINVAL;
	if (READ_ONCE(ch->tx_mapped))
		return -EBUSY;
	if (!(out->f_flags & O_NONBLOCK) && !kvmchan_is_packet(ch)) {
		room = kvmchan_splice_wait_write(ch, len);
		if (room < 0)
			return room;
		len = room;
	}
	return iter_file_splice_write(pipe, out, ppos, len, flags);
}
