// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest by way of kvm_vcpu_run(): what comes back is what KVM_RUN brings. And what
 * becomes of the other ways to a vCPU that is bound.
 */
#include <signal.h>
#include <string.h>

#include "fixture.h"

#define PORT		0xb400
#define ADDRESS		0xe0000400
#define DATA		0x44332211
#define A_WHILE		50	/* ms */

static struct guest_io io_of(enum guest_op op, enum guest_bus bus, uint32_t len)
{
	return (struct guest_io){
		.op = op, .bus = bus, .len = len, .data = DATA,
		.addr = bus == BUS_PIO ? PORT : ADDRESS,
	};
}

static void expect_write(struct __test_metadata *_metadata,
			 FIXTURE_DATA(kvm_task_api) *self, struct guest_io io)
{
	struct guest_exit exit = {};

	EXPECT_RET(1, bound_do(&self->vcpu, &io, &exit, 1));
	EXPECT_TRUE(exit_matches(&exit, &io))
		TH_LOG("wanted %s, got %s", io_name(&io), exit_name(&exit));
}

TEST_F(kvm_task_api, pio_write)
{
	uint32_t len;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (len = 1; len <= 4; len *= 2)
		expect_write(_metadata, self, io_of(GUEST_WRITE, BUS_PIO, len));
}

TEST_F(kvm_task_api, mmio_write)
{
	uint32_t len;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (len = 1; len <= 8; len *= 2)
		expect_write(_metadata, self, io_of(GUEST_WRITE, BUS_MMIO, len));
}

/* An exit is completed by the next run, whichever way that is */
TEST_F(kvm_task_api, reads)
{
	const enum guest_bus buses[] = { BUS_PIO, BUS_MMIO };
	struct guest_exit exit = {};
	uint64_t data = 0;
	int i;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (i = 0; i < 2; i++) {
		struct guest_io io = io_of(GUEST_READ, buses[i], 4);

		io.data = 0x11223344;
		EXPECT_RET(1, bound_do(&self->vcpu, &io, &exit, 1));
		EXPECT_TRUE(exit_matches(&exit, &io));
		ASSERT_RET(0, vcpu_read_data(&self->vcpu, &data));
		EXPECT_EQ(0x11223344, data);
	}

	/* Begun by the system call, and completed by the ioctl */
	ASSERT_RET(0, vcpu_start(&self->vcpu, &(struct guest_io){
		.op = GUEST_READ, .bus = BUS_PIO, .addr = PORT, .len = 4 }));
	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	*(uint32_t *)((uint8_t *)self->vcpu.run +
		      self->vcpu.run->io.data_offset) = 0x55667788;
	EXPECT_RET(GUEST_DONE, vcpu_run(&self->vcpu, &exit));
	ASSERT_RET(0, vcpu_read_data(&self->vcpu, &data));
	EXPECT_EQ(0x55667788, data);
}

TEST_F(kvm_task_api, many_exits)
{
	struct guest_exit exits[100] = {};
	struct guest_io io = io_of(GUEST_WRITE, BUS_PIO, 4);
	int i;

	io.times = 100;
	io.step = 3;
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(100, bound_do(&self->vcpu, &io, exits, 100));
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(DATA + 3 * i, exits[i].data);
	}
}

TEST_F(kvm_task_api, same_extensions)
{
	int cap;

	ASSERT_RET(0, bind_fd(self->vm.fd));
	for (cap = 0; cap < 300; cap++) {
		EXPECT_RET(vm_check_extension(&self->vm, cap),
			   bound_check_extension(cap));
	}
	EXPECT_RET(1, bound_check_extension(KVM_CAP_TASK_API));
}

TEST_F(kvm_task_api, immediate_exit)
{
	struct guest_io io = io_of(GUEST_WRITE, BUS_PIO, 4);
	struct guest_exit exit = {};
	int i;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &io));
	self->vcpu.run->immediate_exit = 1;
	for (i = 0; i < 3; i++) {
		EXPECT_RET(-EINTR, kvm_vcpu_run(0));
	}
	self->vcpu.run->immediate_exit = 0;
	/* Nothing of the guest was done, and nothing is lost */
	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	EXPECT_TRUE(exit_matches(&exit, &io));
	EXPECT_RET(GUEST_DONE, bound_run(&self->vcpu, &exit));
}

/* Have @worker's guest spin in KVM until it finds @data in its memory */
static int spin(void *arg)
{
	struct vcpu *vcpu = arg;
	struct guest_exit exit = {};
	int ret = bound_run(vcpu, &exit);

	if (ret == GUEST_EXIT)
		ret = bound_run(vcpu, &exit);
	return ret;
}

static int spin_by_kvm_run(void *arg)
{
	struct vcpu *vcpu = arg;
	struct guest_exit exit = {};
	int ret = vcpu_run(vcpu, &exit);

	if (ret == GUEST_EXIT)
		ret = vcpu_run(vcpu, &exit);
	return ret;
}

