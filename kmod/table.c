// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: from the region's table to channels, again whenever it changes.
 *
 * Runs as one work item a device, so never against itself. The superblock and
 * the table are copied under the generation (a seqlock whose writer is the
 * manager) and then checked as a whole; nothing else of the driver reads them
 * but the generation and the reaped words.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "kvmchan.h"
#include "regs.h"

/* The manager is at work, or the device is not attached: look again. */
#define KVMCHAN_TABLE_RETRY	msecs_to_jiffies(10)
/*
 * Without a manager that rings, or before there is a region at all, nobody
 * tells of a change: look at one word now and then.
 */
#define KVMCHAN_TABLE_POLL	msecs_to_jiffies(500)

/**
 * struct kvmchan_table - a private copy of superblock and table
 * @sb:      superblock
 * @slots:   slots
 * @extents: scratch
 * @why:     for each slot: NULL or why it cannot be used
 */
struct kvmchan_table {
	struct kvmchan_superblock sb;
	struct kvmchan_slot *slots;
	struct kvmchan_extent *extents;
	const char **why;
};

static void kvmchan_table_free(struct kvmchan_table *t)
{
	kvfree(t->slots);
	kvfree(t->extents);
	kvfree(t->why);
	kfree(t);
}

static int kvmchan_table_alloc_slots(struct kvmchan_table *t)
{
	u32 count = le32_to_cpu(t->sb.slot_count);

	t->slots = kvmalloc_array(count, sizeof(*t->slots), GFP_KERNEL);
	t->extents = kvmalloc_array(count * KVMCHAN_EXTENTS_PER_SLOT,
				    sizeof(*t->extents), GFP_KERNEL);
	t->why = kvmalloc_array(count, sizeof(*t->why), GFP_KERNEL);
	return t->slots && t->extents && t->why ? 0 : -ENOMEM;
}

/* 0, -EAGAIN: the manager is writing, -EINVAL: no good superblock, -ENOMEM */
static int kvmchan_table_snapshot(struct kvmchan_device *kd,
				  struct kvmchan_table *t)
{
	const __le64 __kvmchan_shared *generation;
	const void *base = kd->memory.base;
	const char *why;
	u64 before;
	int err;

	generation = &kvmchan_superblock(kd)->generation;
	before = kvmchan_load_acquire(generation);
	memcpy(&t->sb, base, sizeof(t->sb));
	why = kvmchan_superblock_check(&t->sb, kd->memory.size);
	if (why) {
		dev_dbg(&kd->pdev->dev, "region: %s\n", why);
		return -EINVAL;
	}
	if (before & 1)
		return -EAGAIN;
	err = kvmchan_table_alloc_slots(t);
	if (err)
		return err;
	memcpy(t->slots, base + le64_to_cpu(t->sb.table_offset),
	       le32_to_cpu(t->sb.slot_count) * sizeof(*t->slots));
	/* Pairs with the manager's release of an even generation. */
	virt_rmb();
	if (kvmchan_load(generation) != before)
		return -EAGAIN;
	t->sb.generation = cpu_to_le64(before);
	kvmchan_table_check(&t->sb, t->slots, t->extents, t->why);
	return 0;
}

/* Equal in all that makes a channel what it is; reaped words may differ. */
static bool kvmchan_slot_same(const struct kvmchan_slot *a,
			      const struct kvmchan_slot *b)
{
	return !memcmp(a, b, offsetof(struct kvmchan_slot, reaped));
}

/**
 * kvmchan_table_holds() - is a channel's slot still what it was?
 * @ch: channel
 *
 * Until the table work has heard of a change the channel is there, while its
 * pages may be another one's already. Who begins or ends a session, or shows
 * memory to a process, looks here first, and does not where the answer is no.
 *
 * Context: any; the caller holds kd->srcu or runs before removal.
 */
bool kvmchan_table_holds(const struct kvmchan_channel *ch)
{
	const struct kvmchan_superblock *sb = ch->kd->memory.base;
	struct kvmchan_device *kd = ch->kd;
	const struct kvmchan_slot *slots;

	if (kvmchan_load_acquire(&kvmchan_superblock(kd)->generation) ==
	    READ_ONCE(kd->generation))
		return true;
	slots = kd->memory.base + kd->table_offset;
	return !memcmp(sb->incarnation, kd->incarnation,
		       sizeof(kd->incarnation)) &&
	       kvmchan_slot_same(&ch->slot, &slots[ch->index]);
}

