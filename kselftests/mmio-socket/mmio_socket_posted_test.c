// SPDX-License-Identifier: GPL-2.0-only
/* Writes that do not wait, and the order of what one socket carries. */
#include "fixture.h"

EVERY_SOCKET_VARIANT();

#define DATA	0x44332211
#define ANSWER	0x99887766

static struct region posted_region(const FIXTURE_DATA(mmio_socket) *self)
{
	struct region region = a_region(self);

	region.posted = true;
	return region;
}

TEST_F(mmio_socket, does_not_wait)
{
	struct region region = posted_region(self);
	struct kvm_mmio_socket_request request;
	uint32_t len;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	for (len = 1; len <= self->max_len; len <<= 1) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 8, len, DATA));
		EXPECT_REQUEST(self->peer, &request, write_at(self, 8, len, DATA));
		EXPECT_EQ(0, request.cookie);
		EXPECT_FALSE(request.flags & KVM_MMIO_SOCKET_REQUEST_ANSWER);
		EXPECT_NO_REQUEST(self->peer);
	}
}

TEST_F(mmio_socket, batch_keeps_its_order)
{
	struct guest_io io = write_at(self, 0, 4, 1000);
	struct region region = posted_region(self);
	struct kvm_mmio_socket_request request;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.times = 100;
	io.step = 7;
	EXPECT_NO_EXIT(&self->vcpu, io);
	for (i = 0; i < 100; i++) {
		EXPECT_REQUEST(self->peer, &request, io);
		io.data += io.step;
	}
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, read_waits)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = posted_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_TRUE(request.flags & KVM_MMIO_SOCKET_REQUEST_ANSWER);
	EXPECT_NE(0, request.cookie);
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(ANSWER, self->run.rax);
}

/* A read behind writes finds them done: the peer gets it after them */
TEST_F(mmio_socket, read_behind_writes)
{
	struct guest_io writes = write_at(self, 0, 4, DATA);
	struct guest_io io = read_at(self, 0, 4);
	struct region region = posted_region(self);
	struct kvm_mmio_socket_request request;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	writes.times = 5;
	EXPECT_NO_EXIT(&self->vcpu, writes);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < 5; i++) {
		EXPECT_REQUEST(self->peer, &request, writes);
	}
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
}

/* What a driver relies on: a read of one BAR, a write to another one before it */
TEST_F(mmio_socket, one_socket_two_regions)
{
	struct region posted = posted_region(self), waited = a_region(self);
	struct guest_io io = read_at(self, SIZE, 4);
	struct kvm_mmio_socket_request request;

	waited.addr += SIZE;
	waited.tag = TAG + 1;
	ASSERT_RET(0, region_assign(&self->vm, &posted));
	ASSERT_RET(0, region_assign(&self->vm, &waited));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, write_at(self, 0, 4, DATA));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_EQ(TAG + 1, request.tag);
	EXPECT_EQ(io.addr, request.addr);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);

	/* One of them goes, and the other one does not notice */
	ASSERT_RET(0, region_deassign(&self->vm, &posted));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
}

/* Nobody wants to hear of it */
TEST_F(mmio_socket, answered)
{
	struct region region = posted_region(self);
	struct kvm_mmio_socket_request request;
	struct guest_io io = write_at(self, 0, 4, DATA);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED);
}

TEST_F(mmio_socket, peer_is_gone)
{
	struct region region = posted_region(self);
	struct guest_io io = write_at(self, 0, 4, DATA);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	close(self->peer);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED);
	self->peer = -1;
}

TEST_HARNESS_MAIN
