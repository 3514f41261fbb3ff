// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registrations within the range of another device: whichever came first, a
 * write finds every device that holds it, and no device hides another's range.
 *
 * Mainline sorts and searches a bus by kvm_io_bus_cmp(), to which a range and
 * one that holds it are equal (virt/kvm/kvm_main.c). That is no total order, so
 * bsearch() can miss; cases fail on 6.1 and 6.12 as they are. The suite
 * kvm-io-bus builds this file as well, for a kernel without iosignalfd.
 */
#include "doorbell_fixture.h"

#ifndef IOEVENTFD_ONLY
DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
#endif
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA		0x44332211
#define ZONE_SIZE	0x100
#define INSIDE		0x10

/* A wide registration over narrow ones: each write still finds its own */
static void expect_nested(struct __test_metadata *_metadata,
			  FIXTURE_DATA(doorbell) *self, bool wide_first)
{
	struct doorbell wide = any_data(self, 0, 4, self->fd);
	int narrow, i;

	ASSERT_FD(narrow, efd_create(0));
	if (wide_first)
		ASSERT_RET(0, assign(self, wide));
	for (i = 1; i < 4; i++)
		ASSERT_RET(0, assign(self, any_data(self, i, 1, narrow)));
	if (!wide_first)
		ASSERT_RET(0, assign(self, wide));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, narrow);
	for (i = 1; i < 4; i++)
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, i, 1, DATA));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(3, narrow);
	close(narrow);
}

TEST_F(doorbell, wide_before_narrow)
{
	expect_nested(_metadata, self, true);
}

TEST_F(doorbell, narrow_before_wide)
{
	expect_nested(_metadata, self, false);
}

#ifdef IOEVENTFD_ONLY	/* an iosignalfd has a length */
/* One of length 0 has every write that begins where it lies, and no other */
TEST_F(doorbell, any_length_within_a_wide_one)
{
	int wide;

	ASSERT_FD(wide, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, wide)));
	ASSERT_RET(0, assign(self, any_data(self, 2, 0, self->fd)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 2, 1, DATA));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 2, 2, DATA));
	EXPECT_SIGNALS(2, self->fd);
	EXPECT_SIGNALS(0, wide);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, wide);
	EXPECT_EXIT(&self->vcpu, write_at(self, 3, 1, DATA));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(0, wide);
	close(wide);
}
#endif

/*
 * On the way from the widest one, which does not take the write, to the one that
 * does is one that cannot: mainline ends its walk there. The first two are what
 * makes its search begin at the widest.
 */
