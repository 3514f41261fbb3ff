// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU that waits for its peer belongs to user space whenever that wants it:
 * KVM_RUN can be interrupted, goes on, and nothing is lost or done twice.
 */
#include <signal.h>

#include "fixture.h"

EVERY_SOCKET_VARIANT();

#define DATA	0x44332211
#define ANSWER	0x99887766

static void interrupt(struct __test_metadata *_metadata,
		      FIXTURE_DATA(mmio_socket) *self)
{
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
}

/* The answer comes, and the guest goes on with it */
static void end(struct __test_metadata *_metadata,
		FIXTURE_DATA(mmio_socket) *self,
		const struct kvm_mmio_socket_request *request)
{
	EXPECT_RET(0, peer_answer(self->peer, request->cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, slow_peer)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	EXPECT_FALSE(run_ends_within(&self->run, 1000));
	end(_metadata, self, &request);
}

TEST_F(mmio_socket, signal)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	EXPECT_NO_REQUEST(self->peer);
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	end(_metadata, self, &request);
}

TEST_F(mmio_socket, signal_during_a_write)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, write_at(self, 0, 4, DATA), &request);
	interrupt(_metadata, self);
	EXPECT_NO_REQUEST(self->peer);
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(DATA, self->run.rax);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, signal_many_times)
{
	struct kvm_mmio_socket_request request;
	int i;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	for (i = 0; i < 20; i++) {
		interrupt(_metadata, self);
		ASSERT_RET(0, run_resume(&self->run));
	}
	EXPECT_EQ(20, self->run.interruptions);
	end(_metadata, self, &request);
}

/* In the middle of many, all of which are done once and in order */
TEST_F(mmio_socket, signals_at_any_time)
{
	struct guest_io io = write_at(self, 0, 4, 0);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	int i;

	self->run.keep_going = true;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.times = 100;
	io.step = 1;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < 100; i++, io.data++) {
		if (i % 2)
			run_signal(&self->run);
		EXPECT_REQUEST(self->peer, &request, io);
		if (i % 3)
			run_signal(&self->run);
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	}
	EXPECT_DONE(&self->run, 0);
	EXPECT_LT(0, self->run.interruptions);
	EXPECT_NO_REQUEST(self->peer);
}

/* What KVM_SET_SIGNAL_MASK blocks, does not end the wait */
TEST_F(mmio_socket, signal_mask)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} mask = { .head.len = 8 };
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	sigset_t blocked;

	mask.set[(SIGUSR1 - 1) / 8] = 1 << ((SIGUSR1 - 1) % 8);
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	begin(_metadata, self, read_at(self, 0, 4), &request);
	ASSERT_RET(0, run_signal(&self->run));
	EXPECT_FALSE(run_ends_within(&self->run, 50));
	end(_metadata, self, &request);

	/* Blocked everywhere but in KVM_RUN, it does */
	memset(mask.set, 0, sizeof(mask.set));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, NULL));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	interrupt(_metadata, self);
	ASSERT_RET(0, run_resume(&self->run));
	end(_metadata, self, &request);
}

TEST_F(mmio_socket, immediate_exit)
{
	struct kvm_mmio_socket_request request;
	int i;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	self->vcpu.run->immediate_exit = 1;
	for (i = 0; i < 3; i++) {
		EXPECT_RET(-EINTR, sys_ioctl(self->vcpu.fd, KVM_RUN, NULL));
	}
	EXPECT_NO_REQUEST(self->peer);
	self->vcpu.run->immediate_exit = 0;
	ASSERT_RET(0, run_resume(&self->run));
	end(_metadata, self, &request);
}

/* Answered meanwhile: the instruction is completed, and no other begun */
TEST_F(mmio_socket, immediate_exit_answered)
{
	struct kvm_mmio_socket_request request;
	struct kvm_regs regs;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	self->vcpu.run->immediate_exit = 1;
	EXPECT_RET(-EINTR, sys_ioctl(self->vcpu.fd, KVM_RUN, NULL));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_REGS, &regs));
	EXPECT_EQ(ANSWER, regs.rax);
	self->vcpu.run->immediate_exit = 0;
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_NO_REQUEST(self->peer);
}

/* Whoever does not wait just then gets it when it comes back */
TEST_F(mmio_socket, answer_while_away)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	/* KVM reads it, though nobody waits */
	usleep(50000);
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
}

/* ... even if the peer is no more by then */
TEST_F(mmio_socket, answer_and_end_while_away)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	shutdown(self->peer, SHUT_RDWR);
	usleep(50000);
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
}

/* A signal comes first, and with it nothing is begun */
TEST_F(mmio_socket, user_space_can_look)
{
	struct kvm_mmio_socket_request request;
	struct kvm_regs before, after;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	interrupt(_metadata, self);
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_REGS, &before));
	EXPECT_EQ(0xbadbadbadbadbadb, before.rax);
	ASSERT_RET(0, run_resume(&self->run));
	interrupt(_metadata, self);
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_REGS, &after));
	EXPECT_EQ(before.rip, after.rip);
	EXPECT_EQ(before.rax, after.rax);
	ASSERT_RET(0, run_resume(&self->run));
	end(_metadata, self, &request);
}

TEST_HARNESS_MAIN
