// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way fails once: the call says ENOMEM and has done
 * nothing, or it can do without. Nothing leaks, and nobody else suffers: mainline
 * once left a bus without any of its devices (CVE-2020-36312, CVE-2023-54024).
 *
 * Needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and debugfs; skips without them.
 */
#include "debug_kernel.h"
#include "doorbell_fixture.h"
#include "fault.h"
#include "slab.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA		0x44332211
#define NEIGHBOUR	0x40
#define FAULTS_MAX	50
#define LEAK_LOOPS	1000

/* Something else on the bus, that has nothing to do with what fails */
static void expect_neighbour(struct __test_metadata *_metadata,
			     FIXTURE_DATA(doorbell) *self, int fd)
{
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, NEIGHBOUR, 4, DATA));
	EXPECT_SIGNALS(1, fd);
}

static void expect_there(struct __test_metadata *_metadata,
			 FIXTURE_DATA(doorbell) *self, bool there)
{
	if (there)
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	else
		EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(there, self->fd);
}

/* Fail each allocation of an assign of @bell in turn, until none is left */
static void assign_under_faults(struct __test_metadata *_metadata,
				FIXTURE_DATA(doorbell) *self,
				struct doorbell bell)
{
	int before, neighbour, nth, failed = 1, refused = 0, ret;

	ASSERT_FD(neighbour, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, NEIGHBOUR, 4, neighbour)));
	before = efd_mark();

	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, fault_arm(nth));
		ret = assign(self, bell);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		if (ret || !debug_kernel())
			EXPECT_RET(failed ? -ENOMEM : 0, ret);
		refused += ret != 0;
		expect_there(_metadata, self, !ret);
		expect_neighbour(_metadata, self, neighbour);
		if (!ret)
			ASSERT_RET(0, deassign(self, bell));
	}
	/* The first could have been one of many, but never none at all */
	EXPECT_LT(0, refused);
	EXPECT_EQ(0, failed);
	close(neighbour);

	/* What failed kept no reference: the eventfd goes with its last name */
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(before - 1, efd_mark());
}

TEST_F(doorbell, assign_wildcard)
{
	SKIP_WITHOUT_FAULTS();
	assign_under_faults(_metadata, self, any_data(self, 0, 4, self->fd));
}

TEST_F(doorbell, assign_datamatch)
{
	SKIP_WITHOUT_FAULTS();
	assign_under_faults(_metadata, self,
			    only_data(self, 0, 4, DATA, self->fd));
}

TEST_F(doorbell, assign_second_datamatch)
{
	struct doorbell first;
	int other;

	SKIP_WITHOUT_FAULTS();
	ASSERT_FD(other, efd_create(0));
	first = only_data(self, 0, 4, 1, other);
	ASSERT_RET(0, assign(self, first));
	assign_under_faults(_metadata, self,
			    only_data(self, 0, 4, DATA, self->fd));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
	EXPECT_SIGNALS(1, other);
	EXPECT_RET(0, deassign(self, first));
	close(other);
}

/* Let the first three allocations of an assign of @bell fail, one after the other */
static void fail_each(struct __test_metadata *_metadata,
		      FIXTURE_DATA(doorbell) *self, struct doorbell bell)
{
	int nth, ret;

	for (nth = 1; nth <= 3; nth++) {
		ASSERT_RET(0, fault_arm(nth));
		ret = assign(self, bell);
		ASSERT_LE(0, fault_disarm());
		if (!ret)
			ASSERT_RET(0, deassign(self, bell));
	}
}

/* What was allocated before the one that failed is free again */
TEST_F_TIMEOUT(doorbell, failures_leak_no_memory, 60)
{
	int loops = debug_kernel() ? 10 : LEAK_LOOPS, round, i;
	long before_kib, more = 0;

	SKIP_WITHOUT_FAULTS();
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < loops; i++) {
			fail_each(_metadata, self, any_data(self, 0, 4, self->fd));
			fail_each(_metadata, self,
				  only_data(self, 0, 4, DATA, self->fd));
		}
		/* The smallest object is a table of one */
		more = slab_grown(before_kib, loops * 16l / 1024);
		if (!more)
			return;
	}
	TH_LOG("slab: %d rounds, %ld KiB more in the last", round, more);
	EXPECT_GT(SLAB_ROUNDS, round);
}

