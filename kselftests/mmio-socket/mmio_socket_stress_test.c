// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions that come and go, signals, and peers that die under running vCPUs. Each
 * write is seen by a peer or by user space: none is lost, and none is doubled.
 */
#include <sched.h>

#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define WRITES	400

/* A device in a thread: answers what wants an answer, until the end */
struct device {
	pthread_t thread;
	int sock;
	int type;
	uint64_t requests;
};

static void *serve(void *arg)
{
	struct device *device = arg;
	struct kvm_mmio_socket_request request;
	ssize_t n;

	while ((n = recv(device->sock, &request, sizeof(request), MSG_WAITALL)) ==
	       sizeof(request)) {
		device->requests++;
		if (request.flags & KVM_MMIO_SOCKET_REQUEST_ANSWER)
			peer_answer(device->sock, request.cookie, 0);
	}
	return NULL;
}

static int device_start(struct device *device, int sock)
{
	*device = (struct device){ .sock = sock };
	return -pthread_create(&device->thread, NULL, serve, device);
}

/* On, off, on, off: what the peer saw and what user space saw is all there was */
static void storm(struct __test_metadata *_metadata,
		  FIXTURE_DATA(mmio_socket) *self, bool posted)
{
	struct guest_io io = write_at(self, 0, 4, 0);
	struct region region = a_region(self), other = region;
	struct device device;
	uint64_t exits;
	int i = 0;

	use_every_cpu();
	ASSERT_RET(0, device_start(&device, self->peer));
	/* It keeps the connection, in which late answers are expected */
	other.addr += SIZE;
	ASSERT_RET(0, region_assign(&self->vm, &other));
	region.posted = posted;
	io.times = WRITES;
	self->run.keep_going = true;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	while (!run_ends_within(&self->run, 0)) {
		ASSERT_RET(0, region_assign(&self->vm, &region));
		if (i++ % 3)
			run_signal(&self->run);
		sched_yield();
		ASSERT_RET(0, region_deassign(&self->vm, &region));
	}
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	exits = self->run.nr_exits;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	shutdown(self->sock, SHUT_WR);
	ASSERT_EQ(0, pthread_join(device.thread, NULL));
	if (posted)
		EXPECT_EQ(WRITES, device.requests + exits);
	/* One that waited when its region went is seen by both, and marked so */
	EXPECT_LE(WRITES, device.requests + exits);
}

TEST_F(mmio_socket, assign_deassign_posted)
{
	storm(_metadata, self, true);
}

TEST_F(mmio_socket, assign_deassign_awaited)
{
	storm(_metadata, self, false);
}

/* Peers die one after the other, and each write is asked for or exits */
TEST_F(mmio_socket, peers_die)
{
	struct guest_io io = write_at(self, 0, 4, 0);
	struct region region = a_region(self);
	struct device device;
	uint64_t requests = 0, unsure = 0;
	int i, pair[2];

	use_every_cpu();
	io.times = 20;
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
		region.fd = pair[0];
		ASSERT_RET(0, region_assign(&self->vm, &region));
		ASSERT_RET(0, device_start(&device, pair[1]));
		ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
		usleep(100 * i);
		shutdown(pair[1], SHUT_RDWR);
		EXPECT_RET(GUEST_DONE, run_end(&self->run));
		ASSERT_EQ(0, pthread_join(device.thread, NULL));
		requests = device.requests;
		unsure = self->run.nr_exits &&
			 self->run.flags[0] & ASKED ? 1 : 0;
		/* At most one has been asked for and came to user space as well */
		EXPECT_LE(io.times - unsure, requests + self->run.nr_exits);
		EXPECT_GE(io.times + unsure, requests + self->run.nr_exits);
		ASSERT_RET(0, region_deassign(&self->vm, &region));
		close(pair[0]);
		close(pair[1]);
	}
}

TEST_HARNESS_MAIN
