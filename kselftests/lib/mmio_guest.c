// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stddef.h>

#include "mmio_guest.h"
#include "vm_arch.h"

extern const uint8_t guest_store1[], guest_store2[], guest_store4[];
extern const uint8_t guest_store8[];
extern const uint8_t guest_load1[], guest_load2[], guest_load4[], guest_load8[];
extern const uint8_t guest_nothing[], guest_store4_wait[];

int vcpu_set_regs(const struct vcpu *vcpu, const struct reg_value *regs,
		  size_t count)
{
	struct kvm_one_reg reg;
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < count; i++) {
		reg.id = regs[i].id;
		reg.addr = (uintptr_t)&regs[i].value;
		ret = sys_ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg);
	}
	return ret;
}

int vcpu_get_reg(const struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return sys_ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg);
}

/* Let KVM complete an access that went to user space, which moves the pc */
static int vcpu_complete_access(struct vcpu *vcpu)
{
	int ret;

	if (vcpu->run->exit_reason != KVM_EXIT_MMIO)
		return 0;
	vcpu->run->immediate_exit = 1;
	ret = sys_ioctl(vcpu->fd, KVM_RUN, NULL);
	vcpu->run->immediate_exit = 0;
	return ret == -EINTR ? 0 : ret;
}

uint64_t mmio_loop(const struct guest_io *io)
{
	static const uint8_t *const stores[] = {
		guest_store1, guest_store2, guest_store4, guest_store8,
	};
	static const uint8_t *const loads[] = {
		guest_load1, guest_load2, guest_load4, guest_load8,
	};
	const uint8_t *loop = NULL;
	int i;

	if (io->op == GUEST_NOTHING)
		loop = guest_nothing;
	for (i = 0; i < 4; i++) {
		if (io->bus != BUS_MMIO || io->len != 1u << i)
			continue;
		if (io->op == GUEST_WRITE)
			loop = stores[i];
		if (io->op == GUEST_READ)
			loop = loads[i];
		if (io->op == GUEST_WRITE_AND_WAIT && io->len == 4)
			loop = guest_store4_wait;
	}
	return loop ? GUEST_CODE_GPA + (loop - guest_code) : 0;
}

int vcpu_start_loop(struct vcpu *vcpu, const struct guest_io *io,
		    const struct reg_value *regs, size_t count)
{
	int ret;

	if (!mmio_loop(io))
		return -EINVAL;
	ret = vcpu_complete_access(vcpu);
	return ret ? ret : vcpu_set_regs(vcpu, regs, count);
}
