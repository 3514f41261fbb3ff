// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tiny guest: memory, a vCPU, and a run loop. What differs between
 * architectures lies in a folder for each: its code, page tables and registers.
 *
 * Why not the tree's own tools/testing/selftests/kvm/lib/kvm_util.c?
 *
 * - Its calls assert: TEST_ASSERT() ends the program (lib/assert.c). The cases
 *   here expect -errno from many calls, under fault injection among others, and
 *   one that fails must not take the rest of its program along.
 * - Its guest is a C function in the test's own ELF file that talks to the host
 *   through ucall(), an exit of its own. A case here counts exits and measures
 *   them: the guest is a few instructions, and no exit is there but those that
 *   the case asks for.
 * - It belongs to one kernel: its interface and its files move from release to
 *   release (lib/x86_64/ became lib/x86/), and a program is built by that
 *   directory's Makefile. A suite here is built outside the tree and is the same
 *   for 6.1 and 6.12, so that what differs in a result is the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"
#include "vm_arch.h"

int sys_ioctl(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vm_check_extension(const struct vm *vm, long cap)
{
	return sys_ioctl(vm->fd, KVM_CHECK_EXTENSION, (void *)cap);
}

int vm_supports(const struct vm *vm, long cap, unsigned long request)
{
	int ret;

	if (vm_check_extension(vm, cap) > 0)
		return 1;
	/*
	 * An ioctl that is there wants an argument that can be read, or finds nothing
	 * to do. One that is not is ENOTTY on x86, and EINVAL on arm64 and riscv.
	 */
	ret = sys_ioctl(vm->fd, request, NULL);
	return ret == -ENOTTY || ret == -EINVAL ? 0 : -EPROTO;
}

/* Far more than fit anywhere: NR_IOBUS_DEVS is 1000 (include/linux/kvm_host.h) */
#define ROOM_MAX	4096

static int zone_ioctl(const struct vm *vm, unsigned long request, bool pio,
		      uint64_t addr)
{
	const struct kvm_coalesced_mmio_zone zone = {
		.addr = addr, .size = 8, .pio = pio,
	};

	return sys_ioctl(vm->fd, request, &zone);
}

int vm_room(const struct vm *vm, bool pio, uint64_t addr)
{
	int count, i, ret = 0;

	for (count = 0; count < ROOM_MAX; count++) {
		ret = zone_ioctl(vm, KVM_REGISTER_COALESCED_MMIO, pio,
				 addr + 8 * count);
		if (ret)
			break;
	}
	for (i = 0; i < count; i++)
		zone_ioctl(vm, KVM_UNREGISTER_COALESCED_MMIO, pio, addr + 8 * i);
	return ret && ret != -ENOSPC ? ret : count;
}

int vm_set_memory(const struct vm *vm, uint32_t slot, uint32_t flags,
		  uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return sys_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int vm_init(struct vm *vm)
{
	int kvm, ret;

	*vm = (struct vm){ .fd = -1 };

	kvm = kvm_open();
	if (kvm < 0)
		return kvm;
	vm->fd = sys_ioctl(kvm, KVM_CREATE_VM, NULL);
	close(kvm);
	if (vm->fd < 0)
		return vm->fd;

	vm->ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->ram == MAP_FAILED) {
		ret = -errno;
		vm->ram = NULL;
		goto fail;
	}
	arch_write_page_tables(vm->ram);
	memcpy(vm->ram + GUEST_CODE_GPA, guest_code, guest_code_end - guest_code);

	ret = vm_set_memory(vm, 0, 0, 0, GUEST_RAM_SIZE, vm->ram);
	if (ret)
		goto fail;
	return 0;
fail:
	vm_destroy(vm);
	return ret;
}

/* KVM keeps the VM until its last vCPU is closed as well */
void vm_destroy(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->ram)
		munmap(vm->ram, GUEST_RAM_SIZE);
	*vm = (struct vm){ .fd = -1 };
}

int vcpu_init(struct vcpu *vcpu, const struct vm *vm, unsigned int id)
{
	int kvm, ret;

	*vcpu = (struct vcpu){ .fd = -1 };

	kvm = kvm_open();
	if (kvm < 0)
		return kvm;
	ret = sys_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	close(kvm);
	if (ret < 0)
		return ret;
	vcpu->run_size = ret;

	vcpu->fd = sys_ioctl(vm->fd, KVM_CREATE_VCPU, (void *)(uintptr_t)id);
	if (vcpu->fd < 0)
		return vcpu->fd;
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		ret = -errno;
		vcpu->run = NULL;
		goto fail;
	}
	ret = arch_vcpu_init(vcpu, vm);
	if (ret)
		goto fail;
	return 0;
fail:
	vcpu_destroy(vcpu);
	return ret;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	*vcpu = (struct vcpu){ .fd = -1 };
}

/* Where user space and KVM exchange the data of the exit at hand */
static void *exit_data(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_MMIO)
		return run->mmio.data;
	return (uint8_t *)run + run->io.data_offset;
}

/* An exit that nothing here asks for is a finding, so say which one it was */
static int unasked_exit(const struct kvm_run *run)
{
	printf("# KVM_RUN: exit reason %u", run->exit_reason);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		printf(", suberror %u", run->internal.suberror);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		printf(", hardware reason %#llx",
		       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	printf("\n");
	fflush(stdout);
	return -EPROTO;
}

int vcpu_event(struct vcpu *vcpu, struct guest_exit *exit)
{
	struct kvm_run *run = vcpu->run;

	if (guest_is_done(run))
		return GUEST_DONE;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		*exit = (struct guest_exit){
			.bus = BUS_PIO,
			.is_write = run->io.direction == KVM_EXIT_IO_OUT,
			.addr = run->io.port,
			.len = run->io.size * run->io.count,
		};
		break;
	case KVM_EXIT_MMIO:
		*exit = (struct guest_exit){
			.bus = BUS_MMIO,
			.is_write = run->mmio.is_write,
			.addr = run->mmio.phys_addr,
			.len = run->mmio.len,
		};
		break;
	default:
		return unasked_exit(run);
	}
	if (exit->len > sizeof(exit->data))
		return -EMSGSIZE;
	if (exit->is_write)
		memcpy(&exit->data, exit_data(vcpu), exit->len);
	return GUEST_EXIT;
}

int vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	int ret = sys_ioctl(vcpu->fd, KVM_RUN, NULL);

	return ret < 0 ? ret : vcpu_event(vcpu, exit);
}

int guest_do_by(int (*run)(struct vcpu *vcpu, struct guest_exit *exit),
		struct vcpu *vcpu, const struct guest_io *io,
		struct guest_exit *exits, int max)
{
	struct guest_exit exit;
	int count = 0, ret;

	ret = vcpu_start(vcpu, io);
	if (ret)
		return ret;

	while ((ret = run(vcpu, &exit)) == GUEST_EXIT) {
		if (!exit.is_write)
			memcpy(exit_data(vcpu), &io->data, exit.len);
		if (count < max)
			exits[count] = exit;
		count++;
	}
	return ret < 0 ? ret : count;
}

int guest_do(struct vcpu *vcpu, const struct guest_io *io,
	     struct guest_exit *exits, int max)
{
	return guest_do_by(vcpu_run, vcpu, io, exits, max);
}
