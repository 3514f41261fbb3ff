// SPDX-License-Identifier: GPL-2.0-only
/* What an access becomes on the socket, and what the guest gets. */
#include "fixture.h"

EVERY_SOCKET_VARIANT();

#define DATA	0x8877665544332211ull
#define ANSWER	0xf1e2d3c4b5a69788ull

/* One access that the peer does, and its request in @request */
static void peer_does(struct __test_metadata *_metadata,
		      FIXTURE_DATA(mmio_socket) *self, struct guest_io io,
		      uint64_t answer, struct kvm_mmio_socket_request *request)
{
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, request, io);
	EXPECT_TRUE(request->flags & KVM_MMIO_SOCKET_REQUEST_ANSWER);
	EXPECT_RET(0, peer_answer(self->peer, request->cookie, answer));
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

/* What a load of @len leaves in rax, which was @before */
static uint64_t loaded(uint64_t before, uint64_t value, uint32_t len)
{
	if (len >= 4)
		return low_bytes(value, len);
	return low_bytes(value, len) | (before & ~low_bytes(~0ull, len));
}

TEST_F(mmio_socket, every_width)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	uint32_t len;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	for (len = 1; len <= self->max_len; len <<= 1) {
		peer_does(_metadata, self, write_at(self, 8, len, DATA), 0,
			  &request);
		peer_does(_metadata, self, read_at(self, 8, len), ANSWER,
			  &request);
		EXPECT_EQ(loaded(read_at(self, 8, len).data, ANSWER, len),
			  self->run.rax);
	}
}

/* Nothing of what the kernel had in memory: what is not written is zero */
TEST_F(mmio_socket, unused_bytes_are_zero)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	size_t i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	peer_does(_metadata, self, write_at(self, 0, 1, DATA), 0, &request);
	for (i = 1; i < sizeof(request.data); i++) {
		EXPECT_EQ(0, request.data[i]);
	}
	peer_does(_metadata, self, read_at(self, 0, 1), 0, &request);
	for (i = 0; i < sizeof(request.data); i++) {
		EXPECT_EQ(0, request.data[i]);
	}
	EXPECT_EQ(0, request.flags & ~(KVM_MMIO_SOCKET_REQUEST_WRITE |
				       KVM_MMIO_SOCKET_REQUEST_PIO |
				       KVM_MMIO_SOCKET_REQUEST_ANSWER));
}

TEST_F(mmio_socket, cookies_differ)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	uint64_t before;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	peer_does(_metadata, self, read_at(self, 0, 4), 1, &request);
	before = request.cookie;
	peer_does(_metadata, self, read_at(self, 0, 4), 2, &request);
	EXPECT_NE(before, request.cookie);
}

TEST_F(mmio_socket, first_and_last_byte)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	peer_does(_metadata, self, write_at(self, 0, 1, DATA), 0, &request);
	peer_does(_metadata, self, write_at(self, SIZE - 1, 1, DATA), 0, &request);
	peer_does(_metadata, self, write_at(self, SIZE - 4, 4, DATA), 0, &request);

	EXPECT_EXIT(&self->vcpu, write_at(self, -1, 1, DATA));
	EXPECT_EXIT(&self->vcpu, write_at(self, SIZE, 1, DATA));
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, across_the_edge)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_EXIT(&self->vcpu, write_at(self, -2, 4, DATA));
	EXPECT_EXIT(&self->vcpu, write_at(self, SIZE - 2, 4, DATA));
	EXPECT_EXIT(&self->vcpu, read_at(self, -2, 4));
	EXPECT_EXIT(&self->vcpu, read_at(self, SIZE - 1, 2));
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, region_of_one_byte)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	region.size = 1;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	peer_does(_metadata, self, write_at(self, 0, 1, DATA), 0, &request);
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 2, DATA));
	EXPECT_EXIT(&self->vcpu, write_at(self, 1, 1, DATA));
}

/* The guest is not behind its write before the peer has said so */
TEST_F(mmio_socket, write_waits)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_FALSE(run_ends_within(&self->run, 50));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, ~0ull));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(DATA, self->run.rax);
}

TEST_F(mmio_socket, many_in_a_row)
{
	struct guest_io io = write_at(self, 4, 4, 1);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.times = 50;
	io.step = 3;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < 50; i++) {
		EXPECT_REQUEST(self->peer, &request, io);
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
		io.data += io.step;
	}
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, without_regions)
{
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_EXIT(&self->vcpu, read_at(self, 0, 4));
	EXPECT_NO_REQUEST(self->peer);
}

/* Where user space is still asked, and what it says counts */
TEST_F(mmio_socket, beside_the_region)
{
	struct region region = a_region(self);
	struct guest_io io = read_at(self, SIZE, 4);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.data = 0x12345678;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, io, 0);
	EXPECT_EQ(0x12345678, self->run.rax);
}

/* Two messages, for no message has more than eight bytes */
TEST_F(mmio_socket, sixteen_bytes)
{
	struct guest_io io = write_at(self, 0, 16, DATA), half;
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	if (self->bus == BUS_PIO)
		SKIP(return, "PIO has no access of 16 bytes");
	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.data_high = ANSWER;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	half = write_at(self, 0, 8, DATA);
	EXPECT_REQUEST(self->peer, &request, half);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	half = write_at(self, 8, 8, ANSWER);
	EXPECT_REQUEST(self->peer, &request, half);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_DONE(&self->run, 0);
}

/* One half to the peer, the other one to user space */
TEST_F(mmio_socket, sixteen_bytes_across_the_edge)
{
	struct guest_io io = write_at(self, SIZE - 8, 16, DATA);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	if (self->bus == BUS_PIO)
		SKIP(return, "PIO has no access of 16 bytes");
	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.data_high = ANSWER;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, write_at(self, SIZE - 8, 8, DATA));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_DONE(&self->run, 1);
	EXPECT_EXIT_FLAGS(&self->run, 0, write_at(self, SIZE, 8, ANSWER), 0);
}

/* KVM cuts at a page, and each piece is an access of its own */
TEST_F(mmio_socket, page_boundary)
{
	struct guest_io write = write_at(self, 0, 8, DATA), read;
	struct region below = a_region(self), above = below;
	struct kvm_mmio_socket_request request;

	if (self->bus == BUS_PIO)
		SKIP(return, "ports have no pages");
	below.addr = 0xe0001000 - SIZE;
	above.addr = 0xe0001000;
	ASSERT_RET(0, region_assign(&self->vm, &below));
	ASSERT_RET(0, region_assign(&self->vm, &above));
	write.addr = 0xe0001000 - 3;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &write));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_EQ(write.addr, request.addr);
	EXPECT_EQ(3, request.len);
	EXPECT_EQ(0x332211, request_data(&request));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_EQ(above.addr, request.addr);
	EXPECT_EQ(5, request.len);
	EXPECT_EQ(0x8877665544, request_data(&request));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_DONE(&self->run, 0);

	read = read_at(self, 0, 8);
	read.addr = write.addr;
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &read));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_EQ(3, request.len);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0xffffff332211));
	ASSERT_RET(0, peer_receive(self->peer, &request, PATIENCE));
	EXPECT_EQ(5, request.len);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0x8877665544));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(DATA, self->run.rax);
}

TEST_HARNESS_MAIN
