// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tiny guest: memory, page tables, registers, and a run loop.
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
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define PTE_PRESENT	(1ull << 0)
#define PTE_WRITE	(1ull << 1)
#define PTE_LARGE	(1ull << 7)
#define PAGE_2M		(1ull << 21)

#define CR0_PE		(1u << 0)
#define CR0_MP		(1u << 1)
#define CR0_PG		(1u << 31)
#define CR4_PAE		(1u << 5)
#define CR4_OSFXSR	(1u << 9)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)

#define CPUID_ENTRIES	256

extern const uint8_t guest_code[], guest_code_end[];
extern const uint8_t guest_out1[], guest_out2[], guest_out4[];
extern const uint8_t guest_in1[], guest_in2[], guest_in4[];
extern const uint8_t guest_outs1[], guest_outs2[], guest_outs4[];
extern const uint8_t guest_ins1[], guest_ins2[], guest_ins4[];
extern const uint8_t guest_store1[], guest_store2[], guest_store4[];
extern const uint8_t guest_store8[], guest_store16[];
extern const uint8_t guest_load1[], guest_load2[], guest_load4[], guest_load8[];
extern const uint8_t guest_vmcall[], guest_vmmcall[], guest_no_call[];
extern const uint8_t guest_vmcall32[], guest_vmmcall32[], guest_nothing[];
extern const uint8_t guest_out4_wait[];

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

/* Map the first 4 GiB one to one, so that any address there can be stored to */
static void write_page_tables(uint8_t *ram)
{
	uint64_t *pml4 = (uint64_t *)(ram + GUEST_PML4_GPA);
	uint64_t *pdpt = (uint64_t *)(ram + GUEST_PDPT_GPA);
	uint64_t *pd = (uint64_t *)(ram + GUEST_PD_GPA);
	int i;

	pml4[0] = GUEST_PDPT_GPA | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PD_GPA + i * 4096) | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = (i * PAGE_2M) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
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
	write_page_tables(vm->ram);
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

/* The guest needs the host's address width, or its page tables look reserved */
static int set_cpuid(int vcpu_fd)
{
	struct kvm_cpuid2 *cpuid;
	int kvm, ret;

	cpuid = calloc(1, sizeof(*cpuid) +
			  CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_ENTRIES;

	kvm = kvm_open();
	if (kvm < 0) {
		free(cpuid);
		return kvm;
	}
	ret = sys_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	close(kvm);
	if (!ret)
		ret = sys_ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return ret;
}

static int set_long_mode(int vcpu_fd)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 0x8, .type = 0xb, .present = 1,
		.s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 0x10, .type = 0x3, .present = 1,
		.s = 1, .db = 1, .g = 1,
	};
	struct kvm_sregs sregs;
	int ret;

	ret = sys_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs);
	if (ret)
		return ret;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_PG;
	sregs.cr3 = GUEST_PML4_GPA;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR;
	sregs.efer |= EFER_LME | EFER_LMA;
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	return sys_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs);
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
	ret = set_cpuid(vcpu->fd);
	if (!ret)
		ret = set_long_mode(vcpu->fd);
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

