// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: a channel's life: made for a slot of the table, told of its peer's
 * doings, removed with its slot or its device. For who has it open: claim.c.
 */
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "kvmchan.h"
#include "trace.h"

static void kvmchan_channel_dev_release(struct device *dev)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);
	struct kvmchan_device *kd = ch->kd;

	kvmchan_minor_put(MINOR(dev->devt));
	kfree(ch);
	kvmchan_device_put(kd);
}

/* Spread over the vectors after 0, which tells of the table. */
static struct kvmchan_vector *kvmchan_pick_vector(struct kvmchan_device *kd,
						  u32 slot)
{
	if (!kd->vector_count)
		return NULL;
	if (kd->vector_count == 1)
		return &kd->vectors[0];
	return &kd->vectors[1 + slot % (kd->vector_count - 1)];
}

static u64 kvmchan_make_bell(const struct kvmchan_channel *ch)
{
	u64 flags = 0;

	if (ch->kd->doorbell)
		flags |= KVMCHAN_BELL_RINGS;
	if (ch->vector)
		flags |= KVMCHAN_BELL_RINGABLE;
	return kvmchan_bell_make(ch->kd->id, ch->vector ? ch->vector->index : 0,
				 flags);
}

static void kvmchan_channel_bind(struct kvmchan_channel *ch)
{
	struct kvmchan_session *s = &ch->session;
	void *base = ch->kd->memory.base;
	struct kvmchan_control __kvmchan_shared *control =
		(struct kvmchan_control __kvmchan_shared __force *)
		(base + le64_to_cpu(ch->slot.control));
	struct kvmchan_slot __kvmchan_shared *slot =
		(struct kvmchan_slot __kvmchan_shared __force *)
		(base + ch->kd->table_offset) + ch->index;
	unsigned int me = ch->side;

	s->own = &control->side[me].session;
	s->own_index = &control->side[me].index;
	s->peer = &control->side[!me].session;
	s->peer_index = &control->side[!me].index;
	s->own_reaped = &slot->reaped[me];
	s->peer_reaped = &slot->reaped[!me];
	ch->tx.size = le64_to_cpu(ch->slot.data_size[me]);
	ch->tx.own = s->own_index;
	ch->tx.peer = s->peer_index;
	ch->rx.size = le64_to_cpu(ch->slot.data_size[!me]);
	ch->rx.own = s->own_index;
	ch->rx.peer = s->peer_index;
}

static struct kvmchan_channel *
kvmchan_channel_alloc(struct kvmchan_device *kd, u32 index,
		      const struct kvmchan_slot *slot, unsigned int side)
{
	struct kvmchan_channel *ch = kzalloc(sizeof(*ch), GFP_KERNEL);

	if (!ch)
		return NULL;
	ch->kd = kd;
	ch->index = index;
	ch->slot = *slot;
	ch->side = side;
	ch->vector = kvmchan_pick_vector(kd, index);
	ch->bell = kvmchan_make_bell(ch);
	INIT_LIST_HEAD(&ch->on_vector);
	mutex_init(&ch->open_lock);
	mutex_init(&ch->rx_mutex);
	mutex_init(&ch->tx_mutex);
	spin_lock_init(&ch->link_lock);
	spin_lock_init(&ch->rx_lock);
	spin_lock_init(&ch->tx_lock);
	init_waitqueue_head(&ch->rx_wait);
	init_waitqueue_head(&ch->tx_wait);
	kvmchan_channel_bind(ch);
	ch->rx_want = 1;
	ch->tx_lowat = ch->tx.size / 2;
	ch->tx_want = ch->tx_lowat;
	return ch;
}

/**
 * kvmchan_channel_show_bell() - publish where we can be rung
 * @ch: channel
 *
 * Whenever somebody opens the node, because whoever may write the region may
 * have written over the word since the last time.
 *
 * Context: process; the caller holds kd->srcu or runs before the node exists.
 */
