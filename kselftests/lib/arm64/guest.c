// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tiny guest on arm64: at EL1, with its MMU on. Without, all memory would be
 * Device memory, where an unaligned access is a fault of the guest's own (Arm ARM,
 * "Alignment of data accesses").
 */
#include <stdio.h>

#include "mmio_guest.h"
#include "vm_arch.h"

#define BLOCK		(1ull << 0)	/* at level 1: a GiB */
#define INNER_SHAREABLE	(3ull << 8)
#define ACCESSED	(1ull << 10)
#define BLOCK_SIZE	(1ull << 30)
#define BLOCKS		512

#define MAIR_NORMAL	0xffull		/* of index 0: write-back */
/* 39 bits of address, so that the walk begins at level 1; 4 KiB; cached */
#define TCR_T0SZ	(64 - 39)
#define TCR_CACHED	(1ull << 8 | 1ull << 10 | 3ull << 12)
#define TCR_EPD1	(1ull << 23)	/* no second half */
#define TCR_IPS_40	(2ull << 32)	/* what KVM gives a VM by default */
#define SCTLR_M		(1ull << 0)
#define SCTLR_C		(1ull << 2)
#define SCTLR_I		(1ull << 12)

#define SCTLR_EL1	ARM64_SYS_REG(3, 0, 1, 0, 0)
#define TTBR0_EL1	ARM64_SYS_REG(3, 0, 2, 0, 0)
#define TCR_EL1		ARM64_SYS_REG(3, 0, 2, 0, 2)
#define MAIR_EL1	ARM64_SYS_REG(3, 0, 10, 2, 0)

#define EL1H_MASKED	0x3c5ull	/* no interrupt, no debugging */

#define CORE(reg)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(regs.reg))

void arch_write_page_tables(uint8_t *ram)
{
	uint64_t *blocks = (uint64_t *)(ram + GUEST_BLOCKS_GPA);
	uint64_t i;

	for (i = 0; i < BLOCKS; i++)
		blocks[i] = i * BLOCK_SIZE | BLOCK | INNER_SHAREABLE | ACCESSED;
}

int arch_vcpu_init(struct vcpu *vcpu, const struct vm *vm)
{
	struct reg_value regs[] = {
		{ MAIR_EL1, MAIR_NORMAL },
		{ TCR_EL1, TCR_T0SZ | TCR_CACHED | TCR_EPD1 | TCR_IPS_40 },
		{ TTBR0_EL1, GUEST_BLOCKS_GPA },
		{ SCTLR_EL1, SCTLR_M | SCTLR_C | SCTLR_I },
	};
	struct kvm_vcpu_init init = {};
	uint64_t sctlr;
	int ret;

	ret = sys_ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init);
	if (!ret)
		ret = sys_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init);
	if (!ret)
		ret = vcpu_get_reg(vcpu, SCTLR_EL1, &sctlr);
	if (ret)
		return ret;
	regs[3].value |= sctlr;
	return vcpu_set_regs(vcpu, regs, sizeof(regs) / sizeof(regs[0]));
}

const char *guest_cannot(const struct guest_io *io)
{
	if (io->bus == BUS_PIO)
		return "arm64 has no ports";
	if (io->bus == BUS_HYPERCALL)
		return "KVM on arm64 has no hypercall that rings";
	if (io->len == 16)
		return "the processor does not describe a store of two registers to KVM";
	if (!mmio_loop(io))
		return "arm64 has no such access";
	if (io->len && io->addr / 4096 != (io->addr + io->len - 1) / 4096)
		return "KVM on arm64 does not split a store across pages";
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, const struct guest_io *io)
{
	const struct reg_value regs[] = {
		{ CORE(regs[0]), io->data },
		{ CORE(regs[1]), io->step },
		{ CORE(regs[2]), io->times ? io->times : 1 },
		{ CORE(regs[3]), io->addr },
		{ CORE(regs[4]), GUEST_DONE_PORT },
		{ CORE(regs[5]), GUEST_DATA_GPA },
		{ CORE(pstate), EL1H_MASKED },
		{ CORE(pc), mmio_loop(io) },
	};

	return vcpu_start_loop(vcpu, io, regs, sizeof(regs) / sizeof(regs[0]));
}

int vcpu_read_data(const struct vcpu *vcpu, uint64_t *data)
{
	return vcpu_get_reg(vcpu, CORE(regs[0]), data);
}

void vcpu_where(const struct vcpu *vcpu, char *text, size_t size)
{
	uint64_t pc, left;

	if (vcpu_get_reg(vcpu, CORE(pc), &pc) ||
	    vcpu_get_reg(vcpu, CORE(regs[2]), &left))
		snprintf(text, size, "it does not say where");
	else
		snprintf(text, size, "pc %#llx, x2 %#llx", (unsigned long long)pc,
			 (unsigned long long)left);
}
