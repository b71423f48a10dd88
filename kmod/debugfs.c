// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: /sys/kernel/debug/kvmchan/kvmchanN, a channel's words as they are:
 * what the region holds beside what the driver believes.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "kvmchan.h"

static struct dentry *kvmchan_debugfs_root;

static void kvmchan_show_page(struct seq_file *m, const char *who,
			      const struct kvmchan_session_page __kvmchan_shared *s,
			      const struct kvmchan_index_page __kvmchan_shared *x)
{
	u64 link = kvmchan_load(&s->link);

	seq_printf(m, "%s.epoch %llu\n", who, kvmchan_link_epoch(link));
	seq_printf(m, "%s.acked %llu\n", who, kvmchan_link_acked(link));
	seq_printf(m, "%s.flags%s%s%s%s\n", who,
		   link & KVMCHAN_LINK_OPEN ? " open" : "",
		   link & KVMCHAN_LINK_PAIRED ? " paired" : "",
		   link & KVMCHAN_LINK_NO_WRITER ? " no-writer" : "",
		   link & KVMCHAN_LINK_NO_READER ? " no-reader" : "");
	seq_printf(m, "%s.bell %#llx\n", who, kvmchan_load(&s->bell));
	seq_printf(m, "%s.tx_start %llu\n", who, kvmchan_load(&s->tx_start));
	seq_printf(m, "%s.tx_prod %llu\n", who, kvmchan_load(&x->tx_prod));
	seq_printf(m, "%s.rx_cons %llu\n", who, kvmchan_load(&x->rx_cons));
	seq_printf(m, "%s.rx_event %llu\n", who, kvmchan_load(&x->rx_event));
	seq_printf(m, "%s.tx_event %llu\n", who, kvmchan_load(&x->tx_event));
}

static void kvmchan_show_private(struct seq_file *m,
				 struct kvmchan_channel *ch)
{
	static const char *const phases[] = {
		[KVMCHAN_PHASE_CLOSED] = "closed",
		[KVMCHAN_PHASE_WAITING] = "waiting",
		[KVMCHAN_PHASE_PAIRED] = "paired",
		[KVMCHAN_PHASE_OVER] = "over",
	};

	seq_printf(m, "phase %s\n", phases[READ_ONCE(ch->session.phase)]);
	seq_printf(m, "confirmed %d\n", READ_ONCE(ch->session.confirmed));
	seq_printf(m, "peer_gone %d\n", READ_ONCE(ch->session.peer_gone));
	seq_printf(m, "broken %d\n", READ_ONCE(ch->broken));
	seq_printf(m, "mapped%s%s\n", READ_ONCE(ch->rx_mapped) ? " rx" : "",
		   READ_ONCE(ch->tx_mapped) ? " tx" : "");
	seq_printf(m, "rx.cons %llu\n", READ_ONCE(ch->rx.cons));
	seq_printf(m, "rx.prod %llu\n", READ_ONCE(ch->rx.prod));
	seq_printf(m, "tx.prod %llu\n", READ_ONCE(ch->tx.prod));
	seq_printf(m, "tx.cons %llu\n", READ_ONCE(ch->tx.cons));
}

static int kvmchan_channel_show(struct seq_file *m, void *unused)
{
	struct kvmchan_channel *ch = m->private;
	struct kvmchan_session *s = &ch->session;
	int idx = srcu_read_lock(&ch->kd->srcu);

	if (!kvmchan_is_gone(ch)) {
		kvmchan_show_private(m, ch);
		kvmchan_show_page(m, "own", s->own, s->own_index);
		kvmchan_show_page(m, "peer", s->peer, s->peer_index);
		seq_printf(m, "own.reaped %llu\n",
			   kvmchan_load(s->own_reaped));
		seq_printf(m, "peer.reaped %llu\n",
			   kvmchan_load(s->peer_reaped));
	}
	srcu_read_unlock(&ch->kd->srcu, idx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kvmchan_channel);

/**
 * kvmchan_debugfs_init() - make the directory
 */
void kvmchan_debugfs_init(void)
{
	kvmchan_debugfs_root = debugfs_create_dir(KVMCHAN_DRIVER, NULL);
}

/**
 * kvmchan_debugfs_exit() - remove the directory
 */
void kvmchan_debugfs_exit(void)
{
	debugfs_remove(kvmchan_debugfs_root);
}

/**
 * kvmchan_debugfs_add() - show a channel
 * @ch: channel
 */
void kvmchan_debugfs_add(struct kvmchan_channel *ch)
{
	ch->debugfs = debugfs_create_file(dev_name(&ch->dev), 0400,
					  kvmchan_debugfs_root, ch,
					  &kvmchan_channel_fops);
}

/**
 * kvmchan_debugfs_remove() - no longer; waits for readers
 * @ch: channel
 */
void kvmchan_debugfs_remove(struct kvmchan_channel *ch)
{
	debugfs_remove(ch->debugfs);
}
