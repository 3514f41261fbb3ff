// SPDX-License-Identifier: GPL-2.0-only
/* Who can bind and unbind what, and what the others are told. */
#include <stdio.h>
#include <sys/syscall.h>

#include "fixture.h"

TEST_F(kvm_task_api, vcpu)
{
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_F(kvm_task_api, vm)
{
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, vcpu_without_vm)
{
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
}

TEST_F(kvm_task_api, vm_without_vcpu)
{
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, unbind_fd(self->vm.fd));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_F(kvm_task_api, vcpu_twice)
{
	int twin;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-EEXIST, bind_fd(self->vcpu.fd));
	ASSERT_FD(twin, dup(self->vcpu.fd));
	EXPECT_RET(-EEXIST, bind_fd(twin));
	EXPECT_RET(0, bound_works(&self->vcpu));
	/* What was refused does not count */
	EXPECT_RET(0, unbind_fd(twin));
	EXPECT_RET(-ENOENT, unbind_fd(self->vcpu.fd));
	close(twin);
}

TEST_F(kvm_task_api, two_vcpus_on_one_thread)
{
	struct vcpu other;

	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-EEXIST, bind_fd(other.fd));
	EXPECT_RET(-ENOENT, unbind_fd(other.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	/* The other one belongs to nobody */
	EXPECT_RET(0, kvm_run_works(&other));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(0, bind_fd(other.fd));
	EXPECT_RET(0, bound_works(&other));
	vcpu_destroy(&other);
}

TEST_F(kvm_task_api, vcpu_of_another_thread)
{
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_bind, &self->vcpu.fd));
	EXPECT_RET(-ENXIO, worker_do(&worker, worker_run, NULL));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(0, worker_stop(&worker));
	/* Nor does the end of the one that was refused change anything */
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_F(kvm_task_api, both_have_one)
{
	struct worker worker;
	struct vcpu other;

	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, worker_do(&worker, worker_bind, &other.fd));
	EXPECT_RET(-EEXIST, bind_fd(other.fd));
	EXPECT_RET(-EEXIST, worker_do(&worker, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(0, worker_do(&worker, worker_bound_works, &other));
	EXPECT_RET(0, worker_stop(&worker));
	vcpu_destroy(&other);
}

/* The thread that runs the vCPU, as debugfs has it; 0 if none, -errno without debugfs */
static int thread_of_vcpu(const FIXTURE_DATA(kvm_task_api) *self)
{
	char path[96];
	FILE *file;
	int tid;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/vcpu0/pid",
		 getpid(), self->vm.fd);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &tid) != 1)
		tid = -EPROTO;
	fclose(file);
	return tid;
}

static int thread_id(void *unused)
{
	(void)unused;
	return syscall(SYS_gettid);
}

/* ... from the moment that it is bound: it is not asked for at each run any more */
TEST_F(kvm_task_api, thread_that_runs_it)
{
	struct worker worker;

	if (thread_of_vcpu(self) < 0)
		SKIP(return, "no debugfs");
	ASSERT_RET(0, worker_start(&worker));
	EXPECT_EQ(0, thread_of_vcpu(self));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_EQ(thread_id(NULL), thread_of_vcpu(self));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_EQ(thread_id(NULL), thread_of_vcpu(self));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));

	ASSERT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
	EXPECT_EQ(worker_do(&worker, thread_id, NULL), thread_of_vcpu(self));
	EXPECT_RET(-EBUSY, kvm_run_works(&self->vcpu));
	EXPECT_EQ(worker_do(&worker, thread_id, NULL), thread_of_vcpu(self));
	EXPECT_RET(0, worker_stop(&worker));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
	EXPECT_EQ(thread_id(NULL), thread_of_vcpu(self));
}

TEST_F(kvm_task_api, vm_twice)
{
	int twin;

	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(-EEXIST, bind_fd(self->vm.fd));
	ASSERT_FD(twin, dup(self->vm.fd));
	EXPECT_RET(-EEXIST, bind_fd(twin));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, unbind_fd(twin));
	EXPECT_RET(-ENOENT, unbind_fd(self->vm.fd));
	close(twin);
}

/* Both give the same answers, so which one is bound is told by what is held */
TEST_F(kvm_task_api, two_vms_in_one_process)
{
	struct vm other;
	int held;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	ASSERT_RET(0, vm_init(&other));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(-EEXIST, bind_fd(other.fd));
	EXPECT_RET(-ENOENT, unbind_fd(other.fd));
	vm_destroy(&other);
	EXPECT_RET(0, held_becomes(held));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));

	/* The first one gives way to another */
	ASSERT_RET(0, vm_init(&other));
	EXPECT_RET(0, unbind_fd(self->vm.fd));
	EXPECT_RET(0, bind_fd(other.fd));
	EXPECT_RET(-EEXIST, bind_fd(self->vm.fd));
	EXPECT_RET(0, unbind_fd(other.fd));
	vm_destroy(&other);
	EXPECT_RET(0, held_becomes(held));
}

TEST_F(kvm_task_api, unbind_and_bind_again)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_RET(0, bind_fd(self->vcpu.fd));
		EXPECT_RET(0, bound_works(&self->vcpu));
		EXPECT_RET(0, unbind_fd(self->vcpu.fd));
		EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
		ASSERT_RET(0, bind_fd(self->vm.fd));
		EXPECT_RET(self->memslots, bound_check_extension(CAP));
		EXPECT_RET(0, unbind_fd(self->vm.fd));
		EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	}
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
}

TEST_F(kvm_task_api, handed_over)
{
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, worker_do(&worker, worker_bound_works, &self->vcpu));
	EXPECT_RET(-EBUSY, bind_fd(self->vcpu.fd));
	EXPECT_RET(-ENXIO, kvm_vcpu_run(0));
	EXPECT_RET(0, worker_do(&worker, worker_unbind, &self->vcpu.fd));
	EXPECT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_F(kvm_task_api, unbind_unbound)
{
	EXPECT_RET(-ENOENT, unbind_fd(self->vcpu.fd));
	EXPECT_RET(-ENOENT, unbind_fd(self->vm.fd));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-ENOENT, unbind_fd(self->vm.fd));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(-ENOENT, unbind_fd(self->vcpu.fd));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
}

TEST_F(kvm_task_api, unbind_the_other_vm)
{
	struct vm other;

	ASSERT_RET(0, vm_init(&other));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(-ENOENT, unbind_fd(other.fd));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, unbind_fd(self->vm.fd));
	vm_destroy(&other);
}

TEST_F(kvm_task_api, unbind_from_another_thread)
{
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_unbind, &self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_F(kvm_task_api, vm_belongs_to_all_threads)
{
	struct worker worker;
	long cap = CAP;

	ASSERT_RET(0, worker_start(&worker));
	EXPECT_RET(-ENXIO, worker_do(&worker, worker_check, &cap));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(self->memslots, worker_do(&worker, worker_check, &cap));
	EXPECT_RET(-EEXIST, worker_do(&worker, worker_bind, &self->vm.fd));
	EXPECT_RET(self->memslots, vm_check_extension(&self->vm, CAP));

	EXPECT_RET(0, worker_do(&worker, worker_unbind, &self->vm.fd));
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	EXPECT_RET(0, worker_do(&worker, worker_bind, &self->vm.fd));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, worker_stop(&worker));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_HARNESS_MAIN