/* Which side of slot @i falls to us; -1: none. */
static int kvmchan_table_side(struct kvmchan_device *kd,
			      const struct kvmchan_table *t, u32 i)
{
	if (t->slots[i].kind == cpu_to_le32(KVMCHAN_KIND_FREE) || t->why[i])
		return -1;
	return kvmchan_slot_side(&t->slots[i], kd->id, kd->prefer_side);
}

static void kvmchan_table_drop(struct kvmchan_device *kd, u32 i,
			       struct list_head *retired)
{
	struct kvmchan_channel *ch = xa_erase(&kd->channels, i);

	if (ch)
		kvmchan_channel_retire(ch, retired);
}

static void kvmchan_table_clear(struct kvmchan_device *kd)
{
	struct kvmchan_channel *ch;
	unsigned long index;
	LIST_HEAD(retired);

	xa_for_each(&kd->channels, index, ch)
		kvmchan_table_drop(kd, index, &retired);
	kvmchan_channels_bury(kd, &retired);
	kd->formatted = false;
}

/* Takes away the channels that are not, or not so, in the table any more. */
static void kvmchan_table_prune(struct kvmchan_device *kd,
				const struct kvmchan_table *t)
{
	u32 count = le32_to_cpu(t->sb.slot_count);
	struct kvmchan_channel *ch;
	unsigned long index;
	LIST_HEAD(retired);

	xa_for_each(&kd->channels, index, ch) {
		if (index < count &&
		    kvmchan_table_side(kd, t, index) == ch->side &&
		    kvmchan_slot_same(&ch->slot, &t->slots[index]))
			continue;
		kvmchan_table_drop(kd, index, &retired);
	}
	kvmchan_channels_bury(kd, &retired);
}

static int kvmchan_table_add(struct kvmchan_device *kd,
			     const struct kvmchan_table *t, u32 i)
{
	int side = kvmchan_table_side(kd, t, i);
	struct kvmchan_channel *ch;

	if (t->why[i])
		dev_warn_ratelimited(&kd->pdev->dev, "slot %u left out: %s\n",
				     i, t->why[i]);
	if (side < 0 || xa_load(&kd->channels, i))
		return 0;
	ch = kvmchan_channel_add(kd, i, &t->slots[i], side);
	if (!IS_ERR(ch))
		return 0;
	dev_err_ratelimited(&kd->pdev->dev, "slot %u (%.63s): %ld\n", i,
			    t->slots[i].name, PTR_ERR(ch));
	return PTR_ERR(ch);
}

/*
 * Channels that cannot be made now, for want of memory or of minor numbers,
 * are tried again: what failed last is returned.
 */
static int kvmchan_table_apply(struct kvmchan_device *kd,
			       const struct kvmchan_table *t)
{
	u32 count = le32_to_cpu(t->sb.slot_count), i;
	int err, failed = 0;

	if (memcmp(kd->incarnation, t->sb.incarnation,
		   sizeof(kd->incarnation)) ||
	    kd->table_offset != le64_to_cpu(t->sb.table_offset))
		kvmchan_table_clear(kd);
	kd->table_offset = le64_to_cpu(t->sb.table_offset);
	memcpy(kd->incarnation, t->sb.incarnation, sizeof(kd->incarnation));
	/* First: who comes may get the place, or the side, of who goes. */
	kvmchan_table_prune(kd, t);
	for (i = 0; i < count; i++) {
		err = kvmchan_table_add(kd, t, i);
		if (err)
			failed = err;
		cond_resched();
	}
	kd->formatted = true;
	WRITE_ONCE(kd->generation, le64_to_cpu(t->sb.generation));
	return failed;
}

