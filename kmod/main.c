// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: module, class and minor numbers.
 */
#include <linux/idr.h>
#include <linux/module.h>

#include "kvmchan.h"

dev_t kvmchan_devt;
static DEFINE_IDA(kvmchan_minors);

static char *kvmchan_devnode(kvmchan_devnode_arg *dev, umode_t *mode)
{
	if (mode)
		*mode = 0660;
	return NULL;
}

struct class kvmchan_class = {
	.name = KVMCHAN_DRIVER,
	.dev_groups = kvmchan_channel_groups,
	.devnode = kvmchan_devnode,
};

/**
 * kvmchan_minor_get() - take a free minor number
 *
 * Context: process.
 * Return: 0 to KVMCHAN_MAX_MINORS - 1, or -errno.
 */
int kvmchan_minor_get(void)
{
	return ida_alloc_max(&kvmchan_minors, KVMCHAN_MAX_MINORS - 1,
			     GFP_KERNEL);
}

/**
 * kvmchan_minor_put() - give a minor number back
 * @minor: of kvmchan_minor_get()
 */
void kvmchan_minor_put(int minor)
{
	ida_free(&kvmchan_minors, minor);
}

static int __init kvmchan_init(void)
{
	int err;

	err = alloc_chrdev_region(&kvmchan_devt, 0, KVMCHAN_MAX_MINORS,
				  KVMCHAN_DRIVER);
	if (err)
		return err;
	err = class_register(&kvmchan_class);
	if (err)
		goto err_region;
	kvmchan_debugfs_init();
	err = pci_register_driver(&kvmchan_pci_driver);
	if (err)
		goto err_class;
	return 0;

err_class:
	kvmchan_debugfs_exit();
	class_unregister(&kvmchan_class);
err_region:
	unregister_chrdev_region(kvmchan_devt, KVMCHAN_MAX_MINORS);
	return err;
}
module_init(kvmchan_init);

static void __exit kvmchan_exit(void)
{
	pci_unregister_driver(&kvmchan_pci_driver);
	kvmchan_debugfs_exit();
	class_unregister(&kvmchan_class);
	unregister_chrdev_region(kvmchan_devt, KVMCHAN_MAX_MINORS);
	ida_destroy(&kvmchan_minors);
}
module_exit(kvmchan_exit);

MODULE_DESCRIPTION("Channels between virtual machines and their host over ivshmem");
MODULE_AUTHOR("The kvmchan authors");
MODULE_LICENSE("GPL");
