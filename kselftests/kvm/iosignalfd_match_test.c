// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which write signals which eventfd: by bus, address, width and data; and that
 * every other write leaves for user space as if nothing were registered.
 */
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA	0x8877665544332211ull

#define for_each_len(len, max) \
	for ((len) = 1; (len) <= (max); (len) <<= 1)

/* As much of @data as a write of @len carries */
static uint64_t cut(uint64_t data, uint32_t len)
{
	return data & (~0ull >> (64 - 8 * len));
}

TEST_F(doorbell, every_length)
{
	uint32_t len;

	for_each_len(len, self->max_len) {
		ASSERT_RET(0, assign(self, any_data(self, 0, len, self->fd)));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, deassign(self, any_data(self, 0, len, self->fd)));
	}
}

TEST_F(doorbell, every_length_with_datamatch)
{
	uint32_t len;

	for_each_len(len, self->max_len) {
		uint64_t data = cut(DATA, len);
		struct doorbell bell = only_data(self, 0, len, data, self->fd);

		ASSERT_RET(0, assign(self, bell));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, data));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

/* One bit is enough to make it another value, wherever that bit is */
TEST_F(doorbell, datamatch_compares_every_bit)
{
	uint32_t len, bit;

	for_each_len(len, self->max_len) {
		uint64_t data = cut(DATA, len);
		struct doorbell bell = only_data(self, 0, len, data, self->fd);

		ASSERT_RET(0, assign(self, bell));
		for (bit = 0; bit < 8 * len; bit++)
			EXPECT_EXIT(&self->vcpu,
				    write_at(self, 0, len, data ^ (1ull << bit)));
		EXPECT_SIGNALS(0, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

/* What the register holds above the width written is no part of the write */
TEST_F(doorbell, datamatch_ignores_bits_above_width)
{
	uint32_t len;

	for_each_len(len, 4) {
		struct doorbell bell;

		bell = only_data(self, 0, len, cut(DATA, len), self->fd);
		ASSERT_RET(0, assign(self, bell));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

/* No number here has a sign */
TEST_F(doorbell, datamatch_of_all_ones)
{
	uint32_t len;

	for_each_len(len, self->max_len) {
		struct doorbell bell;

		bell = only_data(self, 0, len, cut(~0ull, len), self->fd);
		ASSERT_RET(0, assign(self, bell));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, ~0ull));
		EXPECT_SIGNALS(1, self->fd);
		EXPECT_EXIT(&self->vcpu, write_at(self, 0, len, ~0ull >> 1 << 1));
		EXPECT_SIGNALS(0, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

TEST_F(doorbell, datamatch_of_zero)
{
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 0, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 0));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
	EXPECT_SIGNALS(0, self->fd);
}

TEST_F(doorbell, counts_every_write)
{
	struct guest_io io = write_at(self, 0, 4, DATA);

	io.times = 500;
	io.step = 0x01010101;
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(500, self->fd);
}

TEST_F(doorbell, width_mismatch_leaves_with_data)
{
	uint32_t registered, width;

	for_each_len(registered, 8) {
		struct doorbell bell = any_data(self, 0, registered, self->fd);

		ASSERT_RET(0, assign(self, bell));
		for_each_len(width, self->max_len)
			if (width != registered)
				EXPECT_EXIT(&self->vcpu,
					    write_at(self, 0, width, DATA));
		EXPECT_SIGNALS(0, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

TEST_F(doorbell, address_beside_leaves_with_data)
{
	struct guest_io io;
	uint32_t len, width;
	int offset;

	for_each_len(len, self->max_len) {
		struct doorbell bell = any_data(self, 0, len, self->fd);

		ASSERT_RET(0, assign(self, bell));
		for_each_len(width, self->max_len) {
			for (offset = -8; offset <= 8; offset++) {
				io = write_at(self, offset, width, DATA);
				if (offset && !guest_cannot(&io))
					EXPECT_EXIT(&self->vcpu, io);
			}
		}
		EXPECT_SIGNALS(0, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

TEST_F(doorbell, two_datamatches_at_one_address)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 2, other)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, other);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 2));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(1, other);
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, 3));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

/* "A very practical scenario": a queue number written to one notify register */
TEST_F(doorbell, many_datamatches_at_one_address)
{
	int fds[256];
	size_t i, j;

	/* 37 and 256 have no common divisor: each once, and in no order */
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		j = i * 37 % ARRAY_SIZE(fds);
		ASSERT_FD(fds[j], efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 0, 2, j, fds[j])));
	}
	for (i = 0; i < ARRAY_SIZE(fds); i += 17) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 2, i));
		for (j = 0; j < ARRAY_SIZE(fds); j++)
			EXPECT_SIGNALS(i == j, fds[j]);
	}
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 2, ARRAY_SIZE(fds)));

	/* One write of each in turn, from the guest's own loop */
	EXPECT_NO_EXIT(&self->vcpu, ({
		struct guest_io io = write_at(self, 0, 2, 0);

		io.step = 1;
		io.times = ARRAY_SIZE(fds);
		io;
	}));
	for (j = 0; j < ARRAY_SIZE(fds); j++) {
		EXPECT_SIGNALS(1, fds[j]);
		close(fds[j]);
	}
}

