// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells that a guest rings by hypercall: which call signals which eventfd,
 * what the guest is told of all others, and what the ioctl refuses.
 */
#include "doorbell_fixture.h"

#ifdef __x86_64__

#define NUMBER	0x1234
#define VALUE	0x8877665544332211ull

FIXTURE(hypercall) {
	struct vm vm;
	struct vcpu vcpu;
	struct kmsg_watch kmsg;
	int fd;
};

static struct doorbell any_value(uint64_t number, int fd)
{
	return (struct doorbell){
		.bus = BUS_HYPERCALL, .addr = number, .len = 8, .fd = fd,
	};
}

static struct doorbell only_value(uint64_t number, uint64_t value, int fd)
{
	return (struct doorbell){
		.bus = BUS_HYPERCALL, .addr = number, .len = 8, .fd = fd,
		.match = true, .datamatch = value,
	};
}

static int assign_bell(FIXTURE_DATA(hypercall) *self, struct doorbell bell)
{
	return doorbell_assign(&iosignalfd_api, self->vm.fd, &bell);
}

static int deassign_bell(FIXTURE_DATA(hypercall) *self, struct doorbell bell)
{
	return doorbell_deassign(&iosignalfd_api, self->vm.fd, &bell);
}

FIXTURE_SETUP(hypercall)
{
	int ret;

	ASSERT_RET(0, kmsg_start(&self->kmsg));
	ret = vm_init(&self->vm);
	if (ret < 0)
		SKIP_FIXTURE(NO_KVM ": %s", result_name(ret));
	ASSERT_FD(self->fd, efd_create(0));
	if (vm_check_extension(&self->vm, KVM_CAP_IOSIGNALFD_HYPERCALL) <= 0) {
		/* A capability that is denied is not there either */
		ASSERT_GT(0, assign_bell(self, any_value(0, self->fd)));
		SKIP_FIXTURE("kernel lacks KVM_CAP_IOSIGNALFD_HYPERCALL");
	}
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
}

FIXTURE_TEARDOWN(hypercall)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->fd);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

static struct guest_io call(uint64_t number, uint64_t value)
{
	return (struct guest_io){
		.op = GUEST_WRITE, .bus = BUS_HYPERCALL, .len = 8,
		.addr = number, .data = value, .data_high = KVM_HC_DOORBELL,
	};
}

/* The guest is told @want, user space nothing, and @fd has @signals more */
#define EXPECT_CALL(want, signals, io)					\
	do {								\
		int64_t _rax = 1;					\
									\
		EXPECT_NO_EXIT(&self->vcpu, io);			\
		EXPECT_RET(0, vcpu_read_data(&self->vcpu, (uint64_t *)&_rax)); \
		EXPECT_EQ((int64_t)(want), _rax)			\
			TH_LOG("the guest was told %lld", (long long)_rax); \
		EXPECT_SIGNALS(signals, self->fd);			\
	} while (0)

TEST_F(hypercall, signals)
{
	struct guest_io many = call(NUMBER, VALUE);

	ASSERT_RET(0, assign_bell(self, any_value(NUMBER, self->fd)));
	EXPECT_CALL(0, 1, call(NUMBER, VALUE));
	EXPECT_CALL(0, 1, call(NUMBER, 0));
	many.times = 500;
	many.step = 3;
	EXPECT_CALL(0, 500, many);
}

/* As on a kernel that has no such hypercall, and without an exit */
TEST_F(hypercall, unknown_number)
{
	EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER, VALUE));
	ASSERT_RET(0, assign_bell(self, any_value(NUMBER, self->fd)));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER - 1, VALUE));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER + 1, VALUE));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER + 8, VALUE));
	ASSERT_RET(0, deassign_bell(self, any_value(NUMBER, self->fd)));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER, VALUE));
}

/* No part of a number is ignored, and none wraps around */
TEST_F(hypercall, number_has_32_bits)
{
	int bit;

	ASSERT_RET(0, assign_bell(self, any_value(0, self->fd)));
	ASSERT_RET(0, assign_bell(self, any_value(UINT32_MAX, self->fd)));
	EXPECT_CALL(0, 1, call(0, VALUE));
	EXPECT_CALL(0, 1, call(UINT32_MAX, VALUE));
	for (bit = 0; bit < 64; bit++) {
		EXPECT_CALL(-KVM_ENOSYS, 0, call(1ull << bit, VALUE));
	}
	EXPECT_CALL(-KVM_ENOSYS, 0, call(UINT64_MAX, VALUE));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(UINT64_MAX - 7, VALUE));
}

