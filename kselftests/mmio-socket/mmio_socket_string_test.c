// SPDX-License-Identifier: GPL-2.0-only
/*
 * String I/O: one exit to user space may stand for many items, and each is a
 * request of its own. Those that are done are done, whatever happens then.
 */
#include "fixture.h"

SOCKET_VARIANT(stream, SOCK_STREAM, BUS_PIO);
SOCKET_VARIANT(seqpacket, SOCK_SEQPACKET, BUS_PIO);

#define ITEMS	8

static struct guest_io string_io(const FIXTURE_DATA(mmio_socket) *self,
				 enum guest_op op, uint32_t len)
{
	return (struct guest_io){
		.op = op, .bus = BUS_PIO, .addr = self->base, .len = len,
		.data = 0xbadbadbadbadbadb, .times = ITEMS,
	};
}

static uint8_t *memory(const FIXTURE_DATA(mmio_socket) *self)
{
	return self->vm.ram + GUEST_DATA_GPA;
}

static void fill(FIXTURE_DATA(mmio_socket) *self)
{
	int i;

	for (i = 0; i < 4 * ITEMS; i++)
		memory(self)[i] = 0x10 + i;
}

static struct guest_io one_item(const FIXTURE_DATA(mmio_socket) *self,
				bool write, uint32_t len, int i)
{
	struct guest_io io = write ? write_at(self, 0, len, 0) :
				     read_at(self, 0, len);

	if (write)
		memcpy(&io.data, memory(self) + i * len, len);
	return io;
}

TEST_F(mmio_socket, outs)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	struct guest_io io;
	uint32_t len;
	int i;

	fill(self);
	ASSERT_RET(0, region_assign(&self->vm, &region));
	for (len = 1; len <= 4; len <<= 1) {
		io = string_io(self, GUEST_STRING_WRITE, len);
		ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
		for (i = 0; i < ITEMS; i++) {
			EXPECT_REQUEST(self->peer, &request,
				       one_item(self, true, len, i));
			EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
		}
		EXPECT_DONE(&self->run, 0);
		EXPECT_NO_REQUEST(self->peer);
	}
}

TEST_F(mmio_socket, ins)
{
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	struct guest_io io;
	uint32_t len;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	for (len = 1; len <= 4; len <<= 1) {
		memset(memory(self), 0xff, 4 * ITEMS + 4);
		io = string_io(self, GUEST_STRING_READ, len);
		ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
		for (i = 0; i < ITEMS; i++) {
			EXPECT_REQUEST(self->peer, &request,
				       one_item(self, false, len, i));
			EXPECT_RET(0, peer_answer(self->peer, request.cookie,
						  0x5550 + i));
		}
		EXPECT_DONE(&self->run, 0);
		for (i = 0; i < ITEMS; i++) {
			uint32_t item = 0;

			memcpy(&item, memory(self) + i * len, len);
			EXPECT_EQ(low_bytes(0x5550 + i, len), item);
		}
		EXPECT_EQ(0xff, memory(self)[ITEMS * len]);
	}
}

/* The same without a region, as it ever was: this suite's guest is new to it */
TEST_F(mmio_socket, without_regions)
{
	struct guest_io io = string_io(self, GUEST_STRING_WRITE, 1);
	int exits;

	fill(self);
	exits = guest_do(&self->vcpu, &io, NULL, 0);
	EXPECT_LE(1, exits);
	EXPECT_GE(ITEMS, exits);
	io.op = GUEST_STRING_READ;
	io.data = 0x3c3c3c3c3c3c3c3c;
	exits = guest_do(&self->vcpu, &io, NULL, 0);
	EXPECT_LE(1, exits);
	EXPECT_EQ(0x3c, memory(self)[0]);
	EXPECT_EQ(0x3c, memory(self)[ITEMS - 1]);
}

static void interrupted_at_each(struct __test_metadata *_metadata,
				FIXTURE_DATA(mmio_socket) *self,
				enum guest_op op)
{
	bool write = op == GUEST_STRING_WRITE;
	struct region region = a_region(self);
	struct guest_io io = string_io(self, op, 2);
	struct kvm_mmio_socket_request request;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < ITEMS; i++) {
		EXPECT_REQUEST(self->peer, &request,
			       one_item(self, write, 2, i));
		ASSERT_RET(0, run_interrupt(&self->run));
		EXPECT_RET(-EINTR, run_end(&self->run));
		EXPECT_NO_REQUEST(self->peer);
		ASSERT_RET(0, run_resume(&self->run));
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0x5550 + i));
	}
	EXPECT_DONE(&self->run, 0);
	EXPECT_NO_REQUEST(self->peer);
}

