// SPDX-License-Identifier: GPL-2.0-only
/*
 * A registration goes only by its own name: the same bus, address, length, data
 * and eventfd. Anything else is ENOENT, and what was registered stays.
 */
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA	0x44332211

/* @wrong names no registration, so the one at the base goes on as before */
static void expect_no_entry(struct __test_metadata *_metadata,
			    FIXTURE_DATA(doorbell) *self, struct doorbell wrong)
{
	EXPECT_RET(-ENOENT, deassign(self, wrong));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
}

TEST_F(doorbell, deassign_stops_the_signals)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_RET(0, deassign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
}

TEST_F(doorbell, nothing_registered)
{
	EXPECT_RET(-ENOENT, deassign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-ENOENT, deassign(self, only_data(self, 0, 4, 0, self->fd)));
}

TEST_F(doorbell, wrong_eventfd)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	expect_no_entry(_metadata, self, any_data(self, 0, 4, other));
	close(other);
}

TEST_F(doorbell, wrong_eventfd_for_datamatch)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, DATA, self->fd)));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, other)));
	expect_no_entry(_metadata, self, only_data(self, 0, 4, DATA, other));
	expect_no_entry(_metadata, self, only_data(self, 0, 4, 1, self->fd));
	close(other);
}

TEST_F(doorbell, wrong_length)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	expect_no_entry(_metadata, self, any_data(self, 0, 1, self->fd));
	expect_no_entry(_metadata, self, any_data(self, 0, 2, self->fd));
	expect_no_entry(_metadata, self, any_data(self, 0, 8, self->fd));
}

TEST_F(doorbell, wrong_address)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	expect_no_entry(_metadata, self, any_data(self, 1, 4, self->fd));
	expect_no_entry(_metadata, self, any_data(self, -1, 4, self->fd));
}

TEST_F(doorbell, wrong_data)
{
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, DATA, self->fd)));
	expect_no_entry(_metadata, self,
			only_data(self, 0, 4, DATA + 1, self->fd));
	expect_no_entry(_metadata, self, only_data(self, 0, 4, 0, self->fd));
}

TEST_F(doorbell, wildcard_does_not_name_a_datamatch)
{
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, DATA, self->fd)));
	expect_no_entry(_metadata, self, any_data(self, 0, 4, self->fd));
}

TEST_F(doorbell, datamatch_does_not_name_a_wildcard)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	expect_no_entry(_metadata, self, only_data(self, 0, 4, 0, self->fd));
	expect_no_entry(_metadata, self, only_data(self, 0, 4, DATA, self->fd));
}

TEST_F(doorbell, wrong_bus)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd), there;

	bell.addr = GUEST_HOLE_GPA;
	there = bell;
	there.bus = self->bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	SKIP_IF_GUEST_CANNOT(any_write(there.bus));
	ASSERT_RET(0, assign(self, bell));
	EXPECT_RET(-ENOENT, deassign(self, there));
	EXPECT_RET(0, deassign(self, bell));
}

TEST_F(doorbell, twice)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);

	ASSERT_RET(0, assign(self, bell));
	EXPECT_RET(0, deassign(self, bell));
	EXPECT_RET(-ENOENT, deassign(self, bell));
}

/* The eventfd counts, not the number by which this process knows it */
TEST_F(doorbell, through_a_duplicate)
{
	int twin;

	ASSERT_FD(twin, dup(self->fd));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, twin)));
	EXPECT_RET(0, deassign(self, any_data(self, 0, 4, twin)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(0, twin);
	close(twin);
}

/* ... so a number that has come to stand for another eventfd does not do */
TEST_F(doorbell, through_a_recycled_number)
{
	int twin, other;

	ASSERT_FD(twin, dup(self->fd));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, twin)));
	ASSERT_FD(other, efd_create(0));
	ASSERT_EQ(twin, dup2(other, twin));
	expect_no_entry(_metadata, self, any_data(self, 0, 4, twin));
	EXPECT_RET(0, deassign(self, any_data(self, 0, 4, self->fd)));
	close(twin);
	close(other);
}

TEST_F(doorbell, reassign_to_another_eventfd)
{
	int other, i;

	ASSERT_FD(other, efd_create(0));
	for (i = 0; i < 10; i++) {
		int fd = i % 2 ? other : self->fd;

		ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		EXPECT_SIGNALS(fd == self->fd, self->fd);
		EXPECT_SIGNALS(fd == other, other);
		ASSERT_RET(0, deassign(self, any_data(self, 0, 4, fd)));
	}
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	close(other);
}

/* A wildcard may follow datamatches, and they it, once the place is free */
TEST_F(doorbell, reassign_with_and_without_datamatch)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
		ASSERT_RET(0, deassign(self, any_data(self, 0, 4, self->fd)));
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, 2, self->fd)));
		EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
		ASSERT_RET(0, deassign(self, only_data(self, 0, 4, 1, self->fd)));
		EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
		ASSERT_RET(0, deassign(self, only_data(self, 0, 4, 2, self->fd)));
	}
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
}

/* Whichever goes first, in the middle or last, the others answer as before */
TEST_F(doorbell, neighbours_by_data_stay)
{
	static const int order[] = { 3, 0, 7, 4, 1, 6, 2, 5 };
	bool gone[ARRAY_SIZE(order)] = {};
	int fds[ARRAY_SIZE(order)];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ASSERT_FD(fds[i], efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, 10 * i, fds[i])));
	}
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		int n = order[i];

		ASSERT_RET(0, deassign(self, only_data(self, 0, 4, 10 * n, fds[n])));
		gone[n] = true;
		for (j = 0; j < ARRAY_SIZE(order); j++) {
			if (gone[j])
				EXPECT_EXIT(&self->vcpu,
					    write_at(self, 0, 4, 10 * j));
			else
				EXPECT_NO_EXIT(&self->vcpu,
					       write_at(self, 0, 4, 10 * j));
			EXPECT_SIGNALS(!gone[j], fds[j]);
		}
	}
}

TEST_F(doorbell, neighbours_by_address_stay)
{
	static const int order[] = { 3, 0, 7, 4, 1, 6, 2, 5 };
	bool gone[ARRAY_SIZE(order)] = {};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		ASSERT_RET(0, assign(self, any_data(self, 4 * i, 4, self->fd)));
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ASSERT_RET(0, deassign(self, any_data(self, 4 * order[i], 4,
						      self->fd)));
		gone[order[i]] = true;
		for (j = 0; j < ARRAY_SIZE(order); j++) {
			if (gone[j])
				EXPECT_EXIT(&self->vcpu,
					    write_at(self, 4 * j, 4, DATA));
			else
				EXPECT_NO_EXIT(&self->vcpu,
					       write_at(self, 4 * j, 4, DATA));
			EXPECT_SIGNALS(!gone[j], self->fd);
		}
	}
}

TEST_HARNESS_MAIN