/* Ranges of neighbours overlap on the bus; the numbers do not */
TEST_F(hypercall, neighbours)
{
	int fds[16], i, j;

	for (i = 0; i < 16; i++) {
		ASSERT_FD(fds[i], efd_create(0));
		/* In an order that is neither up nor down */
		ASSERT_RET(0, assign_bell(self, any_value(NUMBER + (i * 7) % 16,
							  fds[i])));
	}
	for (i = 0; i < 16; i++) {
		EXPECT_CALL(0, 0, call(NUMBER + (i * 7) % 16, VALUE));
		for (j = 0; j < 16; j++) {
			EXPECT_SIGNALS(i == j, fds[j]);
		}
	}
	for (i = 0; i < 16; i++)
		close(fds[i]);
}

TEST_F(hypercall, values)
{
	int bit, other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign_bell(self, only_value(NUMBER, VALUE, self->fd)));
	ASSERT_RET(0, assign_bell(self, only_value(NUMBER, 0, other)));
	EXPECT_CALL(0, 1, call(NUMBER, VALUE));
	EXPECT_CALL(0, 0, call(NUMBER, 0));
	EXPECT_SIGNALS(1, other);
	for (bit = 0; bit < 64; bit++) {
		EXPECT_CALL(-KVM_ENOSYS, 0, call(NUMBER, VALUE ^ (1ull << bit)));
	}
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(hypercall, collisions)
{
	struct doorbell any = any_value(NUMBER, self->fd);
	struct doorbell only = only_value(NUMBER, VALUE, self->fd);

	ASSERT_RET(0, assign_bell(self, any));
	EXPECT_RET(-EEXIST, assign_bell(self, any));
	EXPECT_RET(-EEXIST, assign_bell(self, only));
	EXPECT_RET(-ENOENT, deassign_bell(self, only));
	ASSERT_RET(0, deassign_bell(self, any));
	ASSERT_RET(0, assign_bell(self, only));
	EXPECT_RET(-EEXIST, assign_bell(self, only));
	EXPECT_RET(-EEXIST, assign_bell(self, any));
	EXPECT_RET(-ENOENT, deassign_bell(self, any));
	EXPECT_RET(0, deassign_bell(self, only));
}

/* A port, an address and a hypercall of one number are three doorbells */
TEST_F(hypercall, is_a_bus_of_its_own)
{
	struct doorbell there = any_value(GUEST_HOLE_GPA, self->fd);
	struct guest_io write = {
		.op = GUEST_WRITE, .addr = GUEST_HOLE_GPA, .len = 4, .data = 1,
	};
	int port, memory;

	ASSERT_FD(port, efd_create(0));
	ASSERT_FD(memory, efd_create(0));
	ASSERT_RET(0, assign_bell(self, there));
	write.bus = BUS_PIO;
	EXPECT_EXIT(&self->vcpu, write);
	write.bus = BUS_MMIO;
	EXPECT_EXIT(&self->vcpu, write);
	EXPECT_SIGNALS(0, self->fd);

	there.len = 4;
	there.bus = BUS_PIO;
	there.fd = port;
	ASSERT_RET(0, assign_bell(self, there));
	there.bus = BUS_MMIO;
	there.fd = memory;
	ASSERT_RET(0, assign_bell(self, there));
	EXPECT_CALL(0, 1, call(GUEST_HOLE_GPA, VALUE));
	EXPECT_SIGNALS(0, port);
	EXPECT_SIGNALS(0, memory);
	EXPECT_NO_EXIT(&self->vcpu, write);
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_SIGNALS(0, port);
	EXPECT_SIGNALS(1, memory);
	close(port);
	close(memory);
}