TEST_F(doorbell, beyond_one_that_does_not_hold_it)
{
	static const struct {
		uint32_t offset, len;
	} others[] = {
		{ 0x50, 1 }, { 0x60, 1 }, { 0x200, 8 }, { 0x202, 2 },
	};
	size_t i;
	int other;

	ASSERT_FD(other, efd_create(0));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		ASSERT_RET(0, assign(self, any_data(self, others[i].offset,
						    others[i].len, other)));
	ASSERT_RET(0, assign(self, any_data(self, 0x204, 4, self->fd)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0x204, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

/* The ring in which KVM batches writes to a coalesced zone */
struct zone {
	struct kvm_coalesced_mmio_zone args;
	struct kvm_coalesced_mmio_ring *ring;
};

static int zone_init(struct zone *zone, const FIXTURE_DATA(doorbell) *self)
{
	int page = vm_check_extension(&self->vm, KVM_CAP_COALESCED_MMIO);

	if (page <= 0)
		return -ENOTTY;
	if (self->bus == BUS_PIO &&
	    vm_check_extension(&self->vm, KVM_CAP_COALESCED_PIO) <= 0)
		return -ENOTTY;
	zone->ring = (void *)((uint8_t *)self->vcpu.run + page * getpagesize());
	zone->args = (struct kvm_coalesced_mmio_zone){
		.addr = self->base, .size = ZONE_SIZE,
		.pio = self->bus == BUS_PIO,
	};
	return 0;
}

static int zone_register(struct zone *zone, const FIXTURE_DATA(doorbell) *self)
{
	return sys_ioctl(self->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone->args);
}

static int zone_unregister(struct zone *zone, const FIXTURE_DATA(doorbell) *self)
{
	return sys_ioctl(self->vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone->args);
}

/* How many writes the ring got since the last look */
static int zone_take(struct zone *zone)
{
	int count = 0;

	while (zone->ring->first != zone->ring->last) {
		zone->ring->first = (zone->ring->first + 1) %
			((getpagesize() - sizeof(*zone->ring)) /
			 sizeof(zone->ring->coalesced_mmio[0]));
		count++;
	}
	return count;
}

static void add_both(struct __test_metadata *_metadata,
		     FIXTURE_DATA(doorbell) *self, struct doorbell bell,
		     struct zone *zone, bool zone_first)
{
	if (zone_first)
		ASSERT_RET(0, zone_register(zone, self));
	ASSERT_RET(0, assign(self, bell));
	if (!zone_first)
		ASSERT_RET(0, zone_register(zone, self));
}

/*
 * Two devices want the write, and the one on the inside has it, even if both
 * begin there. All else in the zone is the zone's, on both sides of the
 * registration.
 */
static void expect_zone_around(struct __test_metadata *_metadata,
			       FIXTURE_DATA(doorbell) *self, uint32_t at,
			       bool zone_first)
{
	struct doorbell bell = any_data(self, at, 4, self->fd);
	struct guest_io io;
	uint32_t offset, missed = 0;
	struct zone zone;

	if (zone_init(&zone, self))
		SKIP(return, "kernel lacks KVM_CAP_COALESCED_MMIO or _PIO");
	add_both(_metadata, self, bell, &zone, zone_first);

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, at, 4, DATA));
	EXPECT_EQ(0, zone_take(&zone));
	EXPECT_SIGNALS(1, self->fd);

	for (offset = 0; offset < ZONE_SIZE; offset += 4) {
		if (offset == at)
			continue;
		io = write_at(self, offset, 4, DATA);
		missed += guest_do(&self->vcpu, &io, NULL, 0) != 0;
		missed += zone_take(&zone) != 1;
	}
	EXPECT_EQ(0, missed);
	EXPECT_EXIT(&self->vcpu, write_at(self, ZONE_SIZE, 4, DATA));
	EXPECT_SIGNALS(0, self->fd);

	/* Without the zone, the registration is what it was */
	ASSERT_RET(0, zone_unregister(&zone, self));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, at, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EXIT(&self->vcpu, write_at(self, 2 * INSIDE, 4, DATA));
	ASSERT_RET(0, deassign(self, bell));
}

/* Of two with the same range, the one that came first has the write */
static void expect_zone_on_top(struct __test_metadata *_metadata,
			       FIXTURE_DATA(doorbell) *self, bool zone_first)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct zone zone;

	if (zone_init(&zone, self))
		SKIP(return, "kernel lacks KVM_CAP_COALESCED_MMIO or _PIO");
	zone.args.size = 4;
	add_both(_metadata, self, bell, &zone, zone_first);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_EQ(zone_first, zone_take(&zone));
	EXPECT_SIGNALS(!zone_first, self->fd);
}

TEST_F(doorbell, inside_a_coalesced_zone_before_it)
{
	expect_zone_around(_metadata, self, INSIDE, false);
	expect_zone_around(_metadata, self, 0, false);
	expect_zone_on_top(_metadata, self, false);
}

TEST_F(doorbell, inside_a_coalesced_zone_after_it)
{
	expect_zone_around(_metadata, self, INSIDE, true);
	expect_zone_around(_metadata, self, 0, true);
	expect_zone_on_top(_metadata, self, true);
}

/* What does not match the registration goes on to the zone around it */
TEST_F(doorbell, zone_takes_what_does_not_match)
{
	struct zone zone;

	if (zone_init(&zone, self))
		SKIP(return, "kernel lacks KVM_CAP_COALESCED_MMIO or _PIO");
	ASSERT_RET(0, assign(self, only_data(self, INSIDE, 4, 1, self->fd)));
	ASSERT_RET(0, zone_register(&zone, self));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, INSIDE, 4, 2));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, INSIDE, 2, 1));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ(2, zone_take(&zone));
}

/* A zone that goes does not take the registrations beside it along */
TEST_F(doorbell, outlives_a_zone)
{
	struct zone zone;
	int i;

	if (zone_init(&zone, self))
		SKIP(return, "kernel lacks KVM_CAP_COALESCED_MMIO or _PIO");
	for (i = 0; i < 3; i++) {
		struct doorbell bell = any_data(self, ZONE_SIZE, 4, self->fd);

		ASSERT_RET(0, zone_register(&zone, self));
		ASSERT_RET(0, assign(self, bell));
		ASSERT_RET(0, zone_unregister(&zone, self));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, ZONE_SIZE, 4, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, zone_register(&zone, self));
		ASSERT_RET(0, deassign(self, bell));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		EXPECT_EQ(1, zone_take(&zone));
		ASSERT_RET(0, zone_unregister(&zone, self));
	}
}

TEST_HARNESS_MAIN