/* A registration that failed for want of memory takes no place of the limit, nor makes one */
TEST_F(doorbell, failures_do_not_count)
{
	bool pio = self->bus == BUS_PIO;
	int limit, room, i, failed;

	if (!self->api->limited)
		return;
	SKIP_WITHOUT_FAULTS();
	room = vm_room(&self->vm, pio, self->base + 0x100);
	ASSERT_LT(0, room);
	fail_each(_metadata, self, any_data(self, 8, 4, self->fd));
	EXPECT_EQ(room, vm_room(&self->vm, pio, self->base + 0x100));

	limit = vm_check_extension(&self->vm, self->api->cap);
	for (i = 0; i < limit - 1; i++)
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, i, self->fd)));
	for (i = 0; i < 3; i++) {
		ASSERT_RET(0, fault_arm(1));
		EXPECT_RET(-ENOMEM, assign(self, any_data(self, 8, 4, self->fd)));
		failed = fault_disarm();
		ASSERT_EQ(1, failed);
	}
	EXPECT_RET(0, assign(self, any_data(self, 8, 4, self->fd)));
	EXPECT_RET(-ENOSPC, assign(self, any_data(self, 16, 4, self->fd)));
}

/* The same for a deassign; one that needs no memory may also just succeed */
static void deassign_under_faults(struct __test_metadata *_metadata,
				  FIXTURE_DATA(doorbell) *self,
				  struct doorbell bell)
{
	int neighbour, nth, failed = 1, ret;

	ASSERT_FD(neighbour, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, NEIGHBOUR, 4, neighbour)));

	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, assign(self, bell));
		ASSERT_RET(0, fault_arm(nth));
		ret = deassign(self, bell);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		EXPECT_TRUE(ret == 0 || (failed && ret == -ENOMEM))
			TH_LOG("wanted 0 or ENOMEM, got %s", result_name(ret));
		expect_there(_metadata, self, ret);
		expect_neighbour(_metadata, self, neighbour);
		if (ret)
			ASSERT_RET(0, deassign(self, bell));
	}
	EXPECT_EQ(0, failed);
	ASSERT_RET(0, deassign(self, any_data(self, NEIGHBOUR, 4, neighbour)));
	close(neighbour);
}

TEST_F(doorbell, deassign_wildcard)
{
	SKIP_WITHOUT_FAULTS();
	deassign_under_faults(_metadata, self, any_data(self, 0, 4, self->fd));
}

TEST_F(doorbell, deassign_one_of_two_datamatches)
{
	struct doorbell first;
	int other;

	SKIP_WITHOUT_FAULTS();
	ASSERT_FD(other, efd_create(0));
	first = only_data(self, 0, 4, 1, other);
	ASSERT_RET(0, assign(self, first));
	deassign_under_faults(_metadata, self,
			      only_data(self, 0, 4, DATA, self->fd));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, 1));
	EXPECT_SIGNALS(1, other);
	close(other);
}

/* A zone of coalesced MMIO is taken from the same bus, by the same function */
TEST_F(doorbell, zone_unregistered_beside_it)
{
	struct kvm_coalesced_mmio_zone zone = {
		.addr = self->base + 0x100, .size = 0x100,
		.pio = self->bus == BUS_PIO,
	};
	int nth, failed = 1;

	SKIP_WITHOUT_FAULTS();
	ASSERT_RET(0, assign(self, any_data(self, NEIGHBOUR, 4, self->fd)));
	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, sys_ioctl(self->vm.fd, KVM_REGISTER_COALESCED_MMIO,
					&zone));
		ASSERT_RET(0, fault_arm(nth));
		sys_ioctl(self->vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		expect_neighbour(_metadata, self, self->fd);
		ASSERT_RET(0, sys_ioctl(self->vm.fd,
					KVM_UNREGISTER_COALESCED_MMIO, &zone));
	}
	EXPECT_EQ(0, failed);
}

TEST_HARNESS_MAIN
