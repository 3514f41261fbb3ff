// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nothing here allocates: a vCPU is where its pointer is, and a pointer is a part of
 * each task and address space. So nothing fails for want of memory, and no program has
 * to be ready for it.
 *
 * Needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and debugfs; skips without them.
 */
#include "debug_kernel.h"
#include "fault.h"
#include "fixture.h"

/* @call returns @want, and has asked for no memory that it did not get */
#define EXPECT_WITHOUT_MEMORY(want, call)				\
	do {								\
		int _result, _failed;					\
									\
		ASSERT_RET(0, fault_exhaust(0));			\
		_result = (call);					\
		_failed = fault_replenish();				\
		EXPECT_RET(want, _result);				\
		/* What looks for faults itself allocates on its own */	\
		if (!debug_kernel()) {					\
			EXPECT_RET(0, _failed);				\
		}							\
	} while (0)

TEST_F(kvm_task_api, binding_needs_no_memory)
{
	int i;

	SKIP_WITHOUT_FAULTS();
	for (i = 0; i < 2; i++) {
		EXPECT_WITHOUT_MEMORY(0, bind_fd(self->vcpu.fd));
		EXPECT_WITHOUT_MEMORY(0, bind_fd(self->vm.fd));
		EXPECT_RET(0, bound_works(&self->vcpu));
		EXPECT_RET(self->memslots, bound_check_extension(CAP));
		EXPECT_WITHOUT_MEMORY(0, unbind_fd(self->vcpu.fd));
		EXPECT_WITHOUT_MEMORY(0, unbind_fd(self->vm.fd));
	}
}

TEST_F(kvm_task_api, refusals_need_no_memory)
{
	SKIP_WITHOUT_FAULTS();
	EXPECT_WITHOUT_MEMORY(-ENOENT, unbind_fd(self->vcpu.fd));
	EXPECT_WITHOUT_MEMORY(-ENOENT, unbind_fd(self->vm.fd));
	EXPECT_WITHOUT_MEMORY(-ENXIO, kvm_vcpu_run(0));
	EXPECT_WITHOUT_MEMORY(-ENXIO, bound_check_extension(CAP));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_WITHOUT_MEMORY(-EEXIST, bind_fd(self->vcpu.fd));
	EXPECT_WITHOUT_MEMORY(-EEXIST, bind_fd(self->vm.fd));
	EXPECT_WITHOUT_MEMORY(-EINVAL, kvm_vcpu_run(1));
	EXPECT_WITHOUT_MEMORY(-EINVAL, kvm_vm_call(1, 0));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, calls_need_no_memory)
{
	SKIP_WITHOUT_FAULTS();
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	/* What a vCPU needs once, at its first run */
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_WITHOUT_MEMORY(self->memslots, bound_check_extension(CAP));
	self->vcpu.run->immediate_exit = 1;
	EXPECT_WITHOUT_MEMORY(-EINTR, kvm_vcpu_run(0));
	self->vcpu.run->immediate_exit = 0;
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_HARNESS_MAIN
