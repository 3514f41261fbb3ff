// SPDX-License-Identifier: GPL-2.0-only
/*
 * A region goes while its accesses are under way. Those that wait become user
 * space's, which is told that the peer may have done them.
 */
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define DATA	0x44332211
#define ANSWER	0x99887766

TEST_F(mmio_socket, while_a_read_waits)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
	EXPECT_EQ((uint32_t)io.data, self->run.rax);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, while_a_write_waits)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	EXPECT_FALSE(run_ends_within(&self->run, 20));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
}

/* kvm_run has been used for something else in the meantime */
TEST_F(mmio_socket, while_interrupted)
{
	struct guest_io io = write_at(self, 8, 2, DATA);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	memset(&self->vcpu.run->mmio, 0xff, sizeof(self->vcpu.run->mmio));
	memset(&self->vcpu.run->io, 0xff, sizeof(self->vcpu.run->io));
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
}

TEST_F(mmio_socket, read_while_interrupted)
{
	struct guest_io io = read_at(self, 8, 2);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
}

/* ... with another region in its place: it is not asked again */
TEST_F(mmio_socket, replaced_while_interrupted)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_interrupt(&self->run));
	EXPECT_RET(-EINTR, run_end(&self->run));
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_resume(&self->run));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, FAILED | ASKED);
	EXPECT_NO_REQUEST(self->peer);
}

/* The answer that nobody waits for any more does no harm to the others */
TEST_F(mmio_socket, late_answer)
{
	struct guest_io io = read_at(self, 0, 4), next = read_at(self, SIZE, 4);
	struct kvm_mmio_socket_request request, second;
	struct region region = a_region(self), other = region;

	other.addr += SIZE;
	ASSERT_RET(0, region_assign(&self->vm, &other));
	begin(_metadata, self, io, &request);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_DONE(&self->run, 1);

	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &next));
	EXPECT_REQUEST(self->peer, &second, next);
	EXPECT_RET(0, peer_answer(self->peer, second.cookie, ~ANSWER));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ((uint32_t)~ANSWER, self->run.rax);

	/* Once, and not again */
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* With the last region, KVM forgets what it asked: a new one does not expect it */
TEST_F(mmio_socket, late_answer_to_a_new_connection)
{
	struct guest_io io = read_at(self, 0, 4);
	struct kvm_mmio_socket_request request;
	struct region region = a_region(self);

	begin(_metadata, self, io, &request);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_DONE(&self->run, 1);
	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ANSWER));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* Those that wait in another region of the socket go on waiting */
TEST_F(mmio_socket, only_its_own)
{
	struct guest_io io = read_at(self, 0, 4), kept = read_at(self, SIZE, 4);
	struct kvm_mmio_socket_request request, second;
	struct region region = a_region(self), other = region;
	struct run run = {};
	struct vcpu vcpu;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	other.addr += SIZE;
	ASSERT_RET(0, region_assign(&self->vm, &other));
	begin(_metadata, self, io, &request);
	ASSERT_RET(0, run_start(&run, &vcpu, &kept));
	EXPECT_REQUEST(self->peer, &second, kept);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_DONE(&self->run, 1);
	EXPECT_FALSE(run_ends_within(&run, 20));
	EXPECT_RET(0, peer_answer(self->peer, second.cookie, ANSWER));
	EXPECT_DONE(&run, 0);
	EXPECT_EQ(ANSWER, run.rax);
	vcpu_destroy(&vcpu);
}

/* When the ioctl has returned, the region asks for nothing any more */
TEST_F(mmio_socket, under_fire)
{
	struct guest_io io = write_at(self, 0, 4, 0);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	uint64_t seen = 0, exits = 0;
	int i;

	use_every_cpu();
	region.posted = true;
	io.times = 50;
	for (i = 0; i < 20; i++) {
		ASSERT_RET(0, region_assign(&self->vm, &region));
		ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
		ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
		seen++;
		ASSERT_RET(0, region_deassign(&self->vm, &region));
		while (!peer_receive(self->peer, &request, 0))
			seen++;
		EXPECT_RET(GUEST_DONE, run_end(&self->run));
		EXPECT_NO_REQUEST(self->peer);
		exits += self->run.nr_exits;
	}
	EXPECT_EQ(20 * io.times, seen + exits);
}

TEST_HARNESS_MAIN