void kvmchan_channel_show_bell(struct kvmchan_channel *ch)
{
	kvmchan_store_release(&ch->session.own->bell, ch->bell);
}

/*
 * Publishes our address, ends what a former life left open, and rings in its
 * place.
 */
static void kvmchan_channel_attach(struct kvmchan_channel *ch)
{
	unsigned long flags;
	unsigned int todo;

	kvmchan_channel_show_bell(ch);
	spin_lock_irqsave(&ch->link_lock, flags);
	todo = kvmchan_session_attach(&ch->session, &ch->tx);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (todo & KVMCHAN_RING_PEER)
		kvmchan_ring_peer(ch);
}

/**
 * kvmchan_channel_add() - make the channel of a slot, and its node
 * @kd:    device
 * @index: slot number
 * @slot:  checked copy of the slot
 * @side:  which side falls to us
 *
 * Context: table work.
 * Return: the channel, entered in @kd->channels, or ERR_PTR.
 */
struct kvmchan_channel *kvmchan_channel_add(struct kvmchan_device *kd,
					    u32 index,
					    const struct kvmchan_slot *slot,
					    unsigned int side)
{
	struct kvmchan_channel *ch;
	int minor, err;

	minor = kvmchan_minor_get();
	if (minor < 0)
		return ERR_PTR(minor);
	ch = kvmchan_channel_alloc(kd, index, slot, side);
	if (!ch) {
		kvmchan_minor_put(minor);
		return ERR_PTR(-ENOMEM);
	}
	kvmchan_device_get(kd);
	device_initialize(&ch->dev);
	ch->dev.class = &kvmchan_class;
	ch->dev.parent = &kd->pdev->dev;
	ch->dev.devt = MKDEV(MAJOR(kvmchan_devt), minor);
	ch->dev.release = kvmchan_channel_dev_release;
	err = dev_set_name(&ch->dev, KVMCHAN_DRIVER "%d", minor);
	if (err)
		goto err_put;
	err = xa_err(xa_store(&kd->channels, index, ch, GFP_KERNEL));
	if (err)
		goto err_put;
	if (ch->vector)
		list_add_tail_rcu(&ch->on_vector, &ch->vector->channels);
	kvmchan_channel_attach(ch);
	/* All works before the node can be opened. */
	cdev_init(&ch->cdev, &kvmchan_fops);
	ch->cdev.owner = THIS_MODULE;
	err = cdev_device_add(&ch->cdev, &ch->dev);
	if (err)
		goto err_unlink;
	kvmchan_debugfs_add(ch);
	return ch;

err_unlink:
	xa_erase(&kd->channels, index);
	if (ch->vector)
		list_del_rcu(&ch->on_vector);
	synchronize_rcu();
err_put:
	put_device(&ch->dev);
	return ERR_PTR(err);
}

/* From now on open files get ENODEV and EPOLLHUP. */
static void kvmchan_channel_refuse(struct kvmchan_channel *ch)
{
	WRITE_ONCE(ch->gone, true);
	kvmchan_channel_wake(ch);
}

/**
 * kvmchan_channel_hangup() - end the session, if there is one, in order
 * @ch: channel that no file operation uses, or whose open_lock is held
 *
 * Unless the slot is gone: then it is for the peer as well, and the pages may
 * be another channel's.
 *
 * Context: any; the caller holds kd->srcu or runs before removal.
 */
void kvmchan_channel_hangup(struct kvmchan_channel *ch)
{
	bool holds = kvmchan_table_holds(ch);
	unsigned long flags;

	spin_lock_irqsave(&ch->link_lock, flags);
	if (!holds)
		ch->session.phase = KVMCHAN_PHASE_CLOSED;
	else if (ch->session.phase != KVMCHAN_PHASE_CLOSED)
		kvmchan_session_close(&ch->session);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (holds)
		kvmchan_ring_peer(ch);
}

/**
 * kvmchan_channels_hangup() - end all sessions, refuse all that comes
 * @kd: device whose table is not followed any more
 *
 * Context: process. On return no file operation touches the region.
 */
