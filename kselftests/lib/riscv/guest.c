// SPDX-License-Identifier: GPL-2.0-only
/* The tiny guest on riscv: in supervisor mode, without page tables. */
#include <stddef.h>
#include <stdio.h>

#include "mmio_guest.h"
#include "vm_arch.h"

#define SUPERVISOR	1ull

#define CORE(reg)	(KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | \
			 KVM_REG_RISCV_CORE_REG(reg))

/* A vCPU begins with satp 0: its addresses are the VM's */
void arch_write_page_tables(uint8_t *ram)
{
	(void)ram;
}

/* All but the first of a VM wait for SBI to start them (arch/riscv/kvm/vcpu.c) */
int arch_vcpu_init(struct vcpu *vcpu, const struct vm *vm)
{
	const struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	(void)vm;
	return sys_ioctl(vcpu->fd, KVM_SET_MP_STATE, &state);
}

const char *guest_cannot(const struct guest_io *io)
{
	if (io->bus == BUS_PIO)
		return "riscv has no ports";
	if (io->bus == BUS_HYPERCALL)
		return "KVM on riscv has no hypercall that rings";
	if (io->len == 16)
		return "riscv has no store of 16 bytes";
	if (!mmio_loop(io))
		return "riscv has no such access";
	/* kvm_riscv_vcpu_mmio_store() of arch/riscv/kvm/vcpu_insn.c: -EIO */
	if (io->len && io->addr % io->len)
		return "KVM on riscv takes no unaligned MMIO";
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, const struct guest_io *io)
{
	const struct reg_value regs[] = {
		{ CORE(regs.a0), io->data },
		{ CORE(regs.a1), io->step },
		{ CORE(regs.a2), io->times ? io->times : 1 },
		{ CORE(regs.a3), io->addr },
		{ CORE(regs.a4), GUEST_DONE_PORT },
		{ CORE(regs.a5), GUEST_DATA_GPA },
		{ CORE(mode), SUPERVISOR },
		{ CORE(regs.pc), mmio_loop(io) },
	};

	return vcpu_start_loop(vcpu, io, regs, sizeof(regs) / sizeof(regs[0]));
}

int vcpu_read_data(const struct vcpu *vcpu, uint64_t *data)
{
	return vcpu_get_reg(vcpu, CORE(regs.a0), data);
}

void vcpu_where(const struct vcpu *vcpu, char *text, size_t size)
{
	uint64_t pc, left;

	if (vcpu_get_reg(vcpu, CORE(regs.pc), &pc) ||
	    vcpu_get_reg(vcpu, CORE(regs.a2), &left))
		snprintf(text, size, "it does not say where");
	else
		snprintf(text, size, "pc %#llx, a2 %#llx", (unsigned long long)pc,
			 (unsigned long long)left);
}
