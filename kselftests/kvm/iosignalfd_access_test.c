// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses that are not one plain aligned write: reads, and writes to
 * registrations that are unaligned or touch each other.
 */
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA	0x8877665544332211ull

#define for_each_len(len, max) \
	for ((len) = 1; (len) <= (max); (len) <<= 1)

/* The guest must get what user space answers, though the address is taken */
TEST_F(doorbell, read_leaves_and_never_signals)
{
	uint32_t len;

	for_each_len(len, self->max_len) {
		uint64_t mask = ~0ull >> (64 - 8 * len), rax;
		struct doorbell bell = any_data(self, 0, len, self->fd);
		struct guest_io io = write_at(self, 0, len, DATA);

		io.op = GUEST_READ;
		ASSERT_RET(0, assign(self, bell));
		EXPECT_EXIT(&self->vcpu, io);
		EXPECT_SIGNALS(0, self->fd);
		ASSERT_RET(0, vcpu_read_data(&self->vcpu, &rax));
		EXPECT_EQ(DATA & mask, rax & mask);
		ASSERT_RET(0, deassign(self, bell));
	}
}

/* ... even where the datamatch is what the guest's register holds */
TEST_F(doorbell, read_of_datamatch_never_signals)
{
	struct guest_io io = write_at(self, 0, 4, 0x11);

	io.op = GUEST_READ;
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 0x11, self->fd)));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 0, self->fd)));
	EXPECT_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(0, self->fd);
}

TEST_F(doorbell, unaligned_registration)
{
	uint32_t len, offset;

	SKIP_IF_GUEST_CANNOT(write_at(self, 1, 2, DATA));
	for_each_len(len, self->max_len) {
		for (offset = 1; offset < 8; offset += 2) {
			struct doorbell bell = any_data(self, offset, len, self->fd);

			ASSERT_RET(0, assign(self, bell));
			EXPECT_NO_EXIT(&self->vcpu,
				       write_at(self, offset, len, DATA));
			EXPECT_SIGNALS(1, self->fd);
			EXPECT_EXIT(&self->vcpu, write_at(self, 0, len, DATA));
			EXPECT_SIGNALS(0, self->fd);
			ASSERT_RET(0, deassign(self, bell));
		}
	}
}

TEST_F(doorbell, adjacent_registrations)
{
	int fds[16];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_FD(fds[i], efd_create(0));
		ASSERT_RET(0, assign(self, any_data(self, i, 1, fds[i])));
	}
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, i, 1, DATA));
		for (j = 0; j < ARRAY_SIZE(fds); j++)
			EXPECT_SIGNALS(i == j, fds[j]);
	}
}

TEST_F(doorbell, overlapping_registrations)
{
	int odd;

	SKIP_IF_GUEST_CANNOT(write_at(self, 2, 4, DATA));
	ASSERT_FD(odd, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	ASSERT_RET(0, assign(self, any_data(self, 2, 4, odd)));
	ASSERT_RET(0, assign(self, any_data(self, 4, 4, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 2, 4, DATA));
	EXPECT_SIGNALS(1, odd);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 4, 4, DATA));
	EXPECT_SIGNALS(2, self->fd);
	EXPECT_EXIT(&self->vcpu, write_at(self, 1, 4, DATA));
	EXPECT_EXIT(&self->vcpu, write_at(self, 2, 2, DATA));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(0, odd);
	close(odd);
}

TEST_HARNESS_MAIN
