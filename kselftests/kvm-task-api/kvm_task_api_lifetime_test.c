// SPDX-License-Identifier: GPL-2.0-only
/* What a binding holds, and that it lets go of it. */
#include "child.h"
#include "debug_kernel.h"
#include "fixture.h"
#include "slab.h"

#define LOOPS		2000
#define PROCESSES	8	/* each has a VM, which takes several grace periods to go */
#define VM_KIB		16	/* at least: its slots, its vCPU, what it knows of its memory */

static void close_vcpu(FIXTURE_DATA(kvm_task_api) *self)
{
	close(self->vcpu.fd);
	self->vcpu.fd = -1;
}

static void close_vm(FIXTURE_DATA(kvm_task_api) *self)
{
	close(self->vm.fd);
	self->vm.fd = -1;
}

/* The guest is set up first, since that takes an ioctl */
static void expect_goes_on(struct __test_metadata *_metadata,
			   FIXTURE_DATA(kvm_task_api) *self)
{
	struct guest_exit exit = {};

	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	EXPECT_EQ(0xb400, exit.addr);
	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	EXPECT_RET(GUEST_DONE, bound_run(&self->vcpu, &exit));
}

static const struct guest_io two_writes = {
	.op = GUEST_WRITE, .bus = BUS_PIO, .addr = 0xb400, .len = 4, .times = 2,
};

TEST_F(kvm_task_api, vcpu_closed)
{
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &two_writes));
	close_vcpu(self);
	usleep(50000);
	expect_goes_on(_metadata, self);
}

TEST_F(kvm_task_api, vm_closed)
{
	ASSERT_RET(0, bind_fd(self->vm.fd));
	close_vm(self);
	usleep(50000);
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
}

TEST_F(kvm_task_api, all_closed)
{
	struct guest_exit exit = {};
	int held;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &two_writes));
	held = held_count();
	close_vm(self);
	close_vcpu(self);
	EXPECT_RET(held, held_count());
	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	EXPECT_EQ(0xb400, exit.addr);
	EXPECT_RET(self->memslots, bound_check_extension(CAP));

	/* The mapping of kvm_run holds the vCPU as well. Nobody sees the exit then */
	vcpu_destroy(&self->vcpu);
	EXPECT_RET(held, held_count());
	EXPECT_RET(0, kvm_vcpu_run(0));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, unbind_lets_go)
{
	struct vcpu vcpu;
	struct vm vm;
	int held;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	ASSERT_RET(0, vm_init(&vm));
	ASSERT_RET(0, vcpu_init(&vcpu, &vm, 0));
	ASSERT_RET(0, bind_fd(vcpu.fd));
	ASSERT_RET(0, bind_fd(vm.fd));
	EXPECT_RET(0, bound_works(&vcpu));
	EXPECT_RET(0, unbind_fd(vcpu.fd));
	EXPECT_RET(0, unbind_fd(vm.fd));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	EXPECT_RET(0, held_becomes(held));
}

TEST_F(kvm_task_api, refusals_keep_nothing)
{
	struct vcpu vcpu;
	struct vm vm;
	int held, i;

	SKIP_WITHOUT_MODULE();
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	held = held_count();
	ASSERT_RET(0, vm_init(&vm));
	ASSERT_RET(0, vcpu_init(&vcpu, &vm, 0));
	for (i = 0; i < 3; i++) {
		EXPECT_RET(-EEXIST, bind_fd(vcpu.fd));
		EXPECT_RET(-EEXIST, bind_fd(vm.fd));
		EXPECT_RET(-ENOENT, unbind_fd(vcpu.fd));
		EXPECT_RET(-ENOENT, unbind_fd(vm.fd));
		EXPECT_RET(-EINVAL, sys_ioctl(vcpu.fd, KVM_BIND, (void *)1ul));
		EXPECT_RET(-EINVAL, sys_ioctl(vm.fd, KVM_BIND, (void *)1ul));
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	EXPECT_RET(0, held_becomes(held));

	/* Nor did they let go of what is bound */
	close_vm(self);
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, again_and_again)
{
	int held, i, round, loops = debug_kernel() ? LOOPS / 10 : LOOPS;
	long before_kib;

	SKIP_WITHOUT_MODULE();
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	held = held_count();
	ASSERT_RET(0, vm_init(&self->vm));
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < loops; i++) {
			ASSERT_RET(0, bind_fd(self->vcpu.fd));
			ASSERT_RET(0, unbind_fd(self->vcpu.fd));
		}
		/* Each of these waits for a grace period */
		for (i = 0; i < 20; i++) {
			ASSERT_RET(0, bind_fd(self->vm.fd));
			ASSERT_RET(0, unbind_fd(self->vm.fd));
		}
		/* No object of the slab is below 8 bytes */
		if (!slab_grown(before_kib, loops * 8 / 1024))
			break;
	}
	EXPECT_GT(SLAB_ROUNDS, round);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	EXPECT_RET(0, held_becomes(held));
}

/* A process that ends with everything bound and closed */
static int live_and_die(FIXTURE_DATA(kvm_task_api) *self)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	if (vm_init(&self->vm) || vcpu_init(&self->vcpu, &self->vm, 0) ||
	    bind_fd(self->vm.fd) || bind_fd(self->vcpu.fd) ||
	    bound_works(&self->vcpu))
		return 1;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	return bound_check_extension(CAP) != self->memslots;
}

TEST_F_TIMEOUT(kvm_task_api, processes_again_and_again, 60)
{
	int held, round, i, processes = debug_kernel() ? 2 : PROCESSES;
	long before_kib;
	pid_t pid;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < processes; i++) {
			pid = fork_child();
			ASSERT_LE(0, pid);
			if (!pid)
				_exit(live_and_die(self));
			ASSERT_EQ(0, wait_child(pid));
		}
		EXPECT_RET(0, held_becomes(held));
		if (!slab_grown(before_kib, processes * VM_KIB))
			break;
	}
	EXPECT_GT(SLAB_ROUNDS, round);
}

TEST_HARNESS_MAIN
