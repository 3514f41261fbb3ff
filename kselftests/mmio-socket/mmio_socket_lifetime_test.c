// SPDX-License-Identifier: GPL-2.0-only
/*
 * A region holds its socket: no less, so that the descriptor may be closed, and
 * no longer than it lives. The peer sees the end when the last holder is gone.
 */
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define ANSWER	0x99887766

static void close_sock(FIXTURE_DATA(mmio_socket) *self)
{
	close(self->sock);
	self->sock = -1;
}

static void close_vm(FIXTURE_DATA(mmio_socket) *self)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

TEST_F(mmio_socket, descriptor_closed)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	close_sock(self);
	EXPECT_FALSE(peer_sees_the_end(self->peer, 0));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	close_vm(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, deassign_lets_go)
{
	struct region region = a_region(self), second = region;
	int twin;

	second.addr += SIZE;
	ASSERT_FD(twin, dup(self->sock));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, region_assign(&self->vm, &second));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	second.fd = twin;
	ASSERT_RET(0, region_deassign(&self->vm, &second));
	close(twin);
	EXPECT_FALSE(peer_sees_the_end(self->peer, 0));
	close_sock(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, refusals_let_go)
{
	struct region region = a_region(self);
	int pair[2], i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	for (i = 0; i < 20; i++) {
		struct region other = region, bad = region;

		ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
		other.fd = pair[0];
		EXPECT_RET(-EEXIST, region_assign(&self->vm, &other));
		EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
		bad.fd = pair[0];
		bad.size = 0;
		EXPECT_RET(-EINVAL, region_assign(&self->vm, &bad));
		close(pair[0]);
		EXPECT_TRUE(peer_sees_the_end(pair[1], PATIENCE));
		close(pair[1]);
	}
}

TEST_F(mmio_socket, teardown_with_regions)
{
	struct region region = a_region(self);
	int i;

	region.size = 8;
	for (i = 0; i < 16; i++, region.addr += 8) {
		region.bus = i % 2 ? BUS_MMIO : BUS_PIO;
		region.addr = 0x1000 + 8 * i;
		ASSERT_RET(0, region_assign(&self->vm, &region));
	}
	close_sock(self);
	EXPECT_FALSE(peer_sees_the_end(self->peer, 0));
	close_vm(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, vcpu_keeps_the_regions)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	close_sock(self);
	close(self->vm.fd);
	self->vm.fd = -1;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_FALSE(peer_sees_the_end(self->peer, 0));
	vcpu_destroy(&self->vcpu);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

static void begin_and_interrupt(struct __test_metadata *_metadata,
				FIXTURE_DATA(mmio_socket) *self,
				struct region *region)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;

	*region = a_region(self);
	ASSERT_RET(0, region_assign(&self->vm, region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
}

TEST_F(mmio_socket, closed_while_pending)
{
	struct region region;

	begin_and_interrupt(_metadata, self, &region);
	close_sock(self);
	close_vm(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* The access outlives its region, and so far the file */
TEST_F(mmio_socket, deassigned_and_closed_while_pending)
{
	struct region region;

	begin_and_interrupt(_metadata, self, &region);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	close_sock(self);
	close_vm(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, answered_and_closed_while_pending)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	usleep(20000);
	close_sock(self);
	close_vm(self);
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* Assigned and deassigned over and over, with work for the socket each time */
TEST_F(mmio_socket, again_and_again)
{
	struct region region = a_region(self);
	int pair[2], i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
		region.fd = pair[0];
		ASSERT_RET(0, region_assign(&self->vm, &region));
		EXPECT_RET(0, peer_answer(pair[1], 1, 0));
		ASSERT_RET(0, region_deassign(&self->vm, &region));
		close(pair[0]);
		EXPECT_TRUE(peer_sees_the_end(pair[1], PATIENCE));
		close(pair[1]);
	}
}

TEST_HARNESS_MAIN
