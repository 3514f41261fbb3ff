// SPDX-License-Identifier: GPL-2.0-only
/* Many threads that want the same, at the same time. */
#include "fixture.h"
#include "monotonic.h"

#define THREADS		4
#define FOR_A_WHILE	800000	/* us */

struct contest {
	struct worker worker;
	struct vcpu *vcpu;
	int vm_fd[2];		/* of two VMs, for the same place */
	int memslots;
	int *owners;		/* how many believe that they have it */
	int won;		/* how often this thread has had it */
	int lost;
};

static int bind_run_unbind(struct contest *contest)
{
	int ret = bind_fd(contest->vcpu->fd);

	if (ret == -EBUSY) {
		contest->lost++;
		return kvm_vcpu_run(0) == -ENXIO ? 0 : -EPROTO;
	}
	if (ret)
		return ret;
	contest->won++;
	if (__atomic_add_fetch(contest->owners, 1, __ATOMIC_SEQ_CST) != 1)
		return -EDEADLK;
	ret = bound_works(contest->vcpu);
	__atomic_sub_fetch(contest->owners, 1, __ATOMIC_SEQ_CST);
	return ret ? ret : unbind_fd(contest->vcpu->fd);
}

static int contend_for_vcpu(void *arg)
{
	int64_t until = monotonic_us() + FOR_A_WHILE;
	int ret = 0;

	while (!ret && monotonic_us() < until)
		ret = bind_run_unbind(arg);
	return ret;
}

TEST_F(kvm_task_api, many_threads_one_vcpu)
{
	struct contest contests[THREADS] = {};
	int owners = 0, won = 0, i;

	for (i = 0; i < THREADS; i++) {
		contests[i].vcpu = &self->vcpu;
		contests[i].owners = &owners;
		ASSERT_RET(0, worker_start(&contests[i].worker));
	}
	for (i = 0; i < THREADS; i++)
		worker_begin(&contests[i].worker, contend_for_vcpu, &contests[i]);
	for (i = 0; i < THREADS; i++) {
		EXPECT_RET(0, worker_end(&contests[i].worker));
		EXPECT_RET(0, worker_stop(&contests[i].worker));
		won += contests[i].won;
	}
	EXPECT_LT(0, won);
	EXPECT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

static int bind_and_unbind_vm(struct contest *contest)
{
	int fd = contest->vm_fd[(contest->won + contest->lost) % 2];
	int ret = bind_fd(fd);

	if (ret == -EEXIST) {
		contest->lost++;
	} else if (ret) {
		return ret;
	} else {
		contest->won++;
	}
	/* Another thread may have unbound it, and bound the same one or the other */
	ret = bound_check_extension(CAP);
	if (ret != contest->memslots && ret != -ENXIO)
		return -EPROTO;
	ret = unbind_fd(fd);
	return ret == -ENOENT ? 0 : ret;
}

static int contend_for_vm(void *arg)
{
	int64_t until = monotonic_us() + FOR_A_WHILE;
	int ret = 0;

	while (!ret && monotonic_us() < until)
		ret = bind_and_unbind_vm(arg);
	return ret;
}

TEST_F(kvm_task_api, many_threads_one_vm)
{
	struct contest contests[THREADS] = {};
	int held, won = 0, i;
	struct vm other;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	ASSERT_RET(0, vm_init(&other));
	for (i = 0; i < THREADS; i++) {
		contests[i].vm_fd[0] = self->vm.fd;
		contests[i].vm_fd[1] = other.fd;
		contests[i].memslots = self->memslots;
		ASSERT_RET(0, worker_start(&contests[i].worker));
	}
	for (i = 0; i < THREADS; i++)
		worker_begin(&contests[i].worker, contend_for_vm, &contests[i]);
	for (i = 0; i < THREADS; i++) {
		EXPECT_RET(0, worker_end(&contests[i].worker));
		EXPECT_RET(0, worker_stop(&contests[i].worker));
		won += contests[i].won;
	}
	EXPECT_LT(0, won);

	/* Whichever is bound now, each is held once by its file and no more */
	if (unbind_fd(self->vm.fd))
		unbind_fd(other.fd);
	EXPECT_RET(-ENXIO, bound_check_extension(CAP));
	vm_destroy(&other);
	EXPECT_RET(0, held_becomes(held));
}

/* Call the VM for a while, and count the answers of either kind */
static int call_vm(void *arg)
{
	struct contest *contest = arg;
	int64_t until = monotonic_us() + FOR_A_WHILE;
	int ret;

	while (monotonic_us() < until) {
		ret = bound_check_extension(CAP);
		if (ret == contest->memslots)
			contest->won++;
		else if (ret == -ENXIO)
			contest->lost++;
		else
			return ret < 0 ? ret : -EPROTO;
	}
	return 0;
}

/*
 * Unbind it, and let the VM go at once: what is still used after that is memory that
 * was freed.
 */
TEST_F_TIMEOUT(kvm_task_api, vm_calls_under_fire, 30)
{
	struct contest contests[THREADS - 1] = {};
	int won = 0, lost = 0, rounds = 0, i;
	int64_t until;
	struct vm vm;

	for (i = 0; i < THREADS - 1; i++) {
		contests[i].memslots = self->memslots;
		ASSERT_RET(0, worker_start(&contests[i].worker));
	}
	for (i = 0; i < THREADS - 1; i++)
		worker_begin(&contests[i].worker, call_vm, &contests[i]);
	until = monotonic_us() + FOR_A_WHILE;
	while (monotonic_us() < until) {
		ASSERT_RET(0, vm_init(&vm));
		ASSERT_RET(0, bind_fd(vm.fd));
		usleep(2000);
		ASSERT_RET(0, unbind_fd(vm.fd));
		EXPECT_RET(-ENXIO, bound_check_extension(CAP));
		vm_destroy(&vm);
		rounds++;
	}
	for (i = 0; i < THREADS - 1; i++) {
		EXPECT_RET(0, worker_end(&contests[i].worker));
		EXPECT_RET(0, worker_stop(&contests[i].worker));
		won += contests[i].won;
		lost += contests[i].lost;
	}
	EXPECT_LT(0, rounds);
	EXPECT_LT(0, won);
	EXPECT_LT(0, lost);
}

TEST_F(kvm_task_api, threads_come_and_go)
{
	int64_t until = monotonic_us() + FOR_A_WHILE;
	struct worker worker;

	while (monotonic_us() < until) {
		ASSERT_RET(0, worker_start(&worker));
		ASSERT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
		EXPECT_RET(0, worker_do(&worker, worker_bound_works, &self->vcpu));
		ASSERT_RET(0, worker_stop(&worker));
	}
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
}

TEST_HARNESS_MAIN