TEST_F(doorbell, equal_datamatch_is_taken)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 1, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 1, other)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(doorbell, second_wildcard_is_taken)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, other)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(doorbell, datamatch_beside_wildcard_is_taken)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 1, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 0, other)));
	close(other);
}

TEST_F(doorbell, wildcard_beside_datamatch_is_taken)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, other)));

	/* What was refused must not answer either */
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, 2));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(doorbell, lengths_coexist_at_one_address)
{
	uint32_t lens[] = { 4, 1, 8, 2 };	/* neither up nor down */
	int fds[ARRAY_SIZE(lens)];
	uint32_t width;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		ASSERT_FD(fds[i], efd_create(0));
		ASSERT_RET(0, assign(self, any_data(self, 0, lens[i], fds[i])));
	}
	for_each_len(width, self->max_len) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, width, DATA));
		for (i = 0; i < ARRAY_SIZE(lens); i++)
			EXPECT_SIGNALS(lens[i] == width, fds[i]);
	}
}

TEST_F(doorbell, same_datamatch_in_every_length)
{
	uint32_t len, width;
	int fds[9] = {};

	for_each_len(len, 8) {
		ASSERT_FD(fds[len], efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 0, len, 0x11, fds[len])));
	}
	for_each_len(width, self->max_len) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, width, 0x11));
		for_each_len(len, 8)
			EXPECT_SIGNALS(len == width, fds[len]);
		EXPECT_EXIT(&self->vcpu, write_at(self, 0, width, 0x12));
	}
}

/* The same number as a port and as an address; below 64 KiB, so that it can be */
TEST_F(doorbell, the_other_bus_is_independent)
{
	struct doorbell here = any_data(self, 0, 4, self->fd), there;
	struct guest_io io_here = write_at(self, 0, 4, DATA), io_there;
	int other;

	here.addr = GUEST_HOLE_GPA;
	io_here.addr = GUEST_HOLE_GPA;
	there = here;
	io_there = io_here;
	there.bus = self->bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	io_there.bus = there.bus;
	SKIP_IF_GUEST_CANNOT(io_there);
	ASSERT_FD(other, efd_create(0));
	there.fd = other;

	ASSERT_RET(0, assign(self, here));
	EXPECT_EXIT(&self->vcpu, io_there);
	EXPECT_RET(-ENOENT, deassign(self, there));

	ASSERT_RET(0, assign(self, there));
	EXPECT_NO_EXIT(&self->vcpu, io_here);
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, other);
	EXPECT_NO_EXIT(&self->vcpu, io_there);
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(1, other);

	ASSERT_RET(0, deassign(self, here));
	EXPECT_EXIT(&self->vcpu, io_here);
	EXPECT_NO_EXIT(&self->vcpu, io_there);
	EXPECT_SIGNALS(1, other);
	close(other);
}

TEST_F(doorbell, one_eventfd_at_many_addresses)
{
	int i;

	for (i = 0; i < 64; i++)
		ASSERT_RET(0, assign(self, any_data(self, 16 * i, 4, self->fd)));
	for (i = 0; i < 64; i++)
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 16 * i, 4, DATA));
	EXPECT_SIGNALS(64, self->fd);
	for (i = 0; i < 64; i++)
		EXPECT_EXIT(&self->vcpu, write_at(self, 16 * i + 8, 4, DATA));
	EXPECT_SIGNALS(0, self->fd);
}

TEST_F(doorbell, one_eventfd_in_two_vms)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct vcpu vcpu2;
	struct vm vm2;

	ASSERT_RET(0, vm_init(&vm2));
	ASSERT_RET(0, vcpu_init(&vcpu2, &vm2, 0));
	ASSERT_RET(0, assign(self, bell));

	/* What one VM registers, another does not see */
	EXPECT_EXIT(&vcpu2, io);
	EXPECT_RET(-ENOENT, doorbell_deassign(self->api, vm2.fd, &bell));
	ASSERT_RET(0, doorbell_assign(self->api, vm2.fd, &bell));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_NO_EXIT(&vcpu2, io);
	EXPECT_SIGNALS(2, self->fd);

	/* ... nor does it end with the other */
	vcpu_destroy(&vcpu2);
	vm_destroy(&vm2);
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(1, self->fd);
}

TEST_HARNESS_MAIN
