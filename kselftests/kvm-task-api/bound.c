// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bound.h"
#include "describe.h"

int bind_fd(int fd)
{
	return sys_ioctl(fd, KVM_BIND, NULL);
}

int unbind_fd(int fd)
{
	return sys_ioctl(fd, KVM_UNBIND, NULL);
}

int kvm_vcpu_run(unsigned int flags)
{
	long ret = syscall(__NR_kvm_vcpu_run, flags);

	return ret < 0 ? -errno : ret;
}

int kvm_vm_call(unsigned int call, unsigned long arg)
{
	long ret = syscall(__NR_kvm_vm_call, call, arg);

	return ret < 0 ? -errno : ret;
}

int bound_check_extension(long cap)
{
	return kvm_vm_call(KVM_VM_CALL_CHECK_EXTENSION, cap);
}

int bound_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	int ret = kvm_vcpu_run(0);

	return ret < 0 ? ret : vcpu_event(vcpu, exit);
}

int bound_do(struct vcpu *vcpu, const struct guest_io *io,
	     struct guest_exit *exits, int max)
{
	return guest_do_by(bound_run, vcpu, io, exits, max);
}

static int works(int (*run)(struct vcpu *vcpu, struct guest_exit *exit),
		 struct vcpu *vcpu)
{
	const struct guest_io io = {
		.op = GUEST_WRITE, .bus = BUS_PIO, .addr = 0xb400, .len = 4,
		.data = 0x44332211,
	};
	struct guest_exit exit = {};
	int ret = guest_do_by(run, vcpu, &io, &exit, 1);

	if (ret < 0)
		return ret;
	return ret == 1 && exit_matches(&exit, &io) ? 0 : -EPROTO;
}

int bound_works(struct vcpu *vcpu)
{
	return works(bound_run, vcpu);
}

int kvm_run_works(struct vcpu *vcpu)
{
	return works(vcpu_run, vcpu);
}
