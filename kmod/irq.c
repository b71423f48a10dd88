// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: doorbells in (MSI-X) and out (BAR0).
 *
 * Vector 0 also says that the table changed; channels are spread over the
 * others. A ring carries no message: whoever is rung looks at the words in
 * shared memory. Rings coalesce.
 */
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "kvmchan.h"
#include "regs.h"
#include "trace.h"

/*
 * A peer that rings without cause is cut off: after so many interrupts in a
 * row without work the vector is masked, for twice as long each time, and its
 * channels are polled. An honest peer makes an empty interrupt now and then,
 * when a poll or a busy reader was faster, but not a thousand in a row.
 */
#define KVMCHAN_EMPTY_LIMIT	1000
#define KVMCHAN_BACKOFF_MIN	msecs_to_jiffies(10)
#define KVMCHAN_BACKOFF_MAX	msecs_to_jiffies(1000)

/* Looks at all channels of a vector; says whether any had work. */
static bool kvmchan_vector_check(struct kvmchan_vector *v)
{
	struct kvmchan_channel *ch;
	bool work = false;

	rcu_read_lock();
	list_for_each_entry_rcu(ch, &v->channels, on_vector) {
		if (kvmchan_channel_check(ch)) {
			atomic64_inc(&ch->interrupts);
			work = true;
		} else {
			atomic64_inc(&ch->empty_interrupts);
		}
	}
	rcu_read_unlock();
	return work;
}

static void kvmchan_vector_throttle(struct kvmchan_vector *v)
{
	struct kvmchan_channel *ch;

	disable_irq_nosync(v->irq);
	WRITE_ONCE(v->masked, true);
	dev_warn_ratelimited(&v->kd->pdev->dev,
			     "vector %u is rung without cause: masked for %u ms\n",
			     v->index, jiffies_to_msecs(v->backoff));
	mod_delayed_work(system_percpu_wq, &v->unmask, v->backoff);
	v->backoff = min(v->backoff * 2, KVMCHAN_BACKOFF_MAX);
	v->empty = 0;
	rcu_read_lock();
	list_for_each_entry_rcu(ch, &v->channels, on_vector)
		kvmchan_poll_soon(ch);
	rcu_read_unlock();
}

static void kvmchan_vector_unmask(struct work_struct *work)
{
	struct kvmchan_vector *v = container_of(to_delayed_work(work),
						struct kvmchan_vector, unmask);

	WRITE_ONCE(v->masked, false);
	enable_irq(v->irq);
	/* What was rung meanwhile may have been lost. */
	kvmchan_vector_check(v);
	if (!v->index)
		kvmchan_table_rescan(v->kd, false);
}

static irqreturn_t kvmchan_irq(int irq, void *data)
{
	struct kvmchan_vector *v = data;
	bool work = kvmchan_vector_check(v);

	if (!v->index) {
		u64 now = kvmchan_load(&kvmchan_superblock(v->kd)->generation);

		if (now != READ_ONCE(v->kd->generation)) {
			kvmchan_table_rescan(v->kd, false);
			work = true;
		}
	}
	trace_kvmchan_irq(&v->kd->pdev->dev, v->index, work);
	if (work) {
		v->empty = 0;
		v->backoff = KVMCHAN_BACKOFF_MIN;
	} else if (++v->empty > KVMCHAN_EMPTY_LIMIT) {
		kvmchan_vector_throttle(v);
	}
	return IRQ_HANDLED;
}

static void kvmchan_vector_init(struct kvmchan_device *kd, unsigned int i)
{
	struct kvmchan_vector *v = &kd->vectors[i];

	v->kd = kd;
	v->index = i;
	/* Looking it up takes a mutex, and the handler needs it. */
	v->irq = pci_irq_vector(kd->pdev, i);
	v->backoff = KVMCHAN_BACKOFF_MIN;
	INIT_LIST_HEAD(&v->channels);
	INIT_DELAYED_WORK(&v->unmask, kvmchan_vector_unmask);
	snprintf(v->name, sizeof(v->name), KVMCHAN_DRIVER "-%u:%s", i,
		 pci_name(kd->pdev));
}

/*
 * The vectors of several channels begin on several CPUs; whoever knows better
 * moves them through /proc/irq. Vector 0 is for the table, and is left where
 * it is, unless all share it.
 */
