// SPDX-License-Identifier: GPL-2.0-only
/* Calls the ioctl into which the seeded kernels of tests/data/series put their faults. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "kselftest_harness.h"

TEST(before)
{
	ASSERT_LE(0, open("/dev/kvm", O_RDWR));
}

TEST(assign)
{
	struct kvm_ioeventfd args = { .addr = 0x100, .len = 2 };
	int kvm = open("/dev/kvm", O_RDWR);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	ASSERT_LE(0, vm);
	args.fd = eventfd(0, 0);
	ASSERT_LE(0, args.fd);
	ASSERT_EQ(0, ioctl(vm, KVM_IOEVENTFD, &args));
}

TEST_HARNESS_MAIN
