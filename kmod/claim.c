// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: who has a node open. The first file that claims a channel begins
 * its session, the last one ends it; whoever maps its memory is remembered, so
 * that it can be taken away.
 */
#include <linux/fs.h>

#include "kvmchan.h"
#include "trace.h"

/* ---- the session ---- */

static void kvmchan_channel_set_flags(struct kvmchan_channel *ch, u64 set,
				      u64 clear)
{
	const u64 mask = KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER;
	unsigned long flags;
	unsigned int todo;

	spin_lock_irqsave(&ch->link_lock, flags);
	todo = kvmchan_session_flags(&ch->session,
				     ((ch->session.link & ~clear) | set) &
				     mask);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (todo)
		kvmchan_ring_peer(ch);
}

/*
 * Nobody but us writes our link word. Where somebody does, most likely two
 * peers were given one side, and neither gets on with the other side.
 */
static void kvmchan_suspect_double(struct kvmchan_channel *ch)
{
	unsigned long flags;
	bool other;

	spin_lock_irqsave(&ch->link_lock, flags);
	other = kvmchan_load(&ch->session.own->link) != ch->session.link;
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (other)
		dev_warn_ratelimited(&ch->dev,
				     "%.63s: another peer writes as side %u, too\n",
				     ch->slot.name, ch->side);
}

/* Caller holds open_lock. */
static void kvmchan_session_begin(struct kvmchan_channel *ch)
{
	unsigned long flags;

	kvmchan_suspect_double(ch);
	kvmchan_channel_show_bell(ch);
	spin_lock(&ch->rx_lock);
	spin_lock(&ch->tx_lock);
	spin_lock_irqsave(&ch->link_lock, flags);
	kvmchan_session_open(&ch->session, &ch->rx, &ch->tx);
	ch->tx_calm = false;
	ch->rx_want = 1;
	ch->tx_lowat = ch->tx.size / 2;
	ch->tx_want = ch->tx_lowat;
	ch->rx_shut = false;
	ch->tx_shut = false;
	WRITE_ONCE(ch->broken, false);
	kvmchan_session_look(&ch->session);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	spin_unlock(&ch->tx_lock);
	spin_unlock(&ch->rx_lock);
	kvmchan_ring_peer(ch);
	kvmchan_poll_soon(ch);
	trace_kvmchan_session(&ch->dev, ch->session.link, true);
}

/* Caller holds open_lock. */
static void kvmchan_session_end(struct kvmchan_channel *ch)
{
	kvmchan_rings_end(ch);
	kvmchan_channel_hangup(ch);
	trace_kvmchan_session(&ch->dev, ch->session.link, false);
}

/* Link flags that say nobody is at this end of @mode. */
static u64 kvmchan_absent(fmode_t mode)
{
	return (mode & FMODE_READ ? KVMCHAN_LINK_NO_READER : 0) |
	       (mode & FMODE_WRITE ? KVMCHAN_LINK_NO_WRITER : 0);
}

/**
 * kvmchan_channel_claim() - an open file takes one or both directions
 * @ch:   channel
 * @mode: FMODE_READ and/or FMODE_WRITE
 *
 * The first one begins a session, others join it.
 *
 * Context: process; the caller holds kd->srcu.
 * Return: 0, -EBUSY when a direction is taken, -ENODEV.
 */
int kvmchan_channel_claim(struct kvmchan_channel *ch, fmode_t mode)
{
	int err = 0;

	mutex_lock(&ch->open_lock);
	if (kvmchan_is_gone(ch)) {
		err = -ENODEV;
	} else if (ch->claimed & mode) {
		err = -EBUSY;
	} else if (!ch->claimed) {
		/* First: the poll timer looks only at what is claimed. */
		WRITE_ONCE(ch->claimed, mode);
		kvmchan_session_begin(ch);
	} else {
		WRITE_ONCE(ch->claimed, ch->claimed | mode);
		if (mode & FMODE_READ)
			WRITE_ONCE(ch->rx_shut, false);
		if (mode & FMODE_WRITE)
			WRITE_ONCE(ch->tx_shut, false);
		kvmchan_channel_set_flags(ch, 0, kvmchan_absent(mode));
	}
	mutex_unlock(&ch->open_lock);
	return err;
}

/**
 * kvmchan_channel_release() - an open file gives its directions back
 * @ch:   channel
 * @mode: what it had claimed
 *
 * The last one ends the session; before that the peer learns that nobody
 * writes, or reads, here now.
 *
 * Context: process; the caller holds kd->srcu.
 */
void kvmchan_channel_release(struct kvmchan_channel *ch, fmode_t mode)
{
	mutex_lock(&ch->open_lock);
	WRITE_ONCE(ch->claimed, ch->claimed & ~mode);
	if (!kvmchan_is_gone(ch)) {
		if (ch->claimed)
			kvmchan_channel_set_flags(ch, kvmchan_absent(mode), 0);
		else
			kvmchan_session_end(ch);
	}
	/* Only who had claimed both can have taken rings. */
	if (!ch->claimed) {
		WRITE_ONCE(ch->rx_mapped, false);
		WRITE_ONCE(ch->tx_mapped, false);
	}
	mutex_unlock(&ch->open_lock);
}