static void kvmchan_irq_spread(struct kvmchan_device *kd)
{
	int node = dev_to_node(&kd->pdev->dev);
	unsigned int i, cpu;

	for (i = 1; i < kd->vector_count; i++) {
		cpu = cpumask_local_spread((i - 1) % num_online_cpus(), node);
		irq_set_affinity_and_hint(kd->vectors[i].irq, cpumask_of(cpu));
	}
}

static int kvmchan_irq_request(struct kvmchan_device *kd, unsigned int count)
{
	unsigned int i;
	int err;

	kd->vectors = kcalloc(count, sizeof(*kd->vectors), GFP_KERNEL);
	if (!kd->vectors)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		kvmchan_vector_init(kd, i);
	for (i = 0; i < count; i++) {
		err = request_irq(kd->vectors[i].irq, kvmchan_irq, 0,
				  kd->vectors[i].name, &kd->vectors[i]);
		if (err)
			goto err_free;
	}
	kd->vector_count = count;
	kvmchan_irq_spread(kd);
	return 0;

err_free:
	while (i--)
		free_irq(kd->vectors[i].irq, &kd->vectors[i]);
	kfree(kd->vectors);
	kd->vectors = NULL;
	return err;
}

/**
 * kvmchan_irq_setup() - find the flavour and switch the interrupts on
 * @kd: device with its registers mapped
 *
 * A doorbell device whose vectors cannot be had still works, by polling.
 *
 * Context: process.
 * Return: 0 or -errno.
 */
int kvmchan_irq_setup(struct kvmchan_device *kd)
{
	int count = pci_msix_vec_count(kd->pdev);
	int err;

	kd->doorbell = count > 0;
	if (!kd->doorbell)
		return 0;
	count = pci_alloc_irq_vectors(kd->pdev, 1,
				      min(count, KVMCHAN_MAX_VECTORS),
				      PCI_IRQ_MSIX);
	if (count < 0) {
		dev_warn(&kd->pdev->dev, "no MSI-X vectors (%d): polling\n",
			 count);
		return 0;
	}
	err = kvmchan_irq_request(kd, count);
	if (err)
		pci_free_irq_vectors(kd->pdev);
	return err;
}

/**
 * kvmchan_irq_teardown() - switch the interrupts off
 * @kd: device without channels
 *
 * Context: process.
 */
void kvmchan_irq_teardown(struct kvmchan_device *kd)
{
	unsigned int i;

	if (!kd->vector_count)
		return;
	for (i = 0; i < kd->vector_count; i++) {
		struct kvmchan_vector *v = &kd->vectors[i];

		/* After this nothing can mask it and start the work again. */
		disable_irq(v->irq);
		cancel_delayed_work_sync(&v->unmask);
		irq_update_affinity_hint(v->irq, NULL);
		free_irq(v->irq, v);
	}
	pci_free_irq_vectors(kd->pdev);
	kfree(kd->vectors);
	kd->vectors = NULL;
	kd->vector_count = 0;
}

/**
 * kvmchan_irq_masked() - is the vector of this channel cut off at present?
 * @ch: channel
 */
bool kvmchan_irq_masked(const struct kvmchan_channel *ch)
{
	return ch->vector && READ_ONCE(ch->vector->masked);
}

/**
 * kvmchan_ring_peer() - ring the other side of a channel
 * @ch: channel
 *
 * The address is what the peer published: at worst a wrong one rings somebody
 * of the same region without cause. writel() orders the ring after the stores
 * that it is about.
 *
 * Context: any; the caller holds kd->srcu or runs before removal.
 */
void kvmchan_ring_peer(struct kvmchan_channel *ch)
{
	u64 bell;

	if (!ch->kd->doorbell)
		return;
	bell = kvmchan_load(&ch->session.peer->bell);
	if (!(bell & KVMCHAN_BELL_RINGABLE))
		return;
	writel(kvmchan_bell_peer(bell) << 16 | kvmchan_bell_vector(bell),
	       ch->kd->regs + KVMCHAN_REG_DOORBELL);
	atomic64_inc(&ch->doorbells);
	trace_kvmchan_doorbell(&ch->dev, kvmchan_bell_peer(bell),
			       kvmchan_bell_vector(bell));
}
