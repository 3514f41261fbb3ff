// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ioctl refuses: every error row of the contract, on assign and on
 * deassign alike, and that a refusal leaves nothing behind. ioeventfd is the
 * laxer of the two on purpose; what it lets pass is stated case by case.
 */
#include <fcntl.h>

#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA	0x44332211

/*
 * Try @args on assign, then on deassign while a sound registration of @bell is
 * in place, and see that it still is when the deassign was refused.
 */
static void expect_both(struct __test_metadata *_metadata,
			FIXTURE_DATA(doorbell) *self,
			struct kvm_iosignalfd args, int want_assign,
			int want_deassign)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);

	EXPECT_RET(want_assign, doorbell_ioctl(self->api, self->vm.fd, &args));
	if (want_assign)
		EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	else
		EXPECT_RET(0, deassign(self, (struct doorbell){
				.bus = self->bus, .addr = args.addr,
				.len = args.len, .fd = args.fd }));

	ASSERT_RET(0, assign(self, bell));
	args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
	EXPECT_RET(want_deassign, doorbell_ioctl(self->api, self->vm.fd, &args));
	if (want_deassign) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, deassign(self, bell));
	}
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(0, self->fd);
}

static struct kvm_iosignalfd sound_args(const FIXTURE_DATA(doorbell) *self)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);

	return doorbell_args(&bell);
}

TEST_F(doorbell, capability)
{
	int kvm;

	EXPECT_LT(0, vm_check_extension(&self->vm, self->api->cap));
	ASSERT_FD(kvm, kvm_open());
	EXPECT_LT(0, sys_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)self->api->cap));
	close(kvm);
}

TEST_F(doorbell, sound_arguments)
{
	expect_both(_metadata, self, sound_args(self), 0, 0);
}

TEST_F(doorbell, unreadable_argument)
{
	struct kvm_iosignalfd args = sound_args(self);
	size_t page = getpagesize(), readable = sizeof(args) - 1;
	uint8_t *pages;

	EXPECT_RET(-EFAULT, doorbell_ioctl(self->api, self->vm.fd, NULL));

	/* All but the last byte can be read: the pad belongs to the structure */
	pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + page, page, PROT_NONE));
	memcpy(pages + page - readable, &args, readable);
	EXPECT_RET(-EFAULT, sys_ioctl(self->vm.fd, self->api->request,
				      pages + page - readable));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	munmap(pages, 2 * page);
}

TEST_F(doorbell, unknown_flags)
{
	/* Mainline's deassign never looks at them */
	int want_deassign = self->api->strict ? -EINVAL : 0;
	struct kvm_iosignalfd args;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (self->api->known_flags & (1u << bit))
			continue;
		args = sound_args(self);
		args.flags |= 1u << bit;
		expect_both(_metadata, self, args, -EINVAL, want_deassign);
	}
}

#ifndef __x86_64__

/* A bus that no guest can write to here is refused like an unknown flag */
TEST_F(doorbell, bus_of_another_architecture)
{
	static const struct {
		uint32_t flag, len;
	} others[] = {
		{ KVM_IOSIGNALFD_FLAG_PIO, 4 },
		{ KVM_IOSIGNALFD_FLAG_HYPERCALL, 8 },
	};
	struct kvm_iosignalfd args;
	size_t i;

	if (!self->api->strict)
		SKIP(return, "ioeventfd takes a port on any architecture");
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		args = sound_args(self);
		args.flags |= others[i].flag;
		args.addr = GUEST_HOLE_GPA;	/* sound as a port, and as a number */
		args.len = others[i].len;
		expect_both(_metadata, self, args, -EINVAL, -EINVAL);
	}
}

#endif

