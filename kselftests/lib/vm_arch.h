/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each architecture provides for vm.c, in the folder of its name; besides
 * this, vcpu_start(), vcpu_read_data(), vcpu_where() and guest_cannot() of vm.h.
 */
#ifndef KSELFTESTS_VM_ARCH_H
#define KSELFTESTS_VM_ARCH_H

#include "vm.h"

/* The guest's program, which is copied to GUEST_CODE_GPA */
extern const uint8_t guest_code[], guest_code_end[];

/* Map addresses one to one, so that any of them can be stored to, where the MMU is on */
void arch_write_page_tables(uint8_t *ram);

/* Give a vCPU the state that the guest's program expects; 0 or -errno */
int arch_vcpu_init(struct vcpu *vcpu, const struct vm *vm);

#endif /* KSELFTESTS_VM_ARCH_H */
