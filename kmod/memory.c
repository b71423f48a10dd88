// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: BAR2 in the kernel's address space, write-back wherever it lies.
 *
 * BAR2 is the host's ordinary memory. Below 4 GiB, x86's MTRRs call the PCI
 * hole uncachable, and memremap(), ioremap_cache() and the linear mapping of
 * devm_memremap_pages() all obey and give UC-. A vmap() of struct pages does
 * not ask the MTRRs. On hosts that honour the guest's memory type (AMD), UC
 * is many times slower.
 *
 * Struct pages also give user mappings the type of the VMA and not of the
 * MTRR. They need a BAR of whole memory sections (2 MiB); a smaller one is
 * mapped with vmap_pfn() where the kernel has it.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "kvmchan.h"

#define KVMCHAN_BAR_MEMORY 2

#ifdef CONFIG_ZONE_DEVICE
static void *kvmchan_memory_vmap(struct kvmchan_memory *m)
{
	unsigned long pfn = PHYS_PFN(m->start);
	unsigned int count = m->size >> PAGE_SHIFT;
	struct page **pages;
	unsigned int i;
	void *base;

	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++)
		pages[i] = pfn_to_page(pfn + i);
	base = vmap(pages, count, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return base;
}

static int kvmchan_memory_map_pages(struct kvmchan_memory *m,
				    struct pci_dev *pdev)
{
	void *linear;

	m->pgmap.type = MEMORY_DEVICE_GENERIC;
	m->pgmap.range.start = m->start;
	m->pgmap.range.end = m->start + m->size - 1;
	m->pgmap.nr_range = 1;
	linear = memremap_pages(&m->pgmap, dev_to_node(&pdev->dev));
	if (IS_ERR(linear))
		return PTR_ERR(linear);
	m->base = kvmchan_memory_vmap(m);
	if (!m->base) {
		memunmap_pages(&m->pgmap);
		return -ENOMEM;
	}
	m->unmap = vunmap;
	m->pages = true;
	m->type = "write-back";
	return 0;
}

static void kvmchan_memory_unmap_pages(struct kvmchan_memory *m)
{
	memunmap_pages(&m->pgmap);
}
#else
static int kvmchan_memory_map_pages(struct kvmchan_memory *m,
				    struct pci_dev *pdev)
{
	return -EOPNOTSUPP;
}

static void kvmchan_memory_unmap_pages(struct kvmchan_memory *m)
{
}
#endif

#ifdef CONFIG_VMAP_PFN
static void *kvmchan_memory_vmap_pfn(struct kvmchan_memory *m)
{
	unsigned int count = m->size >> PAGE_SHIFT;
	unsigned long *pfns;
	unsigned int i;
	void *base;

	pfns = kvmalloc_array(count, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		return NULL;
	for (i = 0; i < count; i++)
		pfns[i] = PHYS_PFN(m->start) + i;
	base = vmap_pfn(pfns, count, PAGE_KERNEL);
	kvfree(pfns);
	return base;
}
#else
static void *kvmchan_memory_vmap_pfn(struct kvmchan_memory *m)
{
	return NULL;
}
#endif

static void kvmchan_memunmap(const void *base)
{
	memunmap((void *)base);
}

static int kvmchan_memory_map_small(struct kvmchan_memory *m)
{
	m->type = "write-back";
	m->unmap = vunmap;
	m->base = kvmchan_memory_vmap_pfn(m);
	if (m->base)
		return 0;
	/* What this gives is up to the platform: see pat_memtype_list. */
	m->type = "platform";
	m->unmap = kvmchan_memunmap;
	m->base = memremap(m->start, m->size, MEMREMAP_WB);
	return m->base ? 0 : -ENOMEM;
}

/**
 * kvmchan_memory_map() - map BAR2
 * @m:    zeroed; filled in
 * @pdev: enabled device
 *
 * Context: process.
 * Return: 0 or -errno.
 */
int kvmchan_memory_map(struct kvmchan_memory *m, struct pci_dev *pdev)
{
	int err;

	m->start = pci_resource_start(pdev, KVMCHAN_BAR_MEMORY);
	m->size = pci_resource_len(pdev, KVMCHAN_BAR_MEMORY);
	if (!m->start || m->size < KVMCHAN_PAGE_SIZE) {
		dev_err(&pdev->dev,
			"BAR2 has no memory: did the firmware leave room for it? (pref64-reserve= of its pcie-root-port)\n");
		return -ENODEV;
	}
	err = pci_request_region(pdev, KVMCHAN_BAR_MEMORY, KVMCHAN_DRIVER);
	if (err)
		return err;
	err = -EOPNOTSUPP;
	if (m->size >= SZ_2M)
		err = kvmchan_memory_map_pages(m, pdev);
	if (err)
		err = kvmchan_memory_map_small(m);
	if (err)
		pci_release_region(pdev, KVMCHAN_BAR_MEMORY);
	return err;
}

/**
 * kvmchan_memory_unmap() - undo kvmchan_memory_map()
 * @m:    mapped memory that nobody uses any more
 * @pdev: its device
 *
 * Context: process.
 */
void kvmchan_memory_unmap(struct kvmchan_memory *m, struct pci_dev *pdev)
{
	m->unmap(m->base);
	if (m->pages)
		kvmchan_memory_unmap_pages(m);
	pci_release_region(pdev, KVMCHAN_BAR_MEMORY);
}