/* Our ID, once the device has it. False: not attached yet. */
static bool kvmchan_table_identify(struct kvmchan_device *kd)
{
	u32 id;

	if (!kd->doorbell || kd->id != KVMCHAN_PEER_ANY)
		return true;
	id = readl(kd->regs + KVMCHAN_REG_IVPOSITION);
	if (id > KVMCHAN_PEER_MAX)
		return false;
	kd->id = id;
	return true;
}

static bool kvmchan_table_unchanged(struct kvmchan_device *kd)
{
	const struct kvmchan_superblock *sb = kd->memory.base;

	return kd->formatted && !kd->table_force &&
	       kvmchan_load(&kvmchan_superblock(kd)->generation) ==
	       kd->generation &&
	       !memcmp(sb->incarnation, kd->incarnation,
		       sizeof(kd->incarnation));
}

static int kvmchan_table_read(struct kvmchan_device *kd)
{
	struct kvmchan_table *t;
	int err;

	if (!kvmchan_table_identify(kd))
		return -EINVAL;
	if (kvmchan_table_unchanged(kd))
		return 0;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	WRITE_ONCE(kd->table_force, false);
	err = kvmchan_table_snapshot(kd, t);
	if (!err)
		err = kvmchan_table_apply(kd, t);
	else if (err == -EINVAL)
		kvmchan_table_clear(kd);
	if (err && err != -EINVAL)
		WRITE_ONCE(kd->table_force, true);
	kvmchan_table_free(t);
	return err;
}

/* Does a manager ring us when the table changes? */
static bool kvmchan_table_rung(struct kvmchan_device *kd)
{
	return kd->vector_count && kd->formatted &&
	       !READ_ONCE(kd->vectors[0].masked) &&
	       (kvmchan_load(&kvmchan_superblock(kd)->manager) &
		KVMCHAN_BELL_RINGS);
}

static void kvmchan_table_queue(struct kvmchan_device *kd, unsigned long delay)
{
	if (!READ_ONCE(kd->table_stopped))
		mod_delayed_work(system_percpu_wq, &kd->table_work, delay);
}

static void kvmchan_table_work(struct work_struct *work)
{
	struct kvmchan_device *kd = container_of(to_delayed_work(work),
						 struct kvmchan_device,
						 table_work);
	int err = kvmchan_table_read(kd);

	if (err == -EAGAIN)
		kvmchan_table_queue(kd, KVMCHAN_TABLE_RETRY);
	else if (err || !kvmchan_table_rung(kd))
		kvmchan_table_queue(kd, KVMCHAN_TABLE_POLL);
}

/**
 * kvmchan_table_init() - prepare the work
 * @kd: new device
 */
void kvmchan_table_init(struct kvmchan_device *kd)
{
	kd->table_stopped = true;
	INIT_DELAYED_WORK(&kd->table_work, kvmchan_table_work);
}

/**
 * kvmchan_table_start() - read the table, and follow it from now on
 * @kd: device that works
 */
void kvmchan_table_start(struct kvmchan_device *kd)
{
	WRITE_ONCE(kd->table_stopped, false);
	kvmchan_table_rescan(kd, true);
}

/**
 * kvmchan_table_rescan() - read the table soon
 * @kd:    device
 * @force: even when its generation has not changed
 *
 * Context: any.
 */
void kvmchan_table_rescan(struct kvmchan_device *kd, bool force)
{
	if (force)
		WRITE_ONCE(kd->table_force, true);
	kvmchan_table_queue(kd, 0);
}

/**
 * kvmchan_table_rescan_wait() - read the table anew, now
 * @kd: device
 *
 * Context: process. On return nodes are what the table said, unless its
 * manager was changing it.
 */
void kvmchan_table_rescan_wait(struct kvmchan_device *kd)
{
	kvmchan_table_rescan(kd, true);
	flush_delayed_work(&kd->table_work);
}

/**
 * kvmchan_table_stop() - stop following the table
 * @kd: device
 *
 * Context: process. On return the work neither runs nor will run.
 */
void kvmchan_table_stop(struct kvmchan_device *kd)
{
	WRITE_ONCE(kd->table_stopped, true);
	cancel_delayed_work_sync(&kd->table_work);
	/* An interrupt that had not seen the flag yet. */
	synchronize_rcu();
	cancel_delayed_work_sync(&kd->table_work);
}
