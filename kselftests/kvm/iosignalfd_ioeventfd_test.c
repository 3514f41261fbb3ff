// SPDX-License-Identifier: GPL-2.0-only
/*
 * iosignalfd against ioeventfd in one VM: two that would answer the same write
 * exclude each other, whichever comes second; two that would not, live together.
 */
#include "expect.h"

#define DATA	0x44332211

FIXTURE(pair) {
	const struct doorbell_api *first, *second;
	struct doorbell a, b;	/* what is registered first, and second */
	struct guest_io io;
	struct vm vm;
	struct vcpu vcpu;
	struct kmsg_watch kmsg;
};

FIXTURE_VARIANT(pair) {
	const struct doorbell_api *first, *second;
	enum guest_bus bus;
};

FIXTURE_VARIANT_ADD(pair, iosignalfd_first_pio) {
	.first = &iosignalfd_api, .second = &ioeventfd_api, .bus = BUS_PIO,
};

FIXTURE_VARIANT_ADD(pair, iosignalfd_first_mmio) {
	.first = &iosignalfd_api, .second = &ioeventfd_api, .bus = BUS_MMIO,
};

FIXTURE_VARIANT_ADD(pair, ioeventfd_first_pio) {
	.first = &ioeventfd_api, .second = &iosignalfd_api, .bus = BUS_PIO,
};

FIXTURE_VARIANT_ADD(pair, ioeventfd_first_mmio) {
	.first = &ioeventfd_api, .second = &iosignalfd_api, .bus = BUS_MMIO,
};

FIXTURE_SETUP(pair)
{
	const struct guest_io write = any_write(variant->bus);
	int ret;

	ASSERT_RET(0, kmsg_start(&self->kmsg));
	if (guest_cannot(&write))
		SKIP_FIXTURE("%s", guest_cannot(&write));
	ret = vm_init(&self->vm);
	if (ret < 0)
		SKIP_FIXTURE(NO_KVM ": %s", result_name(ret));
	SKIP_FIXTURE_WITHOUT(&self->vm, KVM_CAP_IOSIGNALFD, KVM_IOSIGNALFD,
			     "KVM_CAP_IOSIGNALFD");
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));

	self->first = variant->first;
	self->second = variant->second;
	self->a = (struct doorbell){
		.bus = variant->bus, .len = 4,
		.addr = variant->bus == BUS_PIO ? 0xb400 : 0xe0000400,
	};
	self->b = self->a;
	ASSERT_FD(self->a.fd, efd_create(0));
	ASSERT_FD(self->b.fd, efd_create(0));
	self->io = (struct guest_io){
		.op = GUEST_WRITE, .bus = self->a.bus, .addr = self->a.addr,
		.len = 4, .data = DATA,
	};
}

FIXTURE_TEARDOWN(pair)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->a.fd);
	close(self->b.fd);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

static struct doorbell matching(struct doorbell bell, uint64_t data)
{
	bell.match = true;
	bell.datamatch = data;
	return bell;
}

/* Only the first is there afterwards, and it comes free by its own API alone */
static void expect_exclusion(struct __test_metadata *_metadata,
			     FIXTURE_DATA(pair) *self)
{
	/* iosignalfd has no length 0, not even for what it does not find */
	int want = self->second->strict && !self->a.len ? -EINVAL : -ENOENT;

	ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &self->a));
	EXPECT_RET(-EEXIST,
		   doorbell_assign(self->second, self->vm.fd, &self->b));
	EXPECT_NO_EXIT(&self->vcpu, self->io);
	EXPECT_SIGNALS(1, self->a.fd);
	EXPECT_SIGNALS(0, self->b.fd);

	EXPECT_RET(want, doorbell_deassign(self->second, self->vm.fd, &self->a));
	ASSERT_RET(0, doorbell_deassign(self->first, self->vm.fd, &self->a));
	ASSERT_RET(0, doorbell_assign(self->second, self->vm.fd, &self->b));
	EXPECT_NO_EXIT(&self->vcpu, self->io);
	EXPECT_SIGNALS(0, self->a.fd);
	EXPECT_SIGNALS(1, self->b.fd);
}

TEST_F(pair, both_wildcard)
{
	expect_exclusion(_metadata, self);
}

TEST_F(pair, same_eventfd)
{
	ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &self->a));
	EXPECT_RET(-EEXIST,
		   doorbell_assign(self->second, self->vm.fd, &self->a));
	EXPECT_NO_EXIT(&self->vcpu, self->io);
	EXPECT_SIGNALS(1, self->a.fd);
}

TEST_F(pair, wildcard_then_datamatch)
{
	self->b = matching(self->b, DATA);
	expect_exclusion(_metadata, self);
}

