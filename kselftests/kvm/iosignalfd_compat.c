// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit VMM in one page: the helper of iosignalfd_compat_test. It is built
 * with -m32 against the tree's nolibc, as hosts rarely have a 32-bit libc.
 *
 *	iosignalfd_compat REQUEST EVENTFD STRICT
 *
 * Registers EVENTFD in a VM of its own and lets a guest write to it once. Exits
 * with 0, or with the number of the step that did not go as it should.
 */
#ifndef NOLIBC
#include "nolibc.h"
#endif

#include "kvm_uapi.h"

#define PORT	0xb400
#define CODE	0x1000
#define PAGE	0x1000

_Static_assert(sizeof(void *) == 4, "a 32-bit program");

static unsigned long request;
static int step;

/*
 * nolibc's exit() ends the calling thread alone, and the KVM of 6.12 adds a thread
 * to the process that runs a vCPU (arch/x86/kvm/mmu/mmu.c, vhost_task_create()).
 */
static void quit(int status)
{
	my_syscall1(__NR_exit_group, status);
}

static void expect(int want, int got)
{
	step++;
	if (want != got)
		quit(step);
}

static int call(int fd, unsigned long nr, void *arg)
{
	int ret = ioctl(fd, nr, arg);

	return ret < 0 ? -errno : ret;
}

static int doorbell(int vm, __u32 flags, __u64 addr, __u32 len, __u64 data,
		    int fd)
{
	struct kvm_iosignalfd args = {
		.flags = flags, .addr = addr, .len = len, .datamatch = data,
		.fd = fd,
	};

	return call(vm, request, &args);
}

/* Each field where this side believes it is, the 64-bit ones above all */
static void check_layout(int vm, int fd, int strict)
{
	const __u32 match = KVM_IOSIGNALFD_FLAG_DATAMATCH;
	const __u32 deassign = KVM_IOSIGNALFD_FLAG_DEASSIGN;
	struct kvm_iosignalfd padded = { .len = 4, .fd = fd };

	expect(0, doorbell(vm, match, 1ull << 40, 8, 1ull << 40, fd));
	expect(0, doorbell(vm, match, 1ull << 40, 8, 1ull << 41, fd));
	expect(0, doorbell(vm, match, 1ull << 41, 8, 1ull << 40, fd));
	expect(-EEXIST, doorbell(vm, match, 1ull << 40, 8, 1ull << 40, fd));
	expect(-EEXIST, doorbell(vm, 0, 1ull << 41, 8, 0, fd));
	expect(-EINVAL, doorbell(vm, 0, ~0ull, 8, 0, fd));
	expect(-EINVAL, doorbell(vm, 0, 0, 3, 0, fd));
	expect(-EBADF, doorbell(vm, 0, 0, 4, 0, -1));
	expect(-ENOENT, doorbell(vm, match | deassign, 1ull << 41, 8, 1, fd));
	expect(0, doorbell(vm, match | deassign, 1ull << 41, 8, 1ull << 40, fd));
	padded.pad[sizeof(padded.pad) - 1] = 1;
	expect(strict ? -EINVAL : 0, call(vm, request, &padded));
}

/* out %al, (%dx); hlt: in real mode, where a new vCPU starts */
static void ring_once(int kvm, int vm)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = CODE, .memory_size = PAGE,
	};
	struct kvm_regs regs = { .rip = CODE, .rdx = PORT, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	unsigned char *page;
	int vcpu;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(0, page == MAP_FAILED);
	page[0] = 0xee;
	page[1] = 0xf4;
	region.userspace_addr = (unsigned long)page;
	expect(0, call(vm, KVM_SET_USER_MEMORY_REGION, &region));

	vcpu = call(vm, KVM_CREATE_VCPU, 0);
	expect(0, vcpu < 0);
	run = mmap(NULL, call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0),
		   PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	expect(0, run == MAP_FAILED);
	expect(0, call(vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	expect(0, call(vcpu, KVM_SET_SREGS, &sregs));
	expect(0, call(vcpu, KVM_SET_REGS, &regs));
	expect(0, call(vcpu, KVM_RUN, 0));
	expect(KVM_EXIT_HLT, run->exit_reason);
}

int main(int argc, char **argv)
{
	int kvm, vm, fd, strict;

	expect(4, argc);
	request = atol(argv[1]);
	fd = atoi(argv[2]);
	strict = atoi(argv[3]);

	kvm = open("/dev/kvm", O_RDWR, 0);
	expect(0, kvm < 0);
	vm = call(kvm, KVM_CREATE_VM, 0);
	expect(0, vm < 0);

	check_layout(vm, fd, strict);
	expect(0, doorbell(vm, KVM_IOSIGNALFD_FLAG_PIO, PORT, 1, 0, fd));
	ring_once(kvm, vm);
	quit(0);
	return 0;
}