/**
 * kvmchan_channel_shutdown() - end directions for the rest of the session
 * @ch:   channel
 * @mode: FMODE_READ and/or FMODE_WRITE
 *
 * Context: process; the caller holds kd->srcu and has claimed @mode.
 */
void kvmchan_channel_shutdown(struct kvmchan_channel *ch, fmode_t mode)
{
	mutex_lock(&ch->open_lock);
	if (mode & FMODE_READ)
		WRITE_ONCE(ch->rx_shut, true);
	if (mode & FMODE_WRITE)
		WRITE_ONCE(ch->tx_shut, true);
	kvmchan_channel_set_flags(ch, kvmchan_absent(mode), 0);
	mutex_unlock(&ch->open_lock);
	kvmchan_channel_wake(ch);
}

static int kvmchan_reconnect_locked(struct kvmchan_channel *ch, fmode_t mode)
{
	int idx = srcu_read_lock(&ch->kd->srcu);
	int err = 0;

	mutex_lock(&ch->open_lock);
	if (kvmchan_is_gone(ch) || !kvmchan_table_holds(ch)) {
		err = -ENODEV;
	} else if (ch->claimed != mode) {
		err = -EBUSY;
	} else {
		kvmchan_session_end(ch);
		kvmchan_session_begin(ch);
	}
	mutex_unlock(&ch->open_lock);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return err;
}

/**
 * kvmchan_channel_lock() - wait for a transfer that is under way, hold others
 * @ch:    channel
 * @rings: KVMCHAN_RING_*: of these directions
 *
 * Context: process, outside kd->srcu: who holds the mutexes may sleep.
 * Return: 0 or -EINTR.
 */
int kvmchan_channel_lock(struct kvmchan_channel *ch, unsigned int rings)
{
	if (rings & KVMCHAN_RING_RX && mutex_lock_interruptible(&ch->rx_mutex))
		return -EINTR;
	if (rings & KVMCHAN_RING_TX &&
	    mutex_lock_interruptible(&ch->tx_mutex)) {
		if (rings & KVMCHAN_RING_RX)
			mutex_unlock(&ch->rx_mutex);
		return -EINTR;
	}
	return 0;
}

/**
 * kvmchan_channel_unlock() - undo kvmchan_channel_lock(), wake all
 * @ch:    channel
 * @rings: as before
 */
void kvmchan_channel_unlock(struct kvmchan_channel *ch, unsigned int rings)
{
	if (rings & KVMCHAN_RING_TX)
		mutex_unlock(&ch->tx_mutex);
	if (rings & KVMCHAN_RING_RX)
		mutex_unlock(&ch->rx_mutex);
	kvmchan_channel_wake(ch);
}

/**
 * kvmchan_channel_reconnect() - end this session and begin the next
 * @ch:   channel
 * @mode: what the calling file has claimed
 *
 * Waits for a transfer that is under way in another thread. A reader that
 * sleeps goes on in the new session.
 *
 * Context: process, outside kd->srcu.
 * Return: 0, -EBUSY when another file shares the session, -ENODEV, -EINTR.
 */
int kvmchan_channel_reconnect(struct kvmchan_channel *ch, fmode_t mode)
{
	const unsigned int both = KVMCHAN_RING_RX | KVMCHAN_RING_TX;
	int err = kvmchan_channel_lock(ch, both);

	if (err)
		return err;
	err = kvmchan_reconnect_locked(ch, mode);
	kvmchan_channel_unlock(ch, both);
	return err;
}

/* ---- the memory ---- */

/**
 * kvmchan_mapping_claim() - a file will map memory of the region
 * @f:       open file
 * @mapping: its own
 *
 * Removal takes the pages away through one mapping, so all who map have to
 * come by the same inode: another node of the same number is refused.
 *
 * Context: process.
 * Return: 0, also again; -EBUSY, -ENODEV.
 */
int kvmchan_mapping_claim(struct kvmchan_file *f, struct address_space *mapping)
{
	struct kvmchan_channel *ch = f->ch;
	int err = 0;

	mutex_lock(&ch->open_lock);
	if (kvmchan_is_gone(ch)) {
		err = -ENODEV;
	} else if (ch->mappers && ch->mapping != mapping) {
		err = -EBUSY;
	} else if (!f->maps) {
		f->maps = true;
		ch->mapping = mapping;
		ch->shown = true;
		WRITE_ONCE(ch->mappers, ch->mappers + 1);
	}
	mutex_unlock(&ch->open_lock);
	return err;
}

/**
 * kvmchan_mapping_release() - a file is closed; all its mappings are gone
 * @f: it
 *
 * Context: process.
 */
void kvmchan_mapping_release(struct kvmchan_file *f)
{
	struct kvmchan_channel *ch = f->ch;

	if (!f->maps)
		return;
	mutex_lock(&ch->open_lock);
	WRITE_ONCE(ch->mappers, ch->mappers - 1);
	mutex_unlock(&ch->open_lock);
}
