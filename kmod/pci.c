// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: the ivshmem PCI device, ivshmem-plain and ivshmem-doorbell alike.
 *
 * Specification: QEMU, docs/specs/ivshmem-spec.txt. Both flavours have the
 * same ID; the MSI-X capability tells them apart.
 */
#include <linux/module.h>

#include "kvmchan.h"
#include "regs.h"

#define KVMCHAN_PCI_VENDOR	0x1af4
#define KVMCHAN_PCI_DEVICE	0x1110

static unsigned int side = 1;
module_param(side, uint, 0444);
MODULE_PARM_DESC(side, "side to take where the table leaves both open: 0 or 1 (default 1; the host takes 0)");

static void kvmchan_device_free(struct kref *kref)
{
	struct kvmchan_device *kd = container_of(kref, struct kvmchan_device,
						 kref);

	cleanup_srcu_struct(&kd->srcu);
	xa_destroy(&kd->channels);
	kfree(kd);
}

/**
 * kvmchan_device_get() - keep a device's structure
 * @kd: device
 */
void kvmchan_device_get(struct kvmchan_device *kd)
{
	kref_get(&kd->kref);
}

/**
 * kvmchan_device_put() - end kvmchan_device_get()
 * @kd: device
 *
 * Context: process.
 */
void kvmchan_device_put(struct kvmchan_device *kd)
{
	kref_put(&kd->kref, kvmchan_device_free);
}

static struct kvmchan_device *kvmchan_device_alloc(struct pci_dev *pdev)
{
	struct kvmchan_device *kd = kzalloc(sizeof(*kd), GFP_KERNEL);

	if (!kd)
		return NULL;
	if (init_srcu_struct(&kd->srcu)) {
		kfree(kd);
		return NULL;
	}
	kref_init(&kd->kref);
	xa_init(&kd->channels);
	kd->pdev = pdev;
	kd->id = KVMCHAN_PEER_ANY;
	kd->prefer_side = side & 1;
	kvmchan_poll_init(kd);
	kvmchan_table_init(kd);
	return kd;
}

static int kvmchan_map_registers(struct kvmchan_device *kd)
{
	int err = pci_request_region(kd->pdev, KVMCHAN_BAR_REGS,
				     KVMCHAN_DRIVER);

	if (err)
		return err;
	kd->regs = pci_iomap(kd->pdev, KVMCHAN_BAR_REGS, KVMCHAN_REGS_SIZE);
	if (kd->regs)
		return 0;
	pci_release_region(kd->pdev, KVMCHAN_BAR_REGS);
	return -ENOMEM;
}

static void kvmchan_unmap_registers(struct kvmchan_device *kd)
{
	pci_iounmap(kd->pdev, kd->regs);
	pci_release_region(kd->pdev, KVMCHAN_BAR_REGS);
}

static int kvmchan_pci_probe(struct pci_dev *pdev,
			     const struct pci_device_id *ent)
{
	struct kvmchan_device *kd;
	int err;

	kd = kvmchan_device_alloc(pdev);
	if (!kd)
		return -ENOMEM;
	err = pci_enable_device(pdev);
	if (err)
		goto err_put;
	err = kvmchan_map_registers(kd);
	if (err)
		goto err_disable;
	err = kvmchan_memory_map(&kd->memory, pdev);
	if (err)
		goto err_registers;
	/* Without bus mastering the device drops MSI-X messages silently. */
	pci_set_master(pdev);
	err = kvmchan_irq_setup(kd);
	if (err)
		goto err_memory;
	pci_set_drvdata(pdev, kd);
	dev_info(&pdev->dev, "ivshmem-%s, %llu KiB %s, %u vectors\n",
		 kd->doorbell ? "doorbell" : "plain",
		 (u64)kd->memory.size >> 10, kd->memory.type,
		 kd->vector_count);
	/* Interrupts are on before the first look at a peer's words. */
	kvmchan_table_start(kd);
	return 0;

err_memory:
	pci_clear_master(pdev);
	kvmchan_memory_unmap(&kd->memory, pdev);
err_registers:
	kvmchan_unmap_registers(kd);
err_disable:
	pci_disable_device(pdev);
err_put:
	kvmchan_device_put(kd);
	return err;
}

static void kvmchan_remove_channels(struct kvmchan_device *kd)
{
	struct kvmchan_channel *ch;
	unsigned long index;
	LIST_HEAD(retired);

	xa_for_each(&kd->channels, index, ch) {
		xa_erase(&kd->channels, index);
		kvmchan_channel_retire(ch, &retired);
	}
	kvmchan_channels_bury(kd, &retired);
}

static void kvmchan_pci_remove(struct pci_dev *pdev)
{
	struct kvmchan_device *kd = pci_get_drvdata(pdev);

	kvmchan_table_stop(kd);
	/*
	 * Each channel ends its session and rings its peer while the device
	 * still works, and waits for the file operations that are in it.
	 */
	kvmchan_remove_channels(kd);
	WRITE_ONCE(kd->gone, true);
	synchronize_srcu(&kd->srcu);
	kvmchan_poll_stop(kd);
	kvmchan_irq_teardown(kd);
	pci_clear_master(pdev);
	kvmchan_memory_unmap(&kd->memory, pdev);
	kvmchan_unmap_registers(kd);
	pci_disable_device(pdev);
	kvmchan_device_put(kd);
}

/* The guest restarts or powers off: peers learn it now, not by silence. */
static void kvmchan_pci_shutdown(struct pci_dev *pdev)
{
	struct kvmchan_device *kd = pci_get_drvdata(pdev);

	kvmchan_table_stop(kd);
	kvmchan_channels_hangup(kd);
	pci_clear_master(pdev);
}

static int kvmchan_pci_suspend(struct device *dev)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);

	kvmchan_table_stop(kd);
	kvmchan_poll_stop(kd);
	return 0;
}

static int kvmchan_pci_resume(struct device *dev)
{
	struct kvmchan_device *kd = dev_get_drvdata(dev);
	struct kvmchan_channel *ch;
	unsigned long index;

	/*
	 * The PCI core has brought MSI-X back; what was rung in between is
	 * lost, so everybody looks for himself.
	 */
	xa_for_each(&kd->channels, index, ch) {
		kvmchan_channel_check(ch);
		kvmchan_channel_wake(ch);
		kvmchan_poll_soon(ch);
	}
	kvmchan_table_start(kd);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(kvmchan_pm_ops, kvmchan_pci_suspend,
				kvmchan_pci_resume);

static const struct pci_device_id kvmchan_pci_ids[] = {
	{ PCI_DEVICE(KVMCHAN_PCI_VENDOR, KVMCHAN_PCI_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, kvmchan_pci_ids);

struct pci_driver kvmchan_pci_driver = {
	.name = KVMCHAN_DRIVER,
	.id_table = kvmchan_pci_ids,
	.probe = kvmchan_pci_probe,
	.remove = kvmchan_pci_remove,
	.shutdown = kvmchan_pci_shutdown,
	.dev_groups = kvmchan_device_groups,
	.driver.pm = pm_sleep_ptr(&kvmchan_pm_ops),
};
