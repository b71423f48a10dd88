// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: attributes of channels (class kvmchan) and of ivshmem devices.
 * kmod/ABI documents each.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "kvmchan.h"

/* ---- a channel ---- */

static const char *const kvmchan_state_names[] = {
	[KVMCHAN_STATE_CLOSED] = "closed",
	[KVMCHAN_STATE_WAITING] = "waiting",
	[KVMCHAN_STATE_CONNECTED] = "connected",
	[KVMCHAN_STATE_DISCONNECTED] = "disconnected",
	[KVMCHAN_STATE_BROKEN] = "broken",
};

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%.63s\n", kvmchan_from_dev(dev)->slot.name);
}
static DEVICE_ATTR_RO(name);

static ssize_t kind_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", kvmchan_is_memory(kvmchan_from_dev(dev)) ?
			  "memory" : "channel");
}
static DEVICE_ATTR_RO(kind);

static ssize_t mode_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", kvmchan_is_packet(kvmchan_from_dev(dev)) ?
			  "packet" : "stream");
}
static DEVICE_ATTR_RO(mode);

static ssize_t side_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%u\n", kvmchan_from_dev(dev)->side);
}
static DEVICE_ATTR_RO(side);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);
	unsigned int state = KVMCHAN_STATE_CLOSED;
	int idx = srcu_read_lock(&ch->kd->srcu);

	if (!kvmchan_is_gone(ch))
		state = kvmchan_channel_state(ch);
	srcu_read_unlock(&ch->kd->srcu, idx);
	return sysfs_emit(buf, "%s\n", kvmchan_state_names[state]);
}
static DEVICE_ATTR_RO(state);

static ssize_t peer_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);
	int idx = srcu_read_lock(&ch->kd->srcu);
	u64 bell = 0;

	if (!kvmchan_is_gone(ch))
		bell = kvmchan_load(&ch->session.peer->bell);
	srcu_read_unlock(&ch->kd->srcu, idx);
	if (!(bell & KVMCHAN_BELL_RINGABLE))
		return sysfs_emit(buf, "none\n");
	return sysfs_emit(buf, "%u:%u\n", kvmchan_bell_peer(bell),
			  kvmchan_bell_vector(bell));
}
static DEVICE_ATTR_RO(peer);

static ssize_t vector_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);

	if (!ch->vector)
		return sysfs_emit(buf, "none\n");
	return sysfs_emit(buf, "%u\n", ch->vector->index);
}
static DEVICE_ATTR_RO(vector);

static ssize_t rx_size_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);

	return sysfs_emit(buf, "%llu\n", kvmchan_is_memory(ch) ?
			  le64_to_cpu(ch->slot.data_size[0]) : ch->rx.size);
}
static DEVICE_ATTR_RO(rx_size);

static ssize_t tx_size_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);

	return sysfs_emit(buf, "%llu\n", kvmchan_is_memory(ch) ? 0 :
			  ch->tx.size);
}
static DEVICE_ATTR_RO(tx_size);

static struct attribute *kvmchan_channel_attrs[] = {
	&dev_attr_name.attr,
	&dev_attr_kind.attr,
	&dev_attr_mode.attr,
	&dev_attr_side.attr,
	&dev_attr_state.attr,
	&dev_attr_peer.attr,
	&dev_attr_vector.attr,
	&dev_attr_rx_size.attr,
	&dev_attr_tx_size.attr,
	NULL
};

static const struct attribute_group kvmchan_channel_group = {
	.attrs = kvmchan_channel_attrs,
};

#define KVMCHAN_COUNTER(_name, _expr)					\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	struct kvmchan_channel *ch = kvmchan_from_dev(dev);		\
									\
	return sysfs_emit(buf, "%llu\n", (u64)(_expr));			\
}									\
static DEVICE_ATTR_RO(_name)

KVMCHAN_COUNTER(rx_bytes, READ_ONCE(ch->rx_stats.bytes) + kvmchan_rings_read(ch));
KVMCHAN_COUNTER(tx_bytes, READ_ONCE(ch->tx_stats.bytes) + kvmchan_rings_written(ch));
KVMCHAN_COUNTER(rx_records, READ_ONCE(ch->rx_stats.records));
KVMCHAN_COUNTER(tx_records, READ_ONCE(ch->tx_stats.records));
KVMCHAN_COUNTER(doorbells_sent, atomic64_read(&ch->doorbells));
KVMCHAN_COUNTER(doorbells_suppressed, READ_ONCE(ch->rx_stats.suppressed) +
				      READ_ONCE(ch->tx_stats.suppressed));