static int start_spinning(FIXTURE_DATA(kvm_task_api) *self)
{
	const struct guest_io io = io_of(GUEST_WRITE_AND_WAIT, BUS_PIO, 4);

	return vcpu_start(&self->vcpu, &io);
}

static void stop_spinning(FIXTURE_DATA(kvm_task_api) *self)
{
	const uint32_t data = DATA;

	memcpy(self->vm.ram + GUEST_DATA_GPA, &data, sizeof(data));
}

/* Until it has come back: the first signal may come before it was called */
static void interrupt(struct __test_metadata *_metadata, struct worker *worker)
{
	int i;

	for (i = 0; i < 1000; i++) {
		ASSERT_RET(0, worker_interrupt(worker));
		if (worker_is_done_within(worker, 5))
			return;
	}
	ASSERT_TRUE(false) TH_LOG("no signal ends it");
}

TEST_F(kvm_task_api, signal)
{
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, worker_do(&worker, worker_bind, &self->vcpu.fd));
	ASSERT_RET(0, start_spinning(self));
	worker_begin(&worker, spin, &self->vcpu);
	EXPECT_FALSE(worker_is_done_within(&worker, A_WHILE));
	interrupt(_metadata, &worker);
	EXPECT_RET(-EINTR, worker_end(&worker));
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);

	worker_begin(&worker, spin, &self->vcpu);
	EXPECT_FALSE(worker_is_done_within(&worker, A_WHILE));
	stop_spinning(self);
	EXPECT_RET(GUEST_DONE, worker_end(&worker));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_F(kvm_task_api, signal_mask)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} mask = { .head.len = 8 };
	sigset_t blocked, pending;

	/* Blocked everywhere ... */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, NULL));
	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));

	/* ... but in the guest */
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_RET(-EINTR, kvm_vcpu_run(0));
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
	ASSERT_EQ(0, sigpending(&pending));
	EXPECT_EQ(1, sigismember(&pending, SIGUSR1));

	mask.set[(SIGUSR1 - 1) / 8] = 1 << ((SIGUSR1 - 1) % 8);
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_RET(0, bound_works(&self->vcpu));
}

static int many_writes(void *arg)
{
	struct vcpu *vcpu = arg;
	struct guest_exit exits[50];
	struct guest_io io = io_of(GUEST_WRITE, BUS_PIO, 4);
	int ret, i;

	/* Each has its own data, so that none can take another one's exit for its own */
	io.data = (uintptr_t)vcpu & 0xffffff;
	io.step = 1;
	io.times = 50;
	ret = bind_fd(vcpu->fd);
	if (!ret)
		ret = bound_do(vcpu, &io, exits, 50);
	if (ret != 50)
		return ret < 0 ? ret : -EPROTO;
	for (i = 0; i < 50; i++)
		if (exits[i].data != ((uintptr_t)vcpu & 0xffffff) + i)
			return -EBADMSG;
	return 0;
}

#define VCPUS	4

TEST_F(kvm_task_api, vcpus_in_parallel)
{
	struct worker workers[VCPUS];
	struct vcpu vcpus[VCPUS];
	int i;

	for (i = 0; i < VCPUS; i++) {
		ASSERT_RET(0, vcpu_init(&vcpus[i], &self->vm, 1 + i));
		ASSERT_RET(0, worker_start(&workers[i]));
	}
	for (i = 0; i < VCPUS; i++)
		worker_begin(&workers[i], many_writes, &vcpus[i]);
	for (i = 0; i < VCPUS; i++) {
		EXPECT_RET(0, worker_end(&workers[i]));
	}
	for (i = 0; i < VCPUS; i++) {
		EXPECT_RET(0, worker_stop(&workers[i]));
		vcpu_destroy(&vcpus[i]);
	}
}

/* What a VMM may do today, and may not do with a vCPU that is bound */
TEST_F(kvm_task_api, kvm_run_from_another_thread)
{
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
	EXPECT_RET(0, worker_do(&worker, worker_kvm_run_works, &self->vcpu));

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_kvm_run_works, &self->vcpu));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_kvm_run_works, &self->vcpu));

	/* Not even with immediate_exit, which would not enter the guest */
	self->vcpu.run->immediate_exit = 1;
	EXPECT_RET(-EBUSY, worker_do(&worker, worker_kvm_run_works, &self->vcpu));
	self->vcpu.run->immediate_exit = 0;

	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(0, worker_do(&worker, worker_kvm_run_works, &self->vcpu));
	EXPECT_RET(0, kvm_run_works(&self->vcpu));
	EXPECT_RET(0, worker_stop(&worker));
}

