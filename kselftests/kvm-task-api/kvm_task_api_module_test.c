// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM is a module, and the system calls are not: what is bound keeps the module, and
 * without it the system calls say that they are not there.
 */
#include "fixture.h"
#include "module.h"

#define PATIENCE	500	/* of 10 ms: until the last VM has gone */

/* The file is called kvm-amd.ko, or kvm-intel.ko */
static int kvm_load(void)
{
	char file[64], *sign;

	snprintf(file, sizeof(file), "arch/x86/kvm/%s.ko", kvm_module());
	sign = strrchr(file, '_');
	if (sign)
		*sign = '-';
	return module_load(file);
}

/* Files go when their last user is back in user space, and VMs after that */
static int kvm_unload_soon(void)
{
	int i, ret;

	for (i = 0; i < PATIENCE; i++) {
		ret = module_unload(kvm_module());
		if (ret != -EAGAIN)
			break;
		usleep(10000);
	}
	return ret;
}

TEST_F(kvm_task_api, kept_by_a_vcpu)
{
	struct worker worker;

	SKIP_WITHOUT_MODULE();
	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	usleep(100000);
	EXPECT_RET(-EAGAIN, module_unload(kvm_module()));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(-EAGAIN, module_unload(kvm_module()));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_F(kvm_task_api, kept_by_a_vm)
{
	SKIP_WITHOUT_MODULE();
	ASSERT_RET(0, bind_fd(self->vm.fd));
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	usleep(100000);
	EXPECT_RET(-EAGAIN, module_unload(kvm_module()));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(-EAGAIN, module_unload(kvm_module()));
}

/* The modules are relocated and patched at each load, which takes an emulated machine long */
TEST_F_TIMEOUT(kvm_task_api, absent, 60)
{
	struct worker worker;
	int round;

	SKIP_WITHOUT_MODULE();
	/* What the modules say of the processor when they are loaded */
	kmsg_announce(&self->kmsg, "kvm");
	kmsg_announce(&self->kmsg, "SVM");
	ASSERT_RET(0, worker_start(&worker));
	for (round = 0; round < 2; round++) {
		/* Bound by a thread that then ends: the module can go */
		ASSERT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
		ASSERT_RET(0, worker_do(&worker, worker_bound_works, &self->vcpu));
		ASSERT_RET(0, bind_fd(self->vm.fd));
		ASSERT_RET(0, unbind_fd(self->vm.fd));
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		EXPECT_RET(0, worker_stop(&worker));
		ASSERT_RET(0, kvm_unload_soon());

		EXPECT_RET(-ENOSYS, kvm_vcpu_run(0));
		EXPECT_RET(-ENOSYS, kvm_vcpu_run(1));
		EXPECT_RET(-ENOSYS, bound_check_extension(CAP));
		EXPECT_RET(-ENOSYS, kvm_vm_call(1, 0));

		ASSERT_RET(0, kvm_load());
		EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
		EXPECT_RET(-ENXIO, bound_check_extension(CAP));
		ASSERT_RET(0, vm_init(&self->vm));
		ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
		ASSERT_RET(0, worker_start(&worker));
	}
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_HARNESS_MAIN