void kvmchan_channels_hangup(struct kvmchan_device *kd)
{
	struct kvmchan_channel *ch;
	unsigned long index;

	xa_for_each(&kd->channels, index, ch)
		kvmchan_channel_refuse(ch);
	synchronize_srcu(&kd->srcu);
	xa_for_each(&kd->channels, index, ch)
		kvmchan_channel_hangup(ch);
}

/**
 * kvmchan_channel_retire() - take a node away, and refuse all that comes
 * @ch:      channel, no longer in kd->channels
 * @retired: list that it is put on, for kvmchan_channels_bury()
 *
 * Context: table work or removal.
 */
void kvmchan_channel_retire(struct kvmchan_channel *ch,
			    struct list_head *retired)
{
	kvmchan_debugfs_remove(ch);
	cdev_device_del(&ch->cdev, &ch->dev);
	kvmchan_channel_refuse(ch);
	list_add_tail(&ch->retired, retired);
}

/**
 * kvmchan_channels_bury() - end the sessions of retired channels, let go
 * @kd:      their device
 * @retired: list of kvmchan_channel_retire(); empty afterwards
 *
 * All at once, because each grace period takes its time. Open files keep the
 * structures alive, not the region.
 *
 * Context: table work or removal.
 */
void kvmchan_channels_bury(struct kvmchan_device *kd,
			   struct list_head *retired)
{
	struct kvmchan_channel *ch, *next;

	if (list_empty(retired))
		return;
	synchronize_srcu(&kd->srcu);
	list_for_each_entry(ch, retired, retired) {
		kvmchan_channel_hangup(ch);
		kvmchan_mmap_revoke(ch);
		if (ch->vector)
			list_del_rcu(&ch->on_vector);
	}
	/* Interrupt and poll timer walk their lists under RCU. */
	synchronize_rcu();
	list_for_each_entry_safe(ch, next, retired, retired) {
		list_del(&ch->retired);
		put_device(&ch->dev);
	}
}

/**
 * kvmchan_channel_wake() - everybody look again
 * @ch: channel
 *
 * Context: any.
 */
void kvmchan_channel_wake(struct kvmchan_channel *ch)
{
	wake_up_interruptible_all(&ch->rx_wait);
	wake_up_interruptible_all(&ch->tx_wait);
	kill_fasync(&ch->fasync, SIGIO, POLL_IN);
}

static void kvmchan_channel_look(struct kvmchan_channel *ch)
{
	unsigned long flags;
	unsigned int todo;

	spin_lock_irqsave(&ch->link_lock, flags);
	todo = kvmchan_session_look(&ch->session);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	if (todo & KVMCHAN_RING_PEER)
		kvmchan_ring_peer(ch);
}

/**
 * kvmchan_channel_check() - has the peer done something? Wake whom it concerns
 * @ch: channel
 *
 * Compares the peer's words with what was seen last; every change is followed
 * by a wake-up, so a ring, which always comes after the change that it is
 * about, is never lost. A peer that rings without a change wakes nobody.
 *
 * Context: any, also interrupt.
 * Return: whether there was a change.
 */
bool kvmchan_channel_check(struct kvmchan_channel *ch)
{
	const struct kvmchan_session *s = &ch->session;
	u64 reaped = kvmchan_load(s->peer_reaped) ^
		     kvmchan_load(s->own_reaped) << KVMCHAN_EPOCH_BITS;
	u64 link = kvmchan_load_acquire(&s->peer->link);
	u64 prod = kvmchan_load(&s->peer_index->tx_prod);
	u64 cons = kvmchan_load(&s->peer_index->rx_cons);
	bool rx = prod != READ_ONCE(ch->seen_prod);
	bool tx = cons != READ_ONCE(ch->seen_cons);

	WRITE_ONCE(ch->seen_prod, prod);
	WRITE_ONCE(ch->seen_cons, cons);
	if (link != READ_ONCE(ch->seen_link) ||
	    reaped != READ_ONCE(ch->seen_reaped)) {
		WRITE_ONCE(ch->seen_link, link);
		WRITE_ONCE(ch->seen_reaped, reaped);
		kvmchan_channel_look(ch);
		/* Also those who poll for nothing but the end. */
		kvmchan_channel_wake(ch);
		return true;
	}
	if (rx) {
		wake_up_interruptible_poll(&ch->rx_wait, EPOLLIN | EPOLLRDNORM);
		kill_fasync(&ch->fasync, SIGIO, POLL_IN);
	}
	if (tx) {
		wake_up_interruptible_poll(&ch->tx_wait,
					   EPOLLOUT | EPOLLWRNORM);
		kill_fasync(&ch->fasync, SIGIO, POLL_OUT);
	}
	return rx || tx;
}

