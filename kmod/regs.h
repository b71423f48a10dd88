/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmchan: registers of the ivshmem device in BAR0, 32-bit accesses only.
 *
 * Source: QEMU, docs/specs/ivshmem-spec.txt, "BAR 0 contents". The interrupt
 * mask and status registers at 0 and 4 do nothing in revision 1.
 */
#ifndef KVMCHAN_REGS_H
#define KVMCHAN_REGS_H

#define KVMCHAN_BAR_REGS	0
#define KVMCHAN_REGS_SIZE	256

#define KVMCHAN_REG_IVPOSITION	8	/* read: our ID, -1: not attached yet */
#define KVMCHAN_REG_DOORBELL	12	/* write: peer << 16 | vector */

#endif /* KVMCHAN_REGS_H */