TEST_F(pair, datamatch_then_wildcard)
{
	self->a = matching(self->a, DATA);
	expect_exclusion(_metadata, self);
}

TEST_F(pair, equal_datamatch)
{
	self->a = matching(self->a, DATA);
	self->b = matching(self->b, DATA);
	expect_exclusion(_metadata, self);
}

/* An ioeventfd of length 0 answers every width, so it excludes every length */
TEST_F(pair, any_width)
{
	struct doorbell *wide = self->first == &ioeventfd_api ? &self->a : &self->b;
	struct doorbell *bell = wide == &self->a ? &self->b : &self->a;

	wide->len = 0;
	for (bell->len = 1; bell->len <= 8; bell->len <<= 1) {
		ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &self->a));
		EXPECT_RET(-EEXIST,
			   doorbell_assign(self->second, self->vm.fd, &self->b));
		ASSERT_RET(0, doorbell_deassign(self->first, self->vm.fd, &self->a));
	}
	bell->len = 4;
	expect_exclusion(_metadata, self);
}

TEST_F(pair, any_width_against_datamatch)
{
	struct doorbell *wide = self->first == &ioeventfd_api ? &self->a : &self->b;
	struct doorbell *bell = wide == &self->a ? &self->b : &self->a;

	wide->len = 0;
	*bell = matching(*bell, DATA);
	expect_exclusion(_metadata, self);
}

/* An existing datamatch among several is found, the first and the last too */
TEST_F(pair, one_of_many_datamatches)
{
	uint64_t data;

	for (data = 0; data < 10; data++) {
		struct doorbell bell = matching(self->a, 10 * data);

		ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &bell));
	}
	for (data = 0; data < 100; data += 5) {
		struct doorbell bell = matching(self->b, data);
		bool taken = data % 10 == 0;

		EXPECT_RET(taken ? -EEXIST : 0,
			   doorbell_assign(self->second, self->vm.fd, &bell));
		self->io.data = data;
		EXPECT_NO_EXIT(&self->vcpu, self->io);
		EXPECT_SIGNALS(taken, self->a.fd);
		EXPECT_SIGNALS(!taken, self->b.fd);
	}
}

/* Two that answer different writes have no quarrel */
static void expect_company(struct __test_metadata *_metadata,
			   FIXTURE_DATA(pair) *self, struct guest_io io_b)
{
	ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &self->a));
	ASSERT_RET(0, doorbell_assign(self->second, self->vm.fd, &self->b));
	EXPECT_NO_EXIT(&self->vcpu, self->io);
	EXPECT_SIGNALS(1, self->a.fd);
	EXPECT_SIGNALS(0, self->b.fd);
	EXPECT_NO_EXIT(&self->vcpu, io_b);
	EXPECT_SIGNALS(0, self->a.fd);
	EXPECT_SIGNALS(1, self->b.fd);

	ASSERT_RET(0, doorbell_deassign(self->first, self->vm.fd, &self->a));
	EXPECT_EXIT(&self->vcpu, self->io);
	EXPECT_NO_EXIT(&self->vcpu, io_b);
	EXPECT_SIGNALS(1, self->b.fd);
}

TEST_F(pair, different_datamatch)
{
	struct guest_io io_b = self->io;

	io_b.data = DATA + 1;
	self->a = matching(self->a, DATA);
	self->b = matching(self->b, DATA + 1);
	expect_company(_metadata, self, io_b);
}

TEST_F(pair, different_length)
{
	struct guest_io io_b = self->io;

	io_b.len = 2;
	self->b.len = 2;
	expect_company(_metadata, self, io_b);
}

TEST_F(pair, different_address)
{
	struct guest_io io_b = self->io;

	io_b.addr += 2;
	self->b.addr += 2;
	SKIP_IF_GUEST_CANNOT(io_b);
	expect_company(_metadata, self, io_b);
}

TEST_F(pair, different_bus)
{
	struct guest_io io_b;

	self->a.addr = GUEST_HOLE_GPA;
	self->b.addr = GUEST_HOLE_GPA;
	self->io.addr = GUEST_HOLE_GPA;
	self->b.bus = self->a.bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	io_b = self->io;
	io_b.bus = self->b.bus;
	SKIP_IF_GUEST_CANNOT(io_b);
	expect_company(_metadata, self, io_b);
}

/* What one interface registered, the other cannot take away */
TEST_F(pair, deassign_by_the_other)
{
	ASSERT_RET(0, doorbell_assign(self->first, self->vm.fd, &self->a));
	EXPECT_RET(-ENOENT,
		   doorbell_deassign(self->second, self->vm.fd, &self->a));
	EXPECT_NO_EXIT(&self->vcpu, self->io);
	EXPECT_SIGNALS(1, self->a.fd);
}

TEST_HARNESS_MAIN
