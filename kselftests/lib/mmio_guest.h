/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guests of arm64 and riscv have in common: MMIO is all that they can do,
 * and KVM gives and takes their registers one at a time (KVM_SET_ONE_REG).
 */
#ifndef KSELFTESTS_MMIO_GUEST_H
#define KSELFTESTS_MMIO_GUEST_H

#include "vm.h"

struct reg_value {
	uint64_t id, value;
};

/* Set @count registers, in this order; 0, or -errno of the first that fails */
int vcpu_set_regs(const struct vcpu *vcpu, const struct reg_value *regs,
		  size_t count);
int vcpu_get_reg(const struct vcpu *vcpu, uint64_t id, uint64_t *value);

/* Where in the guest the loop is that does @io; 0 if its program has none */
uint64_t mmio_loop(const struct guest_io *io);

/* Set the registers from which @vcpu does @io; -EINVAL if its program cannot */
int vcpu_start_loop(struct vcpu *vcpu, const struct guest_io *io,
		    const struct reg_value *regs, size_t count);

#endif /* KSELFTESTS_MMIO_GUEST_H */
