// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer that wants to harm: it sends more than anybody asked for, and files with
 * it. KVM keeps none of them, and no VM lives on because of them.
 */
#include <time.h>

#include "child.h"
#include "cpus.h"
#include "doorbell.h"
#include "eventfd_util.h"
#include "fixture.h"

EVERY_SOCKET_VARIANT();

#define ANSWER	0x99887766

/* As much as it can, at once: it costs KVM one message, not its memory or time */
TEST_F(mmio_socket, flood)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	int sent = 0;

	begin(_metadata, self, io, &request);
	while (!peer_answer(self->peer, ~request.cookie, 0) && sent < 100000)
		sent++;
	EXPECT_GT(100000, sent);
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED);
}

/* KVM takes no descriptors: what comes along is closed */
TEST_F(mmio_socket, sends_descriptors)
{
	struct kvm_mmio_socket_answer answer = { .data = { 0x66, 0x77, 0x88, 0x99 } };
	struct kvm_mmio_socket_request request;
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	begin(_metadata, self, read_at(self, 0, 4), &request);
	answer.cookie = request.cookie;
	EXPECT_RET(0, send_fd(self->peer, &answer, sizeof(answer), pair[0], 0));
	close(pair[0]);
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_TRUE(peer_sees_the_end(pair[1], PATIENCE));
	close(pair[1]);
}

/* A byte out of band is none of the answer, wherever it comes in between */
TEST_F(mmio_socket, urgent_data)
{
	struct kvm_mmio_socket_answer answer = { .data = { 0x66, 0x77, 0x88, 0x99 } };
	struct kvm_mmio_socket_request request;
	int pair[2];

	if (self->type != SOCK_STREAM)
		SKIP(return, "SOCK_SEQPACKET has no urgent data");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	begin(_metadata, self, read_at(self, 0, 4), &request);
	answer.cookie = request.cookie;
	EXPECT_EQ(5, send(self->peer, &answer, 5, 0));
	EXPECT_RET(0, send_fd(self->peer, &answer, 1, pair[0], MSG_OOB));
	close(pair[0]);
	EXPECT_EQ(sizeof(answer) - 5, send(self->peer, (char *)&answer + 5,
					   sizeof(answer) - 5, 0));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
	EXPECT_TRUE(peer_sees_the_end(pair[1], PATIENCE));
	close(pair[1]);
}

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000 + now.tv_nsec;
}

#define BEHIND_THE_VCPU	-1

/*
 * Have the vCPU ask, answer it, and @delay ns later send one message more, which has a
 * descriptor with it: KVM has to take that out of the socket, or it is not closed.
 * With BEHIND_THE_VCPU, that comes when the vCPU has ended. Returns how many ns the
 * vCPU took to its end from the answer, if it has been awaited.
 */
static long answer_and_send_more(struct __test_metadata *_metadata,
				 FIXTURE_DATA(mmio_socket) *self, long delay)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	struct kvm_mmio_socket_answer answer = {};
	int socks[2], pair[2];
	long from, ns = 0;

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, socks));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	region.fd = socks[0];
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	ASSERT_RET(0, peer_receive(socks[1], &request, PATIENCE));
	ASSERT_RET(0, peer_answer(socks[1], request.cookie, ANSWER));
	from = now_ns();
	if (delay == BEHIND_THE_VCPU) {
		while (__atomic_load_n(&self->run.result, __ATOMIC_ACQUIRE) ==
			       -EINPROGRESS &&
		       ns < PATIENCE * 1000000l)
			ns = now_ns() - from;
	} else {
		while (now_ns() - from < delay)
			;
	}
	EXPECT_RET(0, send_fd(socks[1], &answer, sizeof(answer), pair[0], 0));
	close(pair[0]);
	EXPECT_DONE(&self->run, 0);
	ASSERT_TRUE(peer_sees_the_end(pair[1], PATIENCE))
		TH_LOG("%ld ns behind the answer", delay);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	close(pair[1]);
	close(socks[0]);
	close(socks[1]);
	return ns;
}

#define SAMPLES	9
#define TRIES	200
#define STRIDE	79		/* prime to it, so that each delay has its turn */
#define AT_MOST	3000000000l	/* ns; a busy host is slow */

static int by_size(const void *a, const void *b)
{
	long left = *(const long *)a, right = *(const long *)b;

	return (left > right) - (left < right);
}

/*
 * One message more just as the vCPU, which has its answer, stops receiving: either
 * it or nobody else but the work item is left to take it. That is a moment of a
 * microsecond somewhere before the vCPU's end, so look at all of that time.
 */
TEST_F(mmio_socket, unasked_behind_an_answer)
{
	long ns[SAMPLES], from;
	int i;

	use_every_cpu();
	for (i = 0; i < SAMPLES; i++)
		ns[i] = answer_and_send_more(_metadata, self, BEHIND_THE_VCPU);
	qsort(ns, SAMPLES, sizeof(ns[0]), by_size);
	from = now_ns();
	for (i = 0; i < TRIES && now_ns() - from < AT_MOST; i++)
		answer_and_send_more(_metadata, self, ns[SAMPLES / 2] *
				     (i * STRIDE % TRIES) / (TRIES - 1));
}

/*
 * The VM holds the socket, and a message in the socket's queue could hold the VM:
 * nobody but KVM can take it out again. It must not stay there.
 */
static void send_vm_to_itself(struct __test_metadata *_metadata,
			      FIXTURE_DATA(mmio_socket) *self, bool garbage)
{
	struct doorbell bell = { .bus = BUS_PIO, .addr = 0x3000, .len = 4 };
	struct kvm_mmio_socket_answer answer = {};
	struct region region = a_region(self);
	int before = efd_mark(), ms = 0, i;

	/* An eventfd's context goes when the last that holds it goes: the VM */
	ASSERT_FD(bell.fd, efd_create(0));
	ASSERT_RET(0, doorbell_assign(&ioeventfd_api, self->vm.fd, &bell));
	close(bell.fd);
	EXPECT_LT(before, efd_mark());

	ASSERT_RET(0, region_assign(&self->vm, &region));
	/* All of it is there before KVM looks ... */
	ASSERT_RET(0, hold_cpu());
	if (garbage) {
		/*
		 * What breaks the connection, and what looks like its end: more than
		 * once, since KVM is woken once more by the end itself
		 */
		send(self->peer, &answer, 1, MSG_NOSIGNAL);
		for (i = 0; self->type == SOCK_SEQPACKET && i < 10; i++)
			send(self->peer, &answer, 0, MSG_NOSIGNAL);
	}
	/* ... but on a busy host, where it may have shut the connection down already */
	send_fd(self->peer, &answer, sizeof(answer), self->vm.fd, 0);
	ASSERT_RET(0, release_cpu());
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->sock);
	self->sock = -1;
	while (efd_mark() != before && ms < PATIENCE) {
		usleep(10000);
		ms += 10;
	}
	EXPECT_GT(PATIENCE, ms);
}

TEST_F(mmio_socket, keeps_the_vm_alive_by_itself)
{
	send_vm_to_itself(_metadata, self, false);
}

TEST_F(mmio_socket, keeps_the_vm_alive_behind_garbage)
{
	send_vm_to_itself(_metadata, self, true);
}

TEST_HARNESS_MAIN
