// SPDX-License-Identifier: GPL-2.0-only
/*
 * "A bounded, exposed number": a VM may have as many iosignalfds as
 * KVM_CHECK_EXTENSION says, one more is ENOSPC, and it is the VM's own number.
 */
#include "doorbell_fixture.h"
#include "monotonic.h"

/* The count knows no bus but for limit_spans_buses_not_vms, so one will do */
#ifdef __x86_64__
DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, ONE_BUS);
#else
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, ONE_BUS);
#endif

#define DATA	0x44332211
#define LIMIT	1000
#define DEVICES	1000	/* that a bus takes: NR_IOBUS_DEVS, include/linux/kvm_host.h */
#define SAMPLES	50

/* Number @i of many: an address each, or a datamatch each at one address */
static struct doorbell numbered(const FIXTURE_DATA(doorbell) *self,
				bool by_data, int i)
{
	return by_data ? only_data(self, 0, 4, i, self->fd)
		       : any_data(self, 4 * i, 4, self->fd);
}

static void fill(struct __test_metadata *_metadata,
		 FIXTURE_DATA(doorbell) *self, bool by_data, int from, int to)
{
	int i;

	for (i = from; i < to; i++)
		ASSERT_RET(0, assign(self, numbered(self, by_data, i)));
}

TEST_F(doorbell, extension_tells_the_limit)
{
	EXPECT_EQ(LIMIT, vm_check_extension(&self->vm, KVM_CAP_IOSIGNALFD));
}

static void expect_limit(struct __test_metadata *_metadata,
			 FIXTURE_DATA(doorbell) *self, bool by_data)
{
	struct doorbell more = any_data(self, 0x2000, 4, self->fd);
	int i;

	fill(_metadata, self, by_data, 0, LIMIT);
	EXPECT_RET(-ENOSPC, assign(self, more));
	EXPECT_RET(-ENOSPC, assign(self, numbered(self, by_data, LIMIT)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0x2000, 4, DATA));

	/* All of those that fit are served, at both ends and between */
	for (i = 0; i < LIMIT; i += LIMIT / 9) {
		EXPECT_NO_EXIT(&self->vcpu,
			       by_data ? write_at(self, 0, 4, i)
				       : write_at(self, 4 * i, 4, i));
		EXPECT_SIGNALS(1, self->fd);
	}

	/* The number counts what is there, not what ever was */
	ASSERT_RET(0, deassign(self, numbered(self, by_data, LIMIT / 2)));
	EXPECT_RET(0, assign(self, more));
	EXPECT_RET(-ENOSPC, assign(self, numbered(self, by_data, LIMIT / 2)));
}

TEST_F(doorbell, limit_by_address)
{
	expect_limit(_metadata, self, false);
}

TEST_F(doorbell, limit_by_datamatch)
{
	expect_limit(_metadata, self, true);
}

/* It is a VM's number: not a bus's, nor the host's */
TEST_F(doorbell, limit_spans_buses_not_vms)
{
	struct doorbell there = any_data(self, 0, 4, self->fd);
	struct vm vm2;

	there.bus = self->bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	SKIP_IF_GUEST_CANNOT(any_write(there.bus));
	there.addr = GUEST_HOLE_GPA;
	fill(_metadata, self, true, 0, LIMIT);
	EXPECT_RET(-ENOSPC, assign(self, there));
	ASSERT_RET(0, vm_init(&vm2));
	EXPECT_RET(0, doorbell_assign(self->api, vm2.fd, &there));
	vm_destroy(&vm2);
}

/* What was refused is not counted, and what cannot be is refused as such */
TEST_F(doorbell, refusals_do_not_count)
{
	struct doorbell twin = numbered(self, true, 0), wide = any_data(self, 0, 3,
									 self->fd);
	int i;

	fill(_metadata, self, true, 0, LIMIT - 1);
	for (i = 0; i < 3; i++) {
		EXPECT_RET(-EEXIST, assign(self, twin));
		EXPECT_RET(-EINVAL, assign(self, wide));
		EXPECT_RET(-ENOENT, deassign(self, numbered(self, true, LIMIT)));
	}
	EXPECT_RET(0, assign(self, numbered(self, true, LIMIT)));
	EXPECT_RET(-ENOSPC, assign(self, numbered(self, true, LIMIT + 1)));
	EXPECT_RET(-EINVAL, assign(self, wide));
}

/* A VM full of iosignalfds still takes all else that wants a place on its bus */
TEST_F(doorbell, other_devices_still_fit)
{
	struct doorbell bell = any_data(self, 0x2000, 4, self->fd);
	struct kvm_coalesced_mmio_zone zone = {
		.addr = self->base + 0x2100, .size = 0x100,
		.pio = self->bus == BUS_PIO,
	};

	fill(_metadata, self, false, 0, LIMIT);
	EXPECT_RET(0, doorbell_assign(&ioeventfd_api, self->vm.fd, &bell));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0x2000, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_RET(0, sys_ioctl(self->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0x2100, 4, DATA));
}

/* What came and went leaves the bus with as much room for others as before */
TEST_F(doorbell, departures_make_no_room)
{
	const struct doorbell_api *apis[] = { &iosignalfd_api, &ioeventfd_api };
	struct doorbell bells[] = {
		any_data(self, 0, 4, self->fd),
		only_data(self, 4, 4, 1, self->fd),
		only_data(self, 4, 4, 2, self->fd),
	};
	const bool pio = self->bus == BUS_PIO;
	size_t i, j;

	EXPECT_EQ(DEVICES, vm_room(&self->vm, pio, self->base + 0x100));
	for (i = 0; i < ARRAY_SIZE(apis); i++) {
		for (j = 0; j < ARRAY_SIZE(bells); j++)
			ASSERT_RET(0, doorbell_assign(apis[i], self->vm.fd, &bells[j]));
		EXPECT_EQ(DEVICES, vm_room(&self->vm, pio, self->base + 0x100));
		for (j = 0; j < ARRAY_SIZE(bells); j++)
			ASSERT_RET(0, doorbell_deassign(apis[i], self->vm.fd, &bells[j]));
		EXPECT_EQ(DEVICES, vm_room(&self->vm, pio, self->base + 0x100));
	}
}

/* The fastest of the registrations from @from on: the rest is the host's noise */
static int64_t fastest(struct __test_metadata *_metadata,
		       FIXTURE_DATA(doorbell) *self, int from)
{
	int64_t best = INT64_MAX, start, us;
	int i;

	for (i = from; i < from + SAMPLES; i++) {
		start = monotonic_us();
		fill(_metadata, self, false, i, i + 1);
		us = monotonic_us() - start;
		if (us < best)
			best = us;
	}
	return best;
}

/*
 * The last may cost more than the first, for the bus is copied each time: but a
 * bus of a thousand is a few ten KiB, so not out of all proportion.
 */
TEST_F(doorbell, registration_latency)
{
	int64_t first, last;

	first = fastest(_metadata, self, 0);
	fill(_metadata, self, false, SAMPLES, LIMIT - SAMPLES);
	last = fastest(_metadata, self, LIMIT - SAMPLES);
	TH_LOG("us, on an empty bus %lld, on a full one %lld",
	       (long long)first, (long long)last);
	EXPECT_GT(20 * first + 1000, last);
}

TEST_HARNESS_MAIN
