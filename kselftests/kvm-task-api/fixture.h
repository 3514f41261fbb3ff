/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most cases run in: a VM with a vCPU, neither of which is bound, and a watch over
 * the kernel's log. Include this once for each program.
 */
#ifndef KVM_TASK_API_FIXTURE_H
#define KVM_TASK_API_FIXTURE_H

#include <stdlib.h>

#include "bound.h"
#include "expect.h"
#include "held.h"
#include "worker.h"

/* An extension whose answer is a large number, which no other call returns */
#define CAP		KVM_CAP_NR_MEMSLOTS

FIXTURE(kvm_task_api) {
	struct vm vm;
	struct vcpu vcpu;
	struct kmsg_watch kmsg;
	int memslots;		/* the answer to CAP */
};

FIXTURE_SETUP(kvm_task_api)
{
	int ret;

	ASSERT_RET(0, kmsg_start(&self->kmsg));
	ret = vm_init(&self->vm);
	if (ret < 0)
		SKIP_FIXTURE(NO_KVM ": %s", result_name(ret));
	SKIP_FIXTURE_WITHOUT(&self->vm, KVM_CAP_TASK_API, KVM_UNBIND,
			     "KVM_CAP_TASK_API");
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
	self->memslots = vm_check_extension(&self->vm, CAP);
	ASSERT_LT(1, self->memslots);
	/* kvm_arch_vcpu_create() says this on a host without a stable TSC */
	kmsg_announce(&self->kmsg, "SMP vm created on host with unstable TSC");
}

FIXTURE_TEARDOWN(kvm_task_api)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

#endif /* KVM_TASK_API_FIXTURE_H */