TEST_F(mmio_socket, outs_interrupted)
{
	fill(self);
	interrupted_at_each(_metadata, self, GUEST_STRING_WRITE);
}

TEST_F(mmio_socket, ins_interrupted)
{
	int i;

	interrupted_at_each(_metadata, self, GUEST_STRING_READ);
	for (i = 0; i < ITEMS; i++) {
		EXPECT_EQ(0x50 + i, memory(self)[2 * i]);
		EXPECT_EQ(0x55, memory(self)[2 * i + 1]);
	}
}

/*
 * The peer does three items and is gone: user space gets the rest, and only that.
 * How many items KVM takes at once is its own affair, and an exit says so.
 */
static void rest_for_user_space(struct __test_metadata *_metadata,
				FIXTURE_DATA(mmio_socket) *self,
				enum guest_op op, int *left)
{
	bool write = op == GUEST_STRING_WRITE;
	struct region region = a_region(self);
	struct guest_io io = string_io(self, op, 1);
	struct kvm_mmio_socket_request request;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < 4; i++) {
		EXPECT_REQUEST(self->peer, &request,
			       one_item(self, write, 1, i));
		if (i < 3)
			EXPECT_RET(0, peer_answer(self->peer, request.cookie,
						  0x5550 + i));
	}
	shutdown(self->peer, SHUT_RDWR);
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	ASSERT_LT(0, self->run.nr_exits);
	EXPECT_EQ(FAILED | ASKED, self->run.flags[0] & (FAILED | ASKED));
	for (i = 0, *left = 0; i < self->run.nr_exits; i++) {
		EXPECT_EQ(write, self->run.exits[i].is_write);
		EXPECT_EQ(self->base, self->run.exits[i].addr);
		*left += self->run.exits[i].len;
		if (i)
			EXPECT_EQ(FAILED, self->run.flags[i] & (FAILED | ASKED));
	}
	EXPECT_EQ(ITEMS - 3, *left);
}

TEST_F(mmio_socket, outs_rest_for_user_space)
{
	int left;

	fill(self);
	rest_for_user_space(_metadata, self, GUEST_STRING_WRITE, &left);
	EXPECT_EQ(memory(self)[3], self->run.exits[0].data & 0xff);
}

TEST_F(mmio_socket, ins_rest_for_user_space)
{
	int left, i;

	rest_for_user_space(_metadata, self, GUEST_STRING_READ, &left);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0x50 + i, memory(self)[i]);
	}
	/* The bytes of io.data, which run.c gives */
	EXPECT_EQ(0xdb, memory(self)[3]);
	EXPECT_EQ(0xba, memory(self)[4]);
}

/* Deassigned halfway, without the next item having been asked for */
TEST_F(mmio_socket, deassigned_halfway)
{
	struct guest_io io = string_io(self, GUEST_STRING_READ, 1);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	int i, sum = 0;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	for (i = 0; i < 2; i++) {
		EXPECT_REQUEST(self->peer, &request, one_item(self, false, 1, i));
		if (!i)
			EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0x77));
	}
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_RET(GUEST_DONE, run_end(&self->run));
	ASSERT_LT(0, self->run.nr_exits);
	EXPECT_EQ(FAILED | ASKED, self->run.flags[0] & (FAILED | ASKED));
	for (i = 0; i < self->run.nr_exits; i++)
		sum += self->run.exits[i].len;
	EXPECT_EQ(ITEMS - 1, sum);
	EXPECT_EQ(0x77, memory(self)[0]);
}

/* They do not wait, and are in order */
TEST_F(mmio_socket, outs_posted)
{
	struct guest_io io = string_io(self, GUEST_STRING_WRITE, 2);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	int i;

	fill(self);
	region.posted = true;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_DONE(&self->run, 0);
	for (i = 0; i < ITEMS; i++) {
		EXPECT_REQUEST(self->peer, &request, one_item(self, true, 2, i));
	}
	EXPECT_NO_REQUEST(self->peer);
}

TEST_HARNESS_MAIN
