// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem's doorbells alone, for benchmarks: the shortest way from an
 * interrupt to a process that sleeps in read(), and from write() to a peer.
 *
 * The driver has no table of IDs: it gets only devices whose driver_override
 * names it, so it never takes one from kvmchan. /dev/bench-doorbell: read()
 * waits for an interrupt that this open file has not seen, be it from before it
 * was opened, and gives how many came by then (u64); write() rings: u32,
 * peer << 16 | vector.
 */
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define BENCH_BAR_REGS		0
#define BENCH_REG_DOORBELL	12

/* One device at a time is enough. */
static void __iomem *regs;
static atomic64_t rings;
static DECLARE_WAIT_QUEUE_HEAD(rung);

static irqreturn_t bench_interrupt(int irq, void *data)
{
	atomic64_inc(&rings);
	wake_up_interruptible(&rung);
	return IRQ_HANDLED;
}

static ssize_t bench_read(struct file *file, char __user *to, size_t bytes,
			  loff_t *seen)
{
	u64 now;
	int err;

	if (bytes < sizeof(now))
		return -EINVAL;
	err = wait_event_interruptible(rung,
				       atomic64_read(&rings) != *seen);
	if (err)
		return err;
	now = atomic64_read(&rings);
	*seen = now;
	return put_user(now, (u64 __user *)to) ?: sizeof(now);
}

static ssize_t bench_write(struct file *file, const char __user *from,
			   size_t bytes, loff_t *seen)
{
	u32 target;

	if (bytes != sizeof(target))
		return -EINVAL;
	if (get_user(target, (const u32 __user *)from))
		return -EFAULT;
	iowrite32(target, regs + BENCH_REG_DOORBELL);
	return sizeof(target);
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.read = bench_read,
	.write = bench_write,
};

static struct miscdevice bench_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bench-doorbell",
	.fops = &bench_fops,
};

static int bench_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int err;

	if (regs)
		return -EBUSY;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_iomap_regions(pdev, BIT(BENCH_BAR_REGS), KBUILD_MODNAME);
	if (err)
		return err;
	/* Without bus mastering the device drops MSI-X messages silently. */
	pci_set_master(pdev);
	err = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSIX);
	if (err < 0)
		return err;
	err = request_irq(pci_irq_vector(pdev, 0), bench_interrupt, 0,
			  KBUILD_MODNAME, NULL);
	if (err)
		goto err_vectors;
	regs = pcim_iomap_table(pdev)[BENCH_BAR_REGS];
	err = misc_register(&bench_device);
	if (err)
		goto err_irq;
	return 0;

err_irq:
	regs = NULL;
	free_irq(pci_irq_vector(pdev, 0), NULL);
err_vectors:
	pci_free_irq_vectors(pdev);
	return err;
}

/* Whoever takes the device away has closed the file before. */
static void bench_remove(struct pci_dev *pdev)
{
	misc_deregister(&bench_device);
	regs = NULL;
	free_irq(pci_irq_vector(pdev, 0), NULL);
	pci_free_irq_vectors(pdev);
}

static struct pci_driver bench_driver = {
	.name = "bench_doorbell",
	.probe = bench_probe,
	.remove = bench_remove,
};
module_pci_driver(bench_driver);

MODULE_DESCRIPTION("Bare doorbells of an ivshmem device, for benchmarks of kvmchan");
MODULE_AUTHOR("The kvmchan authors");
MODULE_LICENSE("GPL");
