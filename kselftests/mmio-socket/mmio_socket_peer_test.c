// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer that is gone or wrong. The access becomes user space's, with a word on
 * whether the peer may have done it, and nobody else is harmed.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "cpus.h"
#include "fixture.h"

EVERY_SOCKET_VARIANT();

#define DATA	0x44332211
#define ANSWER	0x99887766

static void expect_failed(struct __test_metadata *_metadata,
			  FIXTURE_DATA(mmio_socket) *self, struct guest_io io,
			  int flags)
{
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, flags);
}

/* One more access, which goes to user space at once */
static void expect_broken(struct __test_metadata *_metadata,
			  FIXTURE_DATA(mmio_socket) *self)
{
	struct guest_io io = write_at(self, 4, 2, DATA);

	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	expect_failed(_metadata, self, io, FAILED);
	io = read_at(self, 4, 2);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	expect_failed(_metadata, self, io, FAILED);
}

static void close_peer(FIXTURE_DATA(mmio_socket) *self)
{
	close(self->peer);
	self->peer = -1;
}

TEST_F(mmio_socket, gone_before_assign)
{
	struct region region = a_region(self);

	close_peer(self);
	ASSERT_RET(0, region_assign(&self->vm, &region));
	expect_broken(_metadata, self);
	EXPECT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_EQ(0, self->vcpu.run->flags & (FAILED | ASKED));
}

TEST_F(mmio_socket, gone)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	close_peer(self);
	expect_broken(_metadata, self);
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, closed_while_a_read_waits)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, io, &request);
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	close_peer(self);
	expect_failed(_metadata, self, io, FAILED | ASKED);
	EXPECT_EQ((uint32_t)io.data, self->run.rax);
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, closed_while_a_write_waits)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, io, &request);
	close_peer(self);
	expect_failed(_metadata, self, io, FAILED | ASKED);
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, closed_with_two_waiting)
{
	struct guest_io io = read_at(self, 0, 4), second = write_at(self, 8, 2, 1);
	struct kvm_mmio_socket_request request;
	struct run run = {};
	struct vcpu vcpu;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_start(&run, &vcpu, &second));
	EXPECT_REQUEST(self->peer, &request, second);
	close_peer(self);
	expect_failed(_metadata, self, io, FAILED | ASKED);
	EXPECT_DONE(&run, 1);
	EXPECT_EXIT_FLAGS(&run, 0, second, FAILED | ASKED);
	vcpu_destroy(&vcpu);
}

/* It has not even read the request; KVM cannot know that */
TEST_F(mmio_socket, closed_without_reading)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_TRUE(peer_is_asked(self->peer, PATIENCE));
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	close_peer(self);
	expect_failed(_metadata, self, io, FAILED | ASKED);
}

TEST_F(mmio_socket, killed)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	pid_t pid;
	int status;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_TRUE(peer_is_asked(self->peer, PATIENCE));
	close_peer(self);
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	expect_failed(_metadata, self, io, FAILED | ASKED);
}

TEST_F(mmio_socket, shuts_down_its_answers)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, io, &request);
	ASSERT_EQ(0, shutdown(self->peer, SHUT_WR));
	expect_failed(_metadata, self, io, FAILED | ASKED);
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, shuts_down_its_requests)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_EQ(0, shutdown(self->peer, SHUT_RD));
	expect_broken(_metadata, self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, answers_and_closes)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	close_peer(self);
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	expect_broken(_metadata, self);
}

/* A reset, because of what it has not read, does not take the answer along */
TEST_F(mmio_socket, answers_and_closes_without_reading)
{
	struct guest_io io = read_at(self, 0, 4), second = read_at(self, 8, 4);
	struct kvm_mmio_socket_request request;
	struct run run = {};
	struct vcpu vcpu;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_RET(0, run_start(&run, &vcpu, &second));
	EXPECT_FALSE(run_ends_within(&run, 50));
	ASSERT_RET(0, run_interrupt(&run));
	EXPECT_RET(-EINTR, run_end(&run));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	close_peer(self);

	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	ASSERT_RET(0, run_resume(&run));
	EXPECT_DONE(&run, 1);
	EXPECT_EXIT_FLAGS(&run, 0, second, FAILED | ASKED);
	vcpu_destroy(&vcpu);
}

