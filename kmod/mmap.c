// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: memory of the region mapped into a process: a memory slot's block,
 * or the rings of a channel.
 *
 * Pages are put in by the fault handler, inside kd->srcu, so that removal can
 * first stop new ones and then take away all that are there; whoever touches
 * them afterwards gets SIGBUS.
 */
#include <linux/delay.h>
#include <linux/mm.h>

#include "kvmchan.h"
#include "view.h"

/* A fault brings in so many pages: they will all be used. */
#define KVMCHAN_FAULT_PAGES	16

static bool kvmchan_shows(const struct kvmchan_channel *ch, u64 offset,
			  struct kvmchan_view *v)
{
	unsigned int rings = 0;

	if (READ_ONCE(ch->rx_mapped))
		rings |= KVMCHAN_RING_RX;
	if (READ_ONCE(ch->tx_mapped))
		rings |= KVMCHAN_RING_TX;
	return kvmchan_view_find(v, &ch->slot, ch->side, rings, offset);
}

/* ---- faults ---- */

static vm_fault_t kvmchan_fault_result(int err)
{
	/* Another thread of the process was faster. */
	if (!err || err == -EBUSY)
		return VM_FAULT_NOPAGE;
	return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

static vm_fault_t kvmchan_fault_insert(struct kvmchan_channel *ch,
				       struct vm_area_struct *vma,
				       unsigned long address, pgoff_t pgoff)
{
	const struct kvmchan_memory *m = &ch->kd->memory;
	u64 offset = (u64)pgoff << PAGE_SHIFT;
	struct kvmchan_view v;
	unsigned long pfn;

	if (!kvmchan_shows(ch, offset, &v))
		return VM_FAULT_SIGBUS;
	pfn = PHYS_PFN(m->start + kvmchan_view_at(&v, offset));
	if (m->pages)
		return kvmchan_fault_result(vm_insert_page(vma, address,
							   pfn_to_page(pfn)));
	return vmf_insert_pfn(vma, address, pfn);
}

static vm_fault_t kvmchan_fault_insert_some(struct kvmchan_channel *ch,
					    struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	vm_fault_t ret = kvmchan_fault_insert(ch, vma, vmf->address,
					      vmf->pgoff);
	unsigned long address = vmf->address;
	unsigned int i;

	for (i = 1; i < KVMCHAN_FAULT_PAGES && ret == VM_FAULT_NOPAGE; i++) {
		address += PAGE_SIZE;
		if (address >= vma->vm_end ||
		    kvmchan_fault_insert(ch, vma, address, vmf->pgoff + i) !=
		    VM_FAULT_NOPAGE)
			break;
	}
	return ret;
}

static vm_fault_t kvmchan_vm_fault(struct vm_fault *vmf)
{
	struct kvmchan_file *f = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	int idx = srcu_read_lock(&f->ch->kd->srcu);

	if (!kvmchan_is_gone(f->ch) && kvmchan_table_holds(f->ch))
		ret = kvmchan_fault_insert_some(f->ch, vmf);
	srcu_read_unlock(&f->ch->kd->srcu, idx);
	return ret;
}

static const struct vm_operations_struct kvmchan_vm_ops = {
	.fault = kvmchan_vm_fault,
};

/* ---- mmap ---- */

static int kvmchan_mmap_check(const struct kvmchan_channel *ch,
			      const struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	struct kvmchan_view v;

	if (!kvmchan_is_memory(ch) && !kvmchan_is_mapped(ch))
		return -ENODEV;
	if (!(vma->vm_flags & VM_MAYSHARE) ||
	    !kvmchan_shows(ch, offset, &v) ||
	    length > v.span - (offset - v.base))
		return -EINVAL;
	return !v.writable && vma->vm_flags & VM_WRITE ? -EACCES : v.writable;
}

/**
 * kvmchan_mmap() - file operation: map a memory slot, or rings, shared
 * @file: open node
 * @vma:  where to
 *
 * Context: process, mmap_lock held.
 * Return: 0; -ENODEV for a channel whose rings were not taken, -EINVAL when
 * @vma is private or shows more than there is, -EACCES to write what is the
 * peer's, -EBUSY.
 */
int kvmchan_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvmchan_channel *ch =
		((struct kvmchan_file *)file->private_data)->ch;
	int writable = kvmchan_mmap_check(ch, vma);
	int err;

	if (writable < 0)
		return writable;
	if (!kvmchan_is_memory(ch)) {
		err = kvmchan_mapping_claim(file->private_data,
					    file->f_mapping);
		if (err)
			return err;
		kvmchan_vm_flags_set(vma, VM_DONTCOPY);
	}
	if (!writable)
		kvmchan_vm_flags_clear(vma, VM_MAYWRITE);
	kvmchan_vm_flags_set(vma, VM_IO | VM_DONTEXPAND | VM_DONTDUMP |
			     (ch->kd->memory.pages ? VM_MIXEDMAP : VM_PFNMAP));
	vma->vm_ops = &kvmchan_vm_ops;
	return 0;
}

/* ---- taking it away ---- */

/* Is any page of the range still held, by a TLB batch or a pin? */
static bool kvmchan_pages_held(const struct kvmchan_channel *ch, u64 start,
			       u64 size)
{
	unsigned long pfn = PHYS_PFN(ch->kd->memory.start + start);
	u64 pages = size >> PAGE_SHIFT;
	u64 i;

	for (i = 0; i < pages; i++)
		if (page_ref_count(pfn_to_page(pfn + i)) > 1)
			return true;
	return false;
}

static bool kvmchan_any_held(const struct kvmchan_channel *ch)
{
	const struct kvmchan_slot *slot = &ch->slot;

	return kvmchan_pages_held(ch, le64_to_cpu(slot->control),
				  sizeof(struct kvmchan_control)) ||
	       kvmchan_pages_held(ch, le64_to_cpu(slot->data[0]),
				  le64_to_cpu(slot->data_size[0])) ||
	       kvmchan_pages_held(ch, le64_to_cpu(slot->data[1]),
				  le64_to_cpu(slot->data_size[1]));
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
	bool shown;

	/* A mapping keeps its file open, and an open file its inode. */
	mutex_lock(&ch->open_lock);
	shown = ch->shown;
	if (ch->mappers)
		unmap_mapping_range(ch->mapping, 0, 0, 1);
	mutex_unlock(&ch->open_lock);
	if (!shown || !ch->kd->memory.pages)
		return;
	while (kvmchan_any_held(ch))
		msleep(20);
}
