// SPDX-License-Identifier: GPL-2.0-only
/* What only ports have: string writes, and the last port of all. */
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, BUS_PIO);

#define COUNT	64

static struct guest_io string_write(const FIXTURE_DATA(doorbell) *self,
				    uint32_t len)
{
	return (struct guest_io){
		.op = GUEST_STRING_WRITE, .bus = BUS_PIO, .addr = self->base,
		.len = len, .times = COUNT,
	};
}

/* "rep outs" is as many writes as it has elements */
TEST_F(doorbell, string_write_counts_each_element)
{
	uint32_t len;

	for (len = 1; len <= 4; len <<= 1) {
		struct doorbell bell = any_data(self, 0, len, self->fd);

		ASSERT_RET(0, assign(self, bell));
		EXPECT_NO_EXIT(&self->vcpu, string_write(self, len));
		EXPECT_SIGNALS(COUNT, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
}

/* The elements that match signal, the others leave in order and intact */
TEST_F(doorbell, string_write_with_datamatch)
{
	const struct guest_io io = string_write(self, 4);
	uint32_t *data = (uint32_t *)(self->vm.ram + GUEST_DATA_GPA);
	struct guest_exit exits[COUNT] = {};
	int i, left = 0;

	for (i = 0; i < COUNT; i++)
		data[i] = i % 4 ? 0x1000 + i : 0xcafe;
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 0xcafe, self->fd)));
	EXPECT_RET(COUNT - COUNT / 4,
		   guest_do(&self->vcpu, &io, exits, COUNT));
	EXPECT_SIGNALS(COUNT / 4, self->fd);
	for (i = 0; i < COUNT; i++) {
		if (i % 4)
			EXPECT_EQ(data[i], exits[left++].data);
	}
}

TEST_F(doorbell, string_write_of_other_width_leaves)
{
	const struct guest_io io = string_write(self, 2);

	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(COUNT, guest_do(&self->vcpu, &io, NULL, 0));
	EXPECT_SIGNALS(0, self->fd);
}

/* A port is 16 bits wide: the last is 0xffff, and nothing comes after it */
TEST_F(doorbell, last_port)
{
	struct doorbell bell = any_data(self, 0, 1, self->fd);
	struct guest_io io = write_at(self, 0, 1, 0x5a);

	bell.addr = 0xffff;
	io.addr = 0xffff;
	ASSERT_RET(0, assign(self, bell));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(1, self->fd);
	io.addr = 0;
	EXPECT_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(0, self->fd);
}

TEST_F(doorbell, port_zero)
{
	struct doorbell bell = any_data(self, 0, 1, self->fd);
	struct guest_io io = write_at(self, 0, 1, 0x5a);

	bell.addr = 0;
	io.addr = 0;
	ASSERT_RET(0, assign(self, bell));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(1, self->fd);
}

/* No port access is eight bytes wide, so this is legal and never answers */
TEST_F(doorbell, length_eight_never_signals)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 8, self->fd)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, 0x44332211));
	EXPECT_EXIT(&self->vcpu, write_at(self, 4, 4, 0x44332211));
	EXPECT_SIGNALS(0, self->fd);
}

TEST_HARNESS_MAIN