/**
 * kvmchan_channel_poll_cap() - how often must the timer look, at the least?
 * @ch: channel
 *
 * A channel whose peer has not come yet, but which can be rung when it comes,
 * is looked at only for the case that the peer turns out to have no doorbell.
 *
 * Context: any.
 * Return: the longest interval in ns; 0: no need to look.
 */
u64 kvmchan_channel_poll_cap(struct kvmchan_channel *ch)
{
	if (!(READ_ONCE(ch->claimed) || READ_ONCE(ch->mappers)) ||
	    kvmchan_is_gone(ch))
		return 0;
	if (kvmchan_irq_masked(ch))
		return kvmchan_poll_max();
	if (kvmchan_session_rung(&ch->session, ch->bell))
		return 0;
	if ((ch->bell & KVMCHAN_BELL_RINGABLE) &&
	    !kvmchan_load(&ch->session.peer->bell) &&
	    !(kvmchan_load(&ch->session.peer->link) & KVMCHAN_LINK_OPEN))
		return KVMCHAN_POLL_ABSENT_NS;
	return kvmchan_poll_max();
}

/**
 * kvmchan_channel_state() - how the session stands
 * @ch: channel
 *
 * Context: process; the caller holds kd->srcu.
 * Return: enum kvmchan_state.
 */
unsigned int kvmchan_channel_state(struct kvmchan_channel *ch)
{
	unsigned int state = KVMCHAN_STATE_WAITING;
	struct kvmchan_session *s = &ch->session;
	unsigned long flags;

	kvmchan_channel_look(ch);
	spin_lock_irqsave(&ch->link_lock, flags);
	if (s->phase == KVMCHAN_PHASE_CLOSED)
		state = KVMCHAN_STATE_CLOSED;
	else if (READ_ONCE(ch->broken))
		state = KVMCHAN_STATE_BROKEN;
	else if (s->peer_gone)
		state = KVMCHAN_STATE_DISCONNECTED;
	else if (s->confirmed)
		state = KVMCHAN_STATE_CONNECTED;
	spin_unlock_irqrestore(&ch->link_lock, flags);
	return state;
}

/**
 * kvmchan_break() - the peer broke the protocol
 * @ch:   channel
 * @what: what is wrong, for the log
 *
 * Sticky for this session, in both directions; said once.
 *
 * Context: any that holds kd->srcu; no lock of the channel.
 */
void kvmchan_break(struct kvmchan_channel *ch, const char *what)
{
	unsigned long flags;

	if (xchg(&ch->broken, true))
		return;
	atomic64_inc(&ch->protocol_errors);
	dev_warn_ratelimited(&ch->dev, "%.63s: peer broke the protocol: %s\n",
			     ch->slot.name, what);
	spin_lock_irqsave(&ch->link_lock, flags);
	if (ch->session.phase != KVMCHAN_PHASE_CLOSED)
		kvmchan_session_flags(&ch->session, KVMCHAN_LINK_NO_WRITER |
				      KVMCHAN_LINK_NO_READER);
	spin_unlock_irqrestore(&ch->link_lock, flags);
	kvmchan_ring_peer(ch);
	kvmchan_channel_wake(ch);
}