TEST_F(hypercall, refused_arguments)
{
	struct doorbell sound = any_value(NUMBER, self->fd);
	struct kvm_iosignalfd args;
	uint32_t len;
	int deassign;

	for (deassign = 0; deassign < 2; deassign++) {
		uint32_t flags = deassign ? KVM_IOSIGNALFD_FLAG_DEASSIGN : 0;

		for (len = 0; len < 20; len++) {
			if (len == 8)
				continue;
			args = doorbell_args(&sound);
			args.flags |= flags;
			args.len = len;
			EXPECT_RET(-EINVAL, doorbell_ioctl(&iosignalfd_api,
							   self->vm.fd, &args));
		}
		args = doorbell_args(&sound);
		args.flags |= flags | KVM_IOSIGNALFD_FLAG_PIO;
		EXPECT_RET(-EINVAL, doorbell_ioctl(&iosignalfd_api, self->vm.fd,
						   &args));
		args = doorbell_args(&sound);
		args.flags |= flags;
		args.addr = 1ull << 32;
		EXPECT_RET(-EINVAL, doorbell_ioctl(&iosignalfd_api, self->vm.fd,
						   &args));
		/* What the second round must not remove */
		if (!deassign)
			ASSERT_RET(0, assign_bell(self, sound));
	}
	EXPECT_CALL(0, 1, call(NUMBER, VALUE));
}

TEST_F(hypercall, counts_towards_the_limit)
{
	int limit = vm_check_extension(&self->vm, KVM_CAP_IOSIGNALFD), i;
	struct doorbell port = {
		.bus = BUS_PIO, .addr = 0x1000, .len = 4, .fd = self->fd,
	};

	for (i = 0; i < limit; i++)
		ASSERT_RET(0, assign_bell(self, any_value(i, self->fd)));
	EXPECT_RET(-ENOSPC, assign_bell(self, any_value(limit, self->fd)));
	EXPECT_RET(-ENOSPC, doorbell_assign(&iosignalfd_api, self->vm.fd, &port));
	EXPECT_CALL(0, 1, call(0, VALUE));
	EXPECT_CALL(0, 1, call(limit - 1, VALUE));
	EXPECT_CALL(-KVM_ENOSYS, 0, call(limit, VALUE));
}

/* As all of KVM's hypercalls: what the guest's own user space does, KVM refuses */
TEST_F(hypercall, not_from_user_mode)
{
	struct guest_io io = call(NUMBER, VALUE);
	uint64_t *tables = (uint64_t *)(self->vm.ram + GUEST_PML4_GPA);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct guest_exit exit;
	uint64_t rax = 0;
	size_t i;

	ASSERT_RET(0, assign_bell(self, any_value(NUMBER, self->fd)));
	for (i = 0; i < 3 * 512; i++)
		if (tables[i])
			tables[i] |= 1 << 2;	/* user mode may, too */
	ASSERT_RET(0, vcpu_start(&self->vcpu, &io));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_SREGS, &sregs));
	sregs.cs.dpl = sregs.ss.dpl = 3;
	sregs.cs.selector |= 3;
	sregs.ss.selector |= 3;
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SREGS, &sregs));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_REGS, &regs));
	regs.rflags |= 3 << 12;			/* IOPL, for the done port */
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_REGS, &regs));
	ASSERT_RET(GUEST_DONE, vcpu_run(&self->vcpu, &exit));
	ASSERT_RET(0, vcpu_read_data(&self->vcpu, &rax));
	EXPECT_EQ(-KVM_EPERM, (int64_t)rax);
	EXPECT_SIGNALS(0, self->fd);
}

/* 32-bit code has 32 bits of each, which KVM extends with zeros */
TEST_F(hypercall, from_32_bit_code)
{
	struct guest_io io = call(UINT32_MAX, 0x87654321);
	struct kvm_sregs sregs;
	struct guest_exit exit;
	uint64_t rax = 1;

	io.len = 4;
	ASSERT_RET(0, assign_bell(self, only_value(UINT32_MAX, 0x87654321,
						   self->fd)));
	ASSERT_RET(0, vcpu_start(&self->vcpu, &io));
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_GET_SREGS, &sregs));
	sregs.cs.l = 0;
	sregs.cs.db = 1;
	ASSERT_RET(0, sys_ioctl(self->vcpu.fd, KVM_SET_SREGS, &sregs));
	ASSERT_RET(GUEST_DONE, vcpu_run(&self->vcpu, &exit));
	ASSERT_RET(0, vcpu_read_data(&self->vcpu, &rax));
	EXPECT_EQ(0, rax);
	EXPECT_SIGNALS(1, self->fd);
}

#else

TEST(x86_alone)
{
	SKIP(return, "KVM_HC_DOORBELL is on x86 alone");
}

#endif /* __x86_64__ */

TEST_HARNESS_MAIN
