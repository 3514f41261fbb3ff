// SPDX-License-Identifier: GPL-2.0-only
/* Threads that come and go, with a vCPU and without. */
#include <sys/syscall.h>

#include "child.h"
#include "fixture.h"

TEST_F(kvm_task_api, new_thread)
{
	struct worker before, after;
	long cap = CAP;

	ASSERT_RET(0, worker_start(&before));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	ASSERT_RET(0, worker_start(&after));
	EXPECT_RET(-ENXIO, worker_do(&before, worker_run, NULL));
	EXPECT_RET(-ENXIO, worker_do(&after, worker_run, NULL));
	EXPECT_RET(-EBUSY, worker_do(&after, worker_bind, &self->vcpu.fd));
	EXPECT_RET(self->memslots, worker_do(&before, worker_check, &cap));
	EXPECT_RET(self->memslots, worker_do(&after, worker_check, &cap));
	EXPECT_RET(0, worker_stop(&before));
	EXPECT_RET(0, worker_stop(&after));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

TEST_F(kvm_task_api, exit_unbinds)
{
	struct worker mortal, witness;

	ASSERT_RET(0, worker_start(&mortal));
	ASSERT_RET(0, worker_start(&witness));
	ASSERT_RET(0, worker_do(&mortal, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, worker_do(&mortal, worker_bound_works, &self->vcpu));
	EXPECT_RET(-EBUSY, worker_do(&witness, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, worker_stop(&mortal));

	EXPECT_RET(0, worker_do(&witness, worker_bind, &self->vcpu.fd));
	EXPECT_RET(0, worker_do(&witness, worker_bound_works, &self->vcpu));
	EXPECT_RET(-EBUSY, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, worker_stop(&witness));
	EXPECT_RET(-ENOENT, unbind_fd(self->vcpu.fd));
}

TEST_F(kvm_task_api, exit_then_kvm_run)
{
	struct worker mortal, witness;

	ASSERT_RET(0, worker_start(&mortal));
	ASSERT_RET(0, worker_start(&witness));
	ASSERT_RET(0, worker_do(&mortal, worker_bind, &self->vcpu.fd));
	EXPECT_RET(-EBUSY, worker_do(&witness, worker_kvm_run_works, &self->vcpu));
	EXPECT_RET(0, worker_stop(&mortal));
	EXPECT_RET(0, worker_do(&witness, worker_kvm_run_works, &self->vcpu));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
	EXPECT_RET(0, worker_stop(&witness));
}

/* The binding was the last that held the vCPU */
TEST_F(kvm_task_api, exit_lets_go)
{
	struct worker mortal;
	struct vcpu other;
	int held;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	ASSERT_RET(0, worker_start(&mortal));
	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	ASSERT_RET(0, worker_do(&mortal, worker_bind, &other.fd));
	vcpu_destroy(&other);
	usleep(100000);
	EXPECT_LT(held, held_count());
	EXPECT_RET(0, worker_stop(&mortal));
	EXPECT_RET(0, held_becomes(held));
}

/* ... and may get its structure from the slab */
TEST_F(kvm_task_api, successors_have_none)
{
	struct worker mortal, heir;
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_RET(0, worker_start(&mortal));
		ASSERT_RET(0, worker_do(&mortal, worker_bind, &self->vcpu.fd));
		ASSERT_RET(0, worker_stop(&mortal));
		ASSERT_RET(0, worker_start(&heir));
		EXPECT_RET(-ENXIO, worker_do(&heir, worker_run, NULL));
		EXPECT_RET(-ENOENT, worker_do(&heir, worker_unbind, &self->vcpu.fd));
		ASSERT_RET(0, worker_stop(&heir));
	}
}

struct survivor {
	FIXTURE_DATA(kvm_task_api) *self;
	pthread_t first;
};

/* When the first thread has gone, this is all that is left of the process */
static void *survive(void *arg)
{
	struct survivor *survivor = arg;
	FIXTURE_DATA(kvm_task_api) *self = survivor->self;

	pthread_join(survivor->first, NULL);
	if (bound_check_extension(CAP) != self->memslots)
		_exit(1);
	if (kvm_vcpu_run(0) != -ENXIO)
		_exit(2);
	if (bind_fd(self->vcpu.fd))
		_exit(3);
	if (bound_works(&self->vcpu))
		_exit(4);
	_exit(0);
}

TEST_F(kvm_task_api, first_thread_exits)
{
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct survivor survivor = { .self = self, .first = pthread_self() };
		pthread_t other;

		/* A VM of this process, in the place of the parent's */
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		if (vm_init(&self->vm) || vcpu_init(&self->vcpu, &self->vm, 0) ||
		    bind_fd(self->vm.fd) || bind_fd(self->vcpu.fd) ||
		    bound_works(&self->vcpu) ||
		    pthread_create(&other, NULL, survive, &survivor))
			_exit(10);
		pthread_exit(NULL);
	}
	EXPECT_EQ(0, wait_child(pid));
}

TEST_HARNESS_MAIN
