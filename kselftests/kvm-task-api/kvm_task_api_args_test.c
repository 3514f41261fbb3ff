// SPDX-License-Identifier: GPL-2.0-only
/* What the ioctls and the system calls say to arguments, and to nothing being bound. */
#include <fcntl.h>

#include "fixture.h"

TEST_F(kvm_task_api, capability)
{
	int kvm;

	EXPECT_RET(1, vm_check_extension(&self->vm, KVM_CAP_TASK_API));
	ASSERT_FD(kvm, kvm_open());
	EXPECT_RET(1, sys_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_TASK_API));
	close(kvm);
}

TEST_F(kvm_task_api, bind_takes_no_argument)
{
	const int fds[] = { self->vcpu.fd, self->vm.fd };
	const unsigned long args[] = { 1, 1ul << 32, ~0ul, (uintptr_t)fds };
	size_t i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < sizeof(args) / sizeof(args[0]); j++) {
			EXPECT_RET(-EINVAL, sys_ioctl(fds[i], KVM_BIND,
						      (void *)args[j]));
		}
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, unbind_takes_no_argument)
{
	const int fds[] = { self->vcpu.fd, self->vm.fd };
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, bind_fd(fds[i]));
		EXPECT_RET(-EINVAL, sys_ioctl(fds[i], KVM_UNBIND, (void *)1ul));
		EXPECT_RET(-EINVAL, sys_ioctl(fds[i], KVM_UNBIND,
					      (void *)(1ul << 32)));
	}
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

/* Each has its own word for an ioctl that it does not know */
TEST_F(kvm_task_api, other_descriptors)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	int kvm, null;

	ASSERT_FD(kvm, kvm_open());
	EXPECT_RET(-EINVAL, bind_fd(kvm));
	EXPECT_RET(-EINVAL, unbind_fd(kvm));
	close(kvm);
	ASSERT_RET(0, sys_ioctl(self->vm.fd, KVM_CREATE_DEVICE, &device));
	EXPECT_RET(-ENOTTY, bind_fd(device.fd));
	EXPECT_RET(-ENOTTY, unbind_fd(device.fd));
	close(device.fd);
	ASSERT_FD(null, open("/dev/null", O_RDWR | O_CLOEXEC));
	EXPECT_RET(-ENOTTY, bind_fd(null));
	close(null);
	EXPECT_RET(-EBADF, bind_fd(-1));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, nothing_bound)
{
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	/* A VM that lives, and a vCPU that has been run, are not bound by that */
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, run_takes_no_flags)
{
	unsigned int bit;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (bit = 0; bit < 32; bit++) {
		EXPECT_RET(-EINVAL, kvm_vcpu_run(1u << bit));
	}
	EXPECT_RET(-EINVAL, kvm_vcpu_run(~0u));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_F(kvm_task_api, unknown_vm_call)
{
	/* No ioctl's number is one, not even that of what it does */
	const unsigned int calls[] = {
		KVM_VM_CALL_CHECK_EXTENSION + 1, 2, ~0u, KVM_CHECK_EXTENSION,
		KVM_GET_STATS_FD,
	};
	size_t i;

	ASSERT_RET(0, bind_fd(self->vm.fd));
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		EXPECT_RET(-EINVAL, kvm_vm_call(calls[i], CAP));
	}
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, bound_check_extension(0x7fffffff));
}

/* The way in of a 32-bit program, which any program can take */
static int call_32(unsigned int nr, unsigned int first, unsigned int second)
{
	int ret;

	__asm__ volatile("int $0x80" : "=a"(ret)
			 : "a"(nr), "b"(first), "c"(second)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

TEST_F(kvm_task_api, callers_of_32_bits)
{
	const struct guest_io io = {
		.op = GUEST_WRITE, .bus = BUS_PIO, .addr = 0xb400, .len = 4,
		.data = 0x44332211,
	};
	struct guest_exit exit = {};

	EXPECT_RET(-ENXIO, call_32(NR32_kvm_vcpu_run, 0, 0));
	EXPECT_RET(-ENXIO, call_32(NR32_kvm_vm_call, 0, CAP));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));

	EXPECT_RET(-EINVAL, call_32(NR32_kvm_vcpu_run, 1, 0));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &io));
	EXPECT_RET(0, call_32(NR32_kvm_vcpu_run, 0, 0));
	EXPECT_RET(GUEST_EXIT, vcpu_event(&self->vcpu, &exit));
	EXPECT_TRUE(exit_matches(&exit, &io));
	EXPECT_RET(0, call_32(NR32_kvm_vcpu_run, 0, 0));
	EXPECT_RET(GUEST_DONE, vcpu_event(&self->vcpu, &exit));

	EXPECT_RET(self->memslots,
		   call_32(NR32_kvm_vm_call, KVM_VM_CALL_CHECK_EXTENSION, CAP));
	EXPECT_RET(-EINVAL, call_32(NR32_kvm_vm_call, 1, CAP));
}

TEST_HARNESS_MAIN