KVMCHAN_COUNTER(interrupts, atomic64_read(&ch->interrupts));
KVMCHAN_COUNTER(empty_interrupts, atomic64_read(&ch->empty_interrupts));
KVMCHAN_COUNTER(ring_empty, READ_ONCE(ch->rx_stats.stalls));
KVMCHAN_COUNTER(ring_full, READ_ONCE(ch->tx_stats.stalls));
KVMCHAN_COUNTER(protocol_errors, atomic64_read(&ch->protocol_errors));

static struct attribute *kvmchan_statistics_attrs[] = {
	&dev_attr_rx_bytes.attr,
	&dev_attr_tx_bytes.attr,
	&dev_attr_rx_records.attr,
	&dev_attr_tx_records.attr,
	&dev_attr_doorbells_sent.attr,
	&dev_attr_doorbells_suppressed.attr,
	&dev_attr_interrupts.attr,
	&dev_attr_empty_interrupts.attr,
	&dev_attr_ring_empty.attr,
	&dev_attr_ring_full.attr,
	&dev_attr_protocol_errors.attr,
	NULL
};

static const struct attribute_group kvmchan_statistics_group = {
	.name = "statistics",
	.attrs = kvmchan_statistics_attrs,
};

const struct attribute_group *kvmchan_channel_groups[] = {
	&kvmchan_channel_group,
	&kvmchan_statistics_group,
	NULL
};

/* ---- a device ---- */

static ssize_t flavour_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", kd->doorbell ? "doorbell" : "plain");
}
static DEVICE_ATTR_RO(flavour);

static ssize_t ivposition_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);
	u32 id = READ_ONCE(kd->id);

	return sysfs_emit(buf, "%d\n", id == KVMCHAN_PEER_ANY ? -1 : (int)id);
}
static DEVICE_ATTR_RO(ivposition);

static ssize_t vectors_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", kd->vector_count);
}
static DEVICE_ATTR_RO(vectors);

static ssize_t memory_type_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", kd->memory.type);
}
static DEVICE_ATTR_RO(memory_type);

static ssize_t memory_size_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%llu\n", (u64)kd->memory.size);
}
static DEVICE_ATTR_RO(memory_size);

static ssize_t incarnation_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	if (!READ_ONCE(kd->formatted))
		return sysfs_emit(buf, "none\n");
	return sysfs_emit(buf, "%16phN\n", kd->incarnation);
}
static DEVICE_ATTR_RO(incarnation);

static ssize_t prefer_side_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(kd->prefer_side));
}

static ssize_t prefer_side_store(struct device *dev,
				 struct device_attribute *attr,
				 const char *buf, size_t count)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);
	unsigned int value;
	int err = kstrtouint(buf, 0, &value);

	if (err)
		return err;
	if (value > 1)
		return -ERANGE;
	WRITE_ONCE(kd->prefer_side, value);
	kvmchan_table_rescan_wait(kd);
	return count;
}
static DEVICE_ATTR_RW(prefer_side);

static ssize_t rescan_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	kvmchan_table_rescan_wait(dev_get_drvdata(dev));
	return count;
}
static DEVICE_ATTR_WO(rescan);

static struct attribute *kvmchan_device_attrs[] = {
	&dev_attr_flavour.attr,
	&dev_attr_ivposition.attr,
	&dev_attr_vectors.attr,
	&dev_attr_memory_type.attr,
	&dev_attr_memory_size.attr,
	&dev_attr_incarnation.attr,
	&dev_attr_prefer_side.attr,
	&dev_attr_rescan.attr,
	NULL
};

static const struct attribute_group kvmchan_device_group = {
	.name = "ivshmem",
	.attrs = kvmchan_device_attrs,
};

const struct attribute_group *kvmchan_device_groups[] = {
	&kvmchan_device_group,
	NULL
};
