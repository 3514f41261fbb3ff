// SPDX-License-Identifier: GPL-2.0-only
/* The tiny guest on x86: in 64-bit mode, and with ports. */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm.h"
#include "vm_arch.h"

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

/* Map the first 4 GiB one to one, so that any address there can be stored to */
void arch_write_page_tables(uint8_t *ram)
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
	struct kvm_sregs sregs = {};
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

int arch_vcpu_init(struct vcpu *vcpu, const struct vm *vm)
{
	int ret = set_cpuid(vcpu->fd);

	(void)vm;
	return ret ? ret : set_long_mode(vcpu->fd);
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

int vcpu_read_data(const struct vcpu *vcpu, uint64_t *data)
{
	struct kvm_regs regs = {};
	int ret = sys_ioctl(vcpu->fd, KVM_GET_REGS, &regs);

	if (!ret)
		*data = regs.rax;
	return ret;
}

const char *guest_cannot(const struct guest_io *io)
{
	return entry_point(io) ? NULL : "x86 has no such access";
}

void vcpu_where(const struct vcpu *vcpu, char *text, size_t size)
{
	struct kvm_regs regs = {};

	if (sys_ioctl(vcpu->fd, KVM_GET_REGS, &regs))
		snprintf(text, size, "it does not say where");
	else
		snprintf(text, size, "rip %#llx, rcx %#llx", regs.rip, regs.rcx);
}