/* The other vendor's instruction would be patched or emulated, at a cost */
static bool cpu_is_intel(void)
{
	unsigned int max, ebx, ecx, edx;

	return __get_cpuid(0, &max, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx;
}

/* The loop in guest_code.S that does @io, or NULL if there is none */
static const uint8_t *entry_point(const struct guest_io *io)
{
	static const struct {
		enum guest_op op;
		enum guest_bus bus;
		uint32_t len;
		const uint8_t *entry;
	} loops[] = {
		{ GUEST_WRITE, BUS_PIO, 1, guest_out1 },
		{ GUEST_WRITE, BUS_PIO, 2, guest_out2 },
		{ GUEST_WRITE, BUS_PIO, 4, guest_out4 },
		{ GUEST_READ, BUS_PIO, 1, guest_in1 },
		{ GUEST_READ, BUS_PIO, 2, guest_in2 },
		{ GUEST_READ, BUS_PIO, 4, guest_in4 },
		{ GUEST_STRING_WRITE, BUS_PIO, 1, guest_outs1 },
		{ GUEST_STRING_WRITE, BUS_PIO, 2, guest_outs2 },
		{ GUEST_STRING_WRITE, BUS_PIO, 4, guest_outs4 },
		{ GUEST_STRING_READ, BUS_PIO, 1, guest_ins1 },
		{ GUEST_STRING_READ, BUS_PIO, 2, guest_ins2 },
		{ GUEST_STRING_READ, BUS_PIO, 4, guest_ins4 },
		{ GUEST_WRITE, BUS_MMIO, 1, guest_store1 },
		{ GUEST_WRITE, BUS_MMIO, 2, guest_store2 },
		{ GUEST_WRITE, BUS_MMIO, 4, guest_store4 },
		{ GUEST_WRITE, BUS_MMIO, 8, guest_store8 },
		{ GUEST_WRITE, BUS_MMIO, 16, guest_store16 },
		{ GUEST_READ, BUS_MMIO, 1, guest_load1 },
		{ GUEST_READ, BUS_MMIO, 2, guest_load2 },
		{ GUEST_READ, BUS_MMIO, 4, guest_load4 },
		{ GUEST_READ, BUS_MMIO, 8, guest_load8 },
		{ GUEST_WRITE_AND_WAIT, BUS_PIO, 4, guest_out4_wait },
	};
	size_t i;

	if (io->op == GUEST_NOTHING)
		return io->bus == BUS_HYPERCALL ? guest_no_call : guest_nothing;
	if (io->bus == BUS_HYPERCALL && io->op == GUEST_WRITE) {
		if (io->len == 4)
			return cpu_is_intel() ? guest_vmcall32 : guest_vmmcall32;
		return cpu_is_intel() ? guest_vmcall : guest_vmmcall;
	}

	for (i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		if (loops[i].op == io->op && loops[i].bus == io->bus &&
		    loops[i].len == io->len)
			return loops[i].entry;
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, const struct guest_io *io)
{
	const uint8_t *entry = entry_point(io);
	struct kvm_regs regs = {
		.rflags = 2,		/* the bit that is always one */
		.rax = io->data,
		.rbx = io->step,
		.rcx = io->times ? io->times : 1,
		.rdx = io->addr,
		.rdi = io->op == GUEST_STRING_READ ? GUEST_DATA_GPA : io->addr,
		.rsi = io->op == GUEST_STRING_WRITE ? GUEST_DATA_GPA
						    : io->data_high,
	};

	if (!entry)
		return -EINVAL;
	regs.rip = GUEST_CODE_GPA + (entry - guest_code);
	return sys_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

int vcpu_read_rax(const struct vcpu *vcpu, uint64_t *rax)
{
	struct kvm_regs regs;
	int ret = sys_ioctl(vcpu->fd, KVM_GET_REGS, &regs);

	if (!ret)
		*rax = regs.rax;
	return ret;
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

int vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	struct kvm_run *run = vcpu->run;
	int ret = sys_ioctl(vcpu->fd, KVM_RUN, NULL);

	if (ret < 0)
		return ret;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.port == GUEST_DONE_PORT)
			return GUEST_DONE;
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

int guest_do(struct vcpu *vcpu, const struct guest_io *io,
	     struct guest_exit *exits, int max)
{
	struct guest_exit exit;
	int count = 0, ret;

	ret = vcpu_start(vcpu, io);
	if (ret)
		return ret;

	while ((ret = vcpu_run(vcpu, &exit)) == GUEST_EXIT) {
		if (!exit.is_write)
			memcpy(exit_data(vcpu), &io->data, exit.len);
		if (count < max)
			exits[count] = exit;
		count++;
	}
	return ret < 0 ? ret : count;
}