/* Nor if KVM sees the reset first, which a SOCK_SEQPACKET tells before all else */
TEST_F(mmio_socket, answers_and_is_reset)
{
	struct guest_io io = read_at(self, 0, 4), second = read_at(self, 8, 4);
	struct kvm_mmio_socket_request request;
	struct run run = {};
	struct vcpu vcpu;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_start(&run, &vcpu, &second));
	EXPECT_TRUE(peer_is_asked(self->peer, PATIENCE));
	ASSERT_RET(0, hold_cpu());
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	close_peer(self);
	ASSERT_RET(0, release_cpu());

	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_DONE(&run, 1);
	EXPECT_EXIT_FLAGS(&run, 0, second, FAILED | ASKED);
	vcpu_destroy(&vcpu);
}

/* What finds the end is a request that cannot be sent, of another vCPU */
TEST_F(mmio_socket, answers_and_is_asked_for_more)
{
	struct kvm_mmio_socket_request request;
	struct vcpu vcpu;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	EXPECT_EXIT(&vcpu, write_at(self, SIZE, 4, DATA));
	begin(_metadata, self, read_at(self, 0, 4), &request);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_RET(0, hold_cpu());
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	close_peer(self);
	EXPECT_EXIT(&vcpu, write_at(self, 8, 4, DATA));
	ASSERT_RET(0, release_cpu());

	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	vcpu_destroy(&vcpu);
}

/* Whatever @size bytes of @data are to a SOCK_SEQPACKET, they are no answer */
static void expect_malformed(struct __test_metadata *_metadata,
			     FIXTURE_DATA(mmio_socket) *self, size_t extra,
			     bool empty)
{
	struct {
		struct kvm_mmio_socket_answer answer;
		uint8_t more[64];
	} message = {};
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	size_t size = empty ? 0 : sizeof(message.answer) + extra;

	begin(_metadata, self, io, &request);
	message.answer.cookie = request.cookie;
	EXPECT_EQ(size, send(self->peer, &message, size, MSG_NOSIGNAL));
	expect_failed(_metadata, self, io, FAILED | ASKED);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	expect_broken(_metadata, self);
}

#define SKIP_UNLESS(_type, why)						\
	do {								\
		if (self->type != (_type))				\
			SKIP(return, why);				\
	} while (0)

TEST_F(mmio_socket, too_short)
{
	SKIP_UNLESS(SOCK_SEQPACKET, "a stream has no messages");
	expect_malformed(_metadata, self, -1, false);
}

TEST_F(mmio_socket, empty)
{
	SKIP_UNLESS(SOCK_SEQPACKET, "a stream has no messages");
	expect_malformed(_metadata, self, 0, true);
}

TEST_F(mmio_socket, too_long)
{
	SKIP_UNLESS(SOCK_SEQPACKET, "a stream has no messages");
	expect_malformed(_metadata, self, 1, false);
}

TEST_F(mmio_socket, in_pieces)
{
	struct kvm_mmio_socket_answer answer = { .data = { 0x66, 0x77, 0x88, 0x99 } };
	struct kvm_mmio_socket_request request;
	size_t i;

	SKIP_UNLESS(SOCK_STREAM, "a message comes as a whole");
	begin(_metadata, self, read_at(self, 0, 4), &request);
	answer.cookie = request.cookie;
	for (i = 0; i < sizeof(answer); i++) {
		EXPECT_EQ(1, send(self->peer, (uint8_t *)&answer + i, 1, 0));
		if (i == 5) {
			/* What has come belongs to the connection, not to the vCPU */
			ASSERT_RET(0, run_interrupt(&self->run));
			EXPECT_RET(-EINTR, run_end(&self->run));
			ASSERT_RET(0, run_resume(&self->run));
		}
		usleep(1000);
	}
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
}

TEST_F(mmio_socket, two_at_once)
{
	struct guest_io io = read_at(self, 0, 4), second = read_at(self, 8, 4);
	struct kvm_mmio_socket_answer answers[2] = {};
	struct kvm_mmio_socket_request request;
	struct run run = {};
	struct vcpu vcpu;

	SKIP_UNLESS(SOCK_STREAM, "a message comes as a whole");
	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	begin(_metadata, self, io, &request);
	answers[0].cookie = request.cookie;
	answers[0].data[0] = 1;
	ASSERT_RET(0, run_start(&run, &vcpu, &second));
	EXPECT_REQUEST(self->peer, &request, second);
	answers[1].cookie = request.cookie;
	answers[1].data[0] = 2;
	EXPECT_EQ(sizeof(answers), send(self->peer, answers, sizeof(answers), 0));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(1, self->run.rax);
	EXPECT_DONE(&run, 0);
	EXPECT_EQ(2, run.rax);
	vcpu_destroy(&vcpu);
}