TEST_F(kvm_task_api, kvm_run_from_its_own_thread)
{
	int i;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (i = 0; i < 3; i++) {
		EXPECT_RET(0, kvm_run_works(&self->vcpu));
		EXPECT_RET(0, bound_works(&self->vcpu));
	}
	EXPECT_RET(-EINVAL, sys_ioctl(self->vcpu.fd, KVM_RUN, (void *)1ul));
}

static int get_and_set_regs(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_regs regs = {};
	int ret = sys_ioctl(vcpu->fd, KVM_GET_REGS, &regs);

	return ret ? ret : sys_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

TEST_F(kvm_task_api, other_ioctls_from_another_thread)
{
	struct guest_io io = io_of(GUEST_WRITE, BUS_PIO, 4);
	struct guest_exit exit = {};
	struct worker worker;

	ASSERT_RET(0, worker_start(&worker));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &io));
	EXPECT_RET(0, worker_do(&worker, get_and_set_regs, &self->vcpu));
	EXPECT_RET(GUEST_EXIT, bound_run(&self->vcpu, &exit));
	EXPECT_TRUE(exit_matches(&exit, &io));
	EXPECT_RET(0, worker_do(&worker, get_and_set_regs, &self->vcpu));
	EXPECT_RET(GUEST_DONE, bound_run(&self->vcpu, &exit));
	EXPECT_RET(0, worker_stop(&worker));
}

/* As long as it runs, nobody else has its state */
TEST_F(kvm_task_api, ioctls_wait_for_the_guest)
{
	struct worker runner, other;

	ASSERT_RET(0, worker_start(&runner));
	ASSERT_RET(0, worker_start(&other));
	ASSERT_RET(0, worker_do(&runner, worker_bind, &self->vcpu.fd));
	ASSERT_RET(0, start_spinning(self));
	worker_begin(&runner, spin, &self->vcpu);
	EXPECT_FALSE(worker_is_done_within(&runner, A_WHILE));
	worker_begin(&other, get_and_set_regs, &self->vcpu);
	EXPECT_FALSE(worker_is_done_within(&other, A_WHILE));
	stop_spinning(self);
	EXPECT_RET(GUEST_DONE, worker_end(&runner));
	EXPECT_RET(0, worker_end(&other));
	EXPECT_RET(0, worker_stop(&runner));
	EXPECT_RET(0, worker_stop(&other));
}

TEST_F(kvm_task_api, one_thread_runs_two)
{
	struct vcpu other;
	int i;

	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	for (i = 0; i < 3; i++) {
		EXPECT_RET(0, kvm_run_works(&self->vcpu));
		EXPECT_RET(0, kvm_run_works(&other));
	}
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	for (i = 0; i < 3; i++) {
		EXPECT_RET(0, bound_works(&self->vcpu));
		EXPECT_RET(0, kvm_run_works(&other));
	}
	vcpu_destroy(&other);
}

TEST_F(kvm_task_api, bind_waits_for_kvm_run)
{
	struct worker runner, binder;

	ASSERT_RET(0, worker_start(&runner));
	ASSERT_RET(0, worker_start(&binder));
	ASSERT_RET(0, start_spinning(self));
	worker_begin(&runner, spin_by_kvm_run, &self->vcpu);
	EXPECT_FALSE(worker_is_done_within(&runner, A_WHILE));
	worker_begin(&binder, worker_bind, &self->vcpu.fd);
	EXPECT_FALSE(worker_is_done_within(&binder, A_WHILE));
	interrupt(_metadata, &runner);
	EXPECT_RET(-EINTR, worker_end(&runner));
	EXPECT_RET(0, worker_end(&binder));

	/* From now on it belongs to the one that waited */
	EXPECT_RET(-EBUSY, worker_do(&runner, spin_by_kvm_run, &self->vcpu));
	stop_spinning(self);
	EXPECT_RET(GUEST_DONE, worker_do(&binder, spin, &self->vcpu));
	EXPECT_RET(0, worker_stop(&runner));
	EXPECT_RET(0, worker_stop(&binder));
}

/*
 * A VM is dead when there is no memory where system management mode has to save the
 * vCPU's state: enter_smm(), arch/x86/kvm/smm.c
 */
TEST_F(kvm_task_api, dead_vm)
{
	if (vm_check_extension(&self->vm, KVM_CAP_X86_SMM) <= 0)
		SKIP(return, "KVM lacks system management mode");
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SMI, NULL));
	EXPECT_RET(-EIO, kvm_vcpu_run(0));

	/* From now on, everything says so */
	EXPECT_RET(-EIO, kvm_vcpu_run(0));
	EXPECT_RET(-EIO, bound_check_extension(CAP));
	EXPECT_RET(-EIO, sys_ioctl(self->vcpu.fd, KVM_RUN, NULL));
	EXPECT_RET(-EIO, unbind_fd(self->vcpu.fd));
	EXPECT_RET(-EIO, unbind_fd(self->vm.fd));
}

TEST_HARNESS_MAIN