TEST_F(doorbell, nonzero_pad)
{
	int want = self->api->strict ? -EINVAL : 0;
	struct kvm_iosignalfd args;
	size_t i;

	for (i = 0; i < sizeof(args.pad); i++) {
		args = sound_args(self);
		args.pad[i] = 1 << (i % 8);
		EXPECT_RET(want, doorbell_ioctl(self->api, self->vm.fd, &args));
		args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
		EXPECT_RET(want, doorbell_ioctl(self->api, self->vm.fd, &args));
	}
	for (i = 0; i < sizeof(args.pad); i += sizeof(args.pad) - 1) {
		args = sound_args(self);
		args.pad[i] = 1;
		expect_both(_metadata, self, args, want, want);
	}
}

TEST_F(doorbell, bad_length)
{
	static const uint32_t lengths[] = {
		3, 5, 6, 7, 9, 16, 0x80000004, 0xffffffff
	};
	int want_deassign = self->api->strict ? -EINVAL : -ENOENT;
	struct kvm_iosignalfd args;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		args = sound_args(self);
		args.len = lengths[i];
		expect_both(_metadata, self, args, -EINVAL, want_deassign);
	}
}

TEST_F(doorbell, zero_length)
{
	struct kvm_iosignalfd args = sound_args(self);
	bool any_width = self->api->len0_is_any_width;
	uint32_t len;

	args.len = 0;
	expect_both(_metadata, self, args, any_width ? 0 : -EINVAL,
		    any_width ? -ENOENT : -EINVAL);
	if (!any_width)
		return;

	ASSERT_RET(0, doorbell_ioctl(self->api, self->vm.fd, &args));
	for (len = 1; len <= self->max_len; len <<= 1)
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, DATA));
	EXPECT_SIGNALS(self->bus == BUS_PIO ? 3 : 4, self->fd);
	args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
	EXPECT_RET(0, doorbell_ioctl(self->api, self->vm.fd, &args));
}

/* A length of zero answers every width, so it goes with no other length */
TEST_F(doorbell, zero_length_excludes_any_other)
{
	struct doorbell any = any_data(self, 0, 0, self->fd), bell;
	uint32_t len;

	if (!self->api->len0_is_any_width)
		return;
	for (len = 1; len <= 8; len <<= 1) {
		bell = any_data(self, 0, len, self->fd);
		ASSERT_RET(0, assign(self, bell));
		EXPECT_RET(-EEXIST, assign(self, any));
		ASSERT_RET(0, deassign(self, bell));
		ASSERT_RET(0, assign(self, any));
		EXPECT_RET(-EEXIST, assign(self, bell));
		ASSERT_RET(0, deassign(self, any));
	}
}

TEST_F(doorbell, zero_length_with_datamatch)
{
	struct kvm_iosignalfd args = sound_args(self);

	args.len = 0;
	args.flags |= KVM_IOSIGNALFD_FLAG_DATAMATCH;
	expect_both(_metadata, self, args, -EINVAL,
		    self->api->strict ? -EINVAL : -ENOENT);
}

TEST_F(doorbell, wrapping_range)
{
	int want_deassign = self->api->strict ? -EINVAL : -ENOENT;
	struct kvm_iosignalfd args = sound_args(self);
	uint32_t len, below;

	for (len = 1; len <= 8; len <<= 1) {
		for (below = 1; below <= len; below++) {
			args.len = len;
			args.addr = 0 - (uint64_t)below;
			expect_both(_metadata, self, args, -EINVAL,
				    want_deassign);
		}
	}
}

TEST_F(doorbell, last_address_that_does_not_wrap)
{
	struct doorbell bell = {
		.bus = BUS_MMIO, .addr = ~7ull - 1, .len = 8, .fd = self->fd,
	};

	if (self->bus == BUS_PIO)
		bell = (struct doorbell){
			.bus = BUS_PIO, .addr = 0xffff, .len = 1, .fd = self->fd,
		};
	EXPECT_RET(0, assign(self, bell));
	EXPECT_RET(0, deassign(self, bell));
}