TEST_F(mmio_socket, closes_within_an_answer)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;

	SKIP_UNLESS(SOCK_STREAM, "a message comes as a whole");
	begin(_metadata, self, io, &request);
	EXPECT_EQ(15, send(self->peer, &request, 15, 0));
	EXPECT_FALSE(run_ends_within(&self->run, 50));
	close_peer(self);
	expect_failed(_metadata, self, io, FAILED | ASKED);
}

TEST_F(mmio_socket, wrong_cookie)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, io, &request);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie + 1, ANSWER));
	expect_failed(_metadata, self, io, FAILED | ASKED);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, twice)
{
	struct kvm_mmio_socket_request request;

	begin(_metadata, self, read_at(self, 0, 4), &request);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	/* Nobody waits, and it is noticed nevertheless */
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, unasked)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(0, peer_answer(self->peer, 1, ANSWER));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	expect_broken(_metadata, self);
}

TEST_F(mmio_socket, unasked_before_assign)
{
	struct region region = a_region(self);

	EXPECT_RET(0, peer_answer(self->peer, 1, ANSWER));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	expect_broken(_metadata, self);
}

/* The answer to one region is none to another VM's, though they share a socket */
TEST_F(mmio_socket, socket_of_two_vms)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	struct vm other;

	ASSERT_RET(0, vm_init(&other));
	ASSERT_RET(0, region_assign(&other, &region));
	begin(_metadata, self, io, &request);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	/* Whichever VM reads it: the guest has the answer, or user space the access */
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	if (self->run.nr_exits)
		EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
	else
		EXPECT_EQ(ANSWER, self->run.rax);
	vm_destroy(&other);
}

/* VMs count their requests from anywhere, so one knows no answer to another one's */
TEST_F(mmio_socket, cookies_of_two_vms)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request, others;
	struct region region = a_region(self);
	struct run run = {};
	struct vcpu vcpu;
	struct vm other;
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, vm_init(&other));
	ASSERT_RET(0, vcpu_init(&vcpu, &other, 0));
	region.fd = pair[0];
	ASSERT_RET(0, region_assign(&other, &region));
	ASSERT_RET(0, run_start(&run, &vcpu, &io));
	EXPECT_REQUEST(pair[1], &others, io);
	begin(_metadata, self, io, &request);
	EXPECT_NE(others.cookie, request.cookie);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_RET(0, peer_answer(pair[1], others.cookie, ANSWER));
	EXPECT_DONE(&run, 0);
	vcpu_destroy(&vcpu);
	vm_destroy(&other);
	close(pair[0]);
	close(pair[1]);
}

TEST_F(mmio_socket, broken_is_shut_down)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_answer answer = {};
	int pair[2];

	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(0, peer_answer(self->peer, 1, 0));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	EXPECT_EQ(0, recv(self->peer, &answer, sizeof(answer), 0));
	EXPECT_EQ(-1, send(self->peer, &answer, sizeof(answer), MSG_NOSIGNAL));
	EXPECT_EQ(EPIPE, errno);
	expect_broken(_metadata, self);

	/* Another socket in its place, and all is well */
	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	close(self->sock);
	close(self->peer);
	self->sock = pair[0];
	self->peer = pair[1];
	{
		struct kvm_mmio_socket_request request;

		begin(_metadata, self, read_at(self, 0, 4), &request);
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	}
	EXPECT_DONE(&self->run, 0);
}

/* KVM is its own peer, and what it asks is no answer to what it asked */
TEST_F(mmio_socket, both_ends_are_kvms)
{
	struct guest_io io = read_at(self, 0, 4), other = write_at(self, SIZE, 4, 1);
	struct region region = a_region(self), second = region;

	second.addr += SIZE;
	second.fd = self->peer;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, region_assign(&self->vm, &second));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	expect_failed(_metadata, self, io, FAILED | ASKED);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &other));
	expect_failed(_metadata, self, other, FAILED);
}

TEST_HARNESS_MAIN
