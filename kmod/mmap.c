// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: named memory mapped into a process.
 *
 * Pages are put in by the fault handler, inside kd->srcu, so that removal can
 * first stop new ones and then take away all that are there; whoever touches
 * them afterwards gets SIGBUS.
 */
#include <linux/delay.h>
#include <linux/mm.h>

#include "kvmchan.h"

static vm_fault_t kvmchan_fault_result(int err)
{
	/* Another thread of the process was faster. */
	if (!err || err == -EBUSY)
		return VM_FAULT_NOPAGE;
	return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

static vm_fault_t kvmchan_fault_insert(struct kvmchan_channel *ch,
				       struct vm_fault *vmf)
{
	const struct kvmchan_memory *m = &ch->kd->memory;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	unsigned long pfn;

	if (offset >= le64_to_cpu(ch->slot.data_size[0]))
		return VM_FAULT_SIGBUS;
	pfn = PHYS_PFN(m->start + le64_to_cpu(ch->slot.data[0]) + offset);
	if (m->pages)
		return kvmchan_fault_result(vm_insert_page(vmf->vma,
							   vmf->address,
							   pfn_to_page(pfn)));
	return vmf_insert_pfn(vmf->vma, vmf->address, pfn);
}

static vm_fault_t kvmchan_vm_fault(struct vm_fault *vmf)
{
	struct kvmchan_file *f = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	int idx = srcu_read_lock(&f->ch->kd->srcu);

	if (!kvmchan_is_gone(f->ch))
		ret = kvmchan_fault_insert(f->ch, vmf);
	srcu_read_unlock(&f->ch->kd->srcu, idx);
	return ret;
}

static const struct vm_operations_struct kvmchan_vm_ops = {
	.fault = kvmchan_vm_fault,
};

/**
 * kvmchan_mmap() - file operation: map the memory of a memory slot, shared
 * @file: open node
 * @vma:  where to
 *
 * Return: 0; -ENODEV for a channel, -EINVAL when @vma is private or goes
 * past the block's end.
 */
int kvmchan_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvmchan_channel *ch =
		((struct kvmchan_file *)file->private_data)->ch;
	u64 pages = le64_to_cpu(ch->slot.data_size[0]) >> PAGE_SHIFT;

	if (!kvmchan_is_memory(ch))
		return -ENODEV;
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff > pages ||
	    vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	kvmchan_vm_flags_set(vma, VM_IO | VM_DONTEXPAND | VM_DONTDUMP |
			     (ch->kd->memory.pages ? VM_MIXEDMAP : VM_PFNMAP));
	vma->vm_ops = &kvmchan_vm_ops;
	return 0;
}

/* Is any page of the block still held, by a TLB batch or a pin? */
static bool kvmchan_pages_held(const struct kvmchan_channel *ch)
{
	const struct kvmchan_memory *m = &ch->kd->memory;
	unsigned long pfn = PHYS_PFN(m->start + le64_to_cpu(ch->slot.data[0]));
	u64 pages = le64_to_cpu(ch->slot.data_size[0]) >> PAGE_SHIFT;
	u64 i;

	for (i = 0; i < pages; i++)
		if (page_ref_count(pfn_to_page(pfn + i)) > 1)
			return true;
	return false;
}

/**
 * kvmchan_mmap_revoke() - take the memory away from all who have it mapped
 * @ch: channel that is gone
 *
 * Struct pages must not be freed while anybody holds one: waits for the last
 * reference, which after the zap is a TLB flush under way in another CPU or a
 * pin by direct I/O.
 *
 * Context: process.
 */
void kvmchan_mmap_revoke(struct kvmchan_channel *ch)
{
	if (!kvmchan_is_memory(ch))
		return;
	/* A mapping keeps its file open, and an open file its inode. */
	mutex_lock(&ch->open_lock);
	if (ch->openers)
		unmap_mapping_range(ch->mapping, 0, 0, 1);
	mutex_unlock(&ch->open_lock);
	if (!ch->kd->memory.pages)
		return;
	while (kvmchan_pages_held(ch))
		msleep(20);
}
