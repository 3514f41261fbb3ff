// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer that does not read: the vCPU waits for room, and belongs to user space
 * as when it waits for an answer. Nothing is lost, nothing comes twice.
 */
#include "cpus.h"
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define ENOUGH	2000		/* posted writes that no socket here has room for */

/* Post @io.data, +1, +2 ... until the vCPU waits for room */
static void fill(struct __test_metadata *_metadata,
		 FIXTURE_DATA(mmio_socket) *self, struct region *region,
		 struct guest_io *io)
{
	int size = 4096;	/* the kernel makes of it what it needs at least */

	ASSERT_EQ(0, setsockopt(self->sock, SOL_SOCKET, SO_SNDBUF, &size,
				sizeof(size)));
	*region = a_region(self);
	region->posted = true;
	ASSERT_RET(0, region_assign(&self->vm, region));
	*io = write_at(self, 0, 4, 0);
	io->times = ENOUGH;
	io->step = 1;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, io));
	EXPECT_FALSE(run_ends_within(&self->run, 200));
}

/* Read what was posted, from @first to the last; how many these were */
static void drain(struct __test_metadata *_metadata,
		  FIXTURE_DATA(mmio_socket) *self, struct guest_io io,
		  uint64_t first, uint64_t end)
{
	struct kvm_mmio_socket_request request;

	for (io.data = first; io.data < end; io.data++) {
		EXPECT_REQUEST(self->peer, &request, io);
	}
}

TEST_F(mmio_socket, posted)
{
	struct region region;
	struct guest_io io;

	fill(_metadata, self, &region, &io);
	drain(_metadata, self, io, 0, ENOUGH);
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, signal)
{
	struct region region;
	struct guest_io io;
	int i;

	fill(_metadata, self, &region, &io);
	for (i = 0; i < 5; i++) {
		ASSERT_RET(0, run_interrupt(&self->run));
		EXPECT_RET(-EINTR, run_end(&self->run));
		EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
		ASSERT_RET(0, run_resume(&self->run));
		EXPECT_FALSE(run_ends_within(&self->run, 10));
	}
	drain(_metadata, self, io, 0, ENOUGH);
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, immediate_exit)
{
	struct region region;
	struct guest_io io;
	int i;

	fill(_metadata, self, &region, &io);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	self->vcpu.run->immediate_exit = 1;
	for (i = 0; i < 3; i++) {
		EXPECT_RET(-EINTR, sys_ioctl(self->vcpu.fd, KVM_RUN, NULL));
	}
	self->vcpu.run->immediate_exit = 0;
	ASSERT_RET(0, run_resume(&self->run));
	drain(_metadata, self, io, 0, ENOUGH);
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

/* A read needs room as well, and then an answer */
TEST_F(mmio_socket, read)
{
	struct guest_io io, read = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	struct region region;
	struct vcpu other;
	struct run reader = {};
	int i, reads = 0;

	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	fill(_metadata, self, &region, &io);
	ASSERT_RET(0, run_start(&reader, &other, &read));
	EXPECT_FALSE(run_ends_within(&reader, 50));
	for (i = 0; i < ENOUGH + 1; i++) {
		ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
		if (request.flags & KVM_MMIO_SOCKET_REQUEST_WRITE)
			continue;
		reads++;
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0x1234));
	}
	EXPECT_EQ(1, reads);
	EXPECT_DONE(&reader, 0);
	EXPECT_EQ(0x1234, reader.rax);
	EXPECT_DONE(&self->run, 0);
	vcpu_destroy(&other);
}

TEST_F(mmio_socket, peer_goes)
{
	struct region region;
	struct guest_io io;
	int before;

	fill(_metadata, self, &region, &io);
	close(self->peer);
	self->peer = -1;
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	before = ENOUGH - self->run.nr_exits;
	EXPECT_LT(0, before);
	EXPECT_GT(ENOUGH, before);
	io.data = before;
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED);
}

/* The one that waits was never asked for: it is user space's, like all the rest */
TEST_F(mmio_socket, deassign)
{
	struct region region;
	struct guest_io io;
	int before;

	fill(_metadata, self, &region, &io);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	before = ENOUGH - self->run.nr_exits;
	EXPECT_LT(0, before);
	drain(_metadata, self, io, 0, before);
	EXPECT_NO_REQUEST(self->peer);
	io.data = before;
	EXPECT_EXIT_FLAGS(&self->run, 0, io, 0);
}

/* ... and if there is another one by then, it is that one's */
TEST_F(mmio_socket, region_changes_its_socket)
{
	struct kvm_mmio_socket_request request;
	struct region region;
	struct guest_io io;
	int pair[2], before;

	fill(_metadata, self, &region, &io);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	region.fd = pair[0];
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_resume(&self->run));

	ASSERT_RET(0, peer_receive(pair[1], &request, PATIENCE));
	before = request_data(&request);
	drain(_metadata, self, io, 0, before);
	EXPECT_NO_REQUEST(self->peer);
	for (io.data = before + 1; io.data < ENOUGH; io.data++) {
		EXPECT_REQUEST(pair[1], &request, io);
	}
	EXPECT_DONE(&self->run, 0);
	close(pair[0]);
	close(pair[1]);
}

/* The vCPU waits for room in one socket, and wakes up to find another one */
TEST_F(mmio_socket, region_changes_its_socket_meanwhile)
{
	struct kvm_mmio_socket_request request;
	int pair[2], before, exits;
	struct region region;
	struct guest_io io;

	fill(_metadata, self, &region, &io);
	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, hold_cpu());
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	region.fd = pair[0];
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, release_cpu());

	ASSERT_RET(0, peer_receive(pair[1], &request, PATIENCE));
	before = request_data(&request);
	/* On a busy host, it may have run before there was another one */
	exits = __atomic_load_n(&self->run.nr_exits, __ATOMIC_RELAXED);
	EXPECT_GE(1, exits);
	drain(_metadata, self, io, 0, before - exits);
	EXPECT_NO_REQUEST(self->peer);
	for (io.data = before + 1; io.data < ENOUGH; io.data++) {
		EXPECT_REQUEST(pair[1], &request, io);
	}
	EXPECT_DONE(&self->run, exits);
	close(pair[0]);
	close(pair[1]);
}

TEST_HARNESS_MAIN
