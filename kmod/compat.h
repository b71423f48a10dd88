/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmchan: the only place that asks which kernel this is. Floor: Linux 6.1.
 */
#ifndef KVMCHAN_COMPAT_H
#define KVMCHAN_COMPAT_H

#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kvmchan needs Linux 6.1 or later"
#endif

/* 6.5 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define copy_splice_read generic_file_splice_read
#endif

/* 6.17 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define system_percpu_wq system_wq
#endif

/* 6.2 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define kvmchan_devnode_arg struct device
#else
#define kvmchan_devnode_arg const struct device
#endif

/* 6.3 */
static inline void kvmchan_vm_flags_set(struct vm_area_struct *vma,
					unsigned long flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	vma->vm_flags |= flags;
#else
	vm_flags_set(vma, flags);
#endif
}

/* 6.3 */
static inline void kvmchan_vm_flags_clear(struct vm_area_struct *vma,
					  unsigned long flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	vma->vm_flags &= ~flags;
#else
	vm_flags_clear(vma, flags);
#endif
}

/* 6.13 */
static inline void
kvmchan_hrtimer_setup(struct hrtimer *timer,
		      enum hrtimer_restart (*function)(struct hrtimer *))
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	timer->function = function;
#else
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
#endif
}

/* 6.12: no_llseek went away, NULL says the same */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#define KVMCHAN_NO_LLSEEK .llseek = no_llseek,
#else
#define KVMCHAN_NO_LLSEEK
#endif

/* 6.10: the source is taken from __string() */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define kvmchan_assign_str(dst, src) __assign_str(dst, src)
#else
#define kvmchan_assign_str(dst, src) __assign_str(dst)
#endif

#endif /* KVMCHAN_COMPAT_H */