TEST_F(doorbell, port_above_64k)
{
	static const uint64_t above[] = {
		0x10000, 0x1b000, 0x10000b000, 1ull << 63
	};
	bool refused = self->bus == BUS_PIO && self->api->strict;
	struct kvm_iosignalfd args;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(above); i++) {
		args = sound_args(self);
		args.addr = above[i];
		expect_both(_metadata, self, args, refused ? -EINVAL : 0,
			    refused ? -EINVAL : -ENOENT);
	}
}

TEST_F(doorbell, datamatch_above_length)
{
	bool strict = self->api->strict;
	struct kvm_iosignalfd args;
	uint32_t len, bit;

	for (len = 1; len <= 4; len <<= 1) {
		for (bit = 8 * len; bit < 64; bit += 11) {
			args = sound_args(self);
			args.len = len;
			args.flags |= KVM_IOSIGNALFD_FLAG_DATAMATCH;
			args.datamatch = 1ull << bit | 0x11;
			EXPECT_RET(strict ? -EINVAL : 0,
				   doorbell_ioctl(self->api, self->vm.fd, &args));

			/* Let in, it can never match: a write has no such bit */
			EXPECT_EXIT(&self->vcpu, write_at(self, 0, len, 0x11));
			EXPECT_SIGNALS(0, self->fd);

			args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
			EXPECT_RET(strict ? -EINVAL : 0,
				   doorbell_ioctl(self->api, self->vm.fd, &args));
		}
	}
}

/* What no flag asks for is not looked at */
TEST_F(doorbell, datamatch_without_its_flag)
{
	struct kvm_iosignalfd args = sound_args(self);
	uint32_t len;

	for (len = 1; len <= self->max_len; len <<= 1) {
		args.len = len;
		args.datamatch = ~0ull;
		ASSERT_RET(0, doorbell_ioctl(self->api, self->vm.fd, &args));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, len, DATA));
		EXPECT_SIGNALS(1, self->fd);
		args.datamatch = 1;
		args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
		EXPECT_RET(0, doorbell_ioctl(self->api, self->vm.fd, &args));
		args.flags &= ~KVM_IOSIGNALFD_FLAG_DEASSIGN;
	}
}

TEST_F(doorbell, bad_descriptor)
{
	struct kvm_iosignalfd args = sound_args(self);
	int closed;

	ASSERT_FD(closed, efd_create(0));
	close(closed);

	args.fd = closed;
	expect_both(_metadata, self, args, -EBADF, -EBADF);
	args.fd = -1;
	expect_both(_metadata, self, args, -EBADF, -EBADF);
	args.fd = INT32_MIN;
	expect_both(_metadata, self, args, -EBADF, -EBADF);
}

TEST_F(doorbell, descriptor_of_something_else)
{
	struct kvm_iosignalfd args = sound_args(self);
	int null, path;

	ASSERT_FD(null, open("/dev/null", O_RDWR));
	args.fd = null;
	expect_both(_metadata, self, args, -EINVAL, -EINVAL);
	close(null);

	args.fd = self->vm.fd;
	expect_both(_metadata, self, args, -EINVAL, -EINVAL);

	/* An O_PATH descriptor is open for nothing: fget() does not see it */
	ASSERT_FD(path, open("/dev/null", O_PATH));
	args.fd = path;
	expect_both(_metadata, self, args, -EBADF, -EBADF);
	close(path);
}

/* A refused call holds no reference on the eventfd that it was given */
TEST_F(doorbell, refusal_leaks_no_eventfd)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	int before, i, fd;

	ASSERT_RET(0, assign(self, bell));
	before = efd_mark();
	ASSERT_LE(0, before);
	for (i = 0; i < 50; i++) {
		ASSERT_FD(fd, efd_create(0));
		EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, fd)));
		EXPECT_RET(-EINVAL, assign(self, any_data(self, 0, 3, fd)));
		EXPECT_RET(-ENOENT, deassign(self, any_data(self, 0, 4, fd)));
		close(fd);
	}
	EXPECT_EQ(before, efd_mark());
}

TEST_HARNESS_MAIN
