/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine just large enough to write to an address.
 *
 * Every function returns 0 or a count, or -errno; none of them prints or
 * asserts. The twins that do are in expect.h.
 */
#ifndef KSELFTESTS_VM_H
#define KSELFTESTS_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_layout.h"
#include "kvm_uapi.h"

struct vm {
	int fd;
	uint8_t *ram;			/* GUEST_RAM_SIZE bytes at address 0 */
};

struct vcpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

enum guest_bus {
	BUS_PIO,
	BUS_MMIO,
	BUS_HYPERCALL,			/* not a bus, but used like one */
};

enum guest_op {
	GUEST_NOTHING,			/* the loop alone, to be subtracted */
	GUEST_WRITE,
	GUEST_READ,
	GUEST_STRING_WRITE,		/* rep outs: PIO, from GUEST_DATA_GPA */
	GUEST_STRING_READ,		/* rep ins: PIO, to GUEST_DATA_GPA */
	/*
	 * 4 bytes, to a port or, where there are none, to memory: adds the step to
	 * the data, writes it, and waits until the 4 bytes at GUEST_DATA_GPA are the
	 * same
	 */
	GUEST_WRITE_AND_WAIT,
};

/*
 * What the guest does: the same access, @times over. A write to
 * BUS_HYPERCALL is the call @data_high with @addr in rbx and rdx and @data in
 * rcx: what KVM_HC_DOORBELL takes, and with HVCALL_SIGNAL_EVENT as @data what
 * Hyper-V's does. vcpu_read_data() gives what the last one returned.
 */
struct guest_io {
	enum guest_op op;
	enum guest_bus bus;
	uint64_t addr;
	uint32_t len;			/* PIO 1, 2, 4; MMIO 1, 2, 4, 8, write 16;
					 * hypercall 8, from 32-bit code 4 */
	uint64_t data;			/* a read gets this from user space */
	uint64_t data_high;		/* the upper half of a 16-byte write */
	uint64_t step;			/* added to the data after each access */
	uint64_t times;			/* 0 is once */
};

/* An access that left the kernel for user space */
struct guest_exit {
	enum guest_bus bus;
	bool is_write;
	uint64_t addr;
	uint32_t len;
	uint64_t data;
};

/* What vcpu_run() came back with */
enum guest_event {
	GUEST_DONE,
	GUEST_EXIT,
};

int kvm_open(void);
int vm_init(struct vm *vm);
void vm_destroy(struct vm *vm);
int vm_check_extension(const struct vm *vm, long cap);

/*
 * 1 if KVM has the ioctl @request that @cap stands for, and 0 if it has not. -EPROTO
 * if KVM_CHECK_EXTENSION denies one that is there: programs would do without it.
 */
int vm_supports(const struct vm *vm, long cap, unsigned long request);

/*
 * How many devices still fit on a bus, each in 8 bytes from @addr on: coalesced
 * zones, which are gone again afterwards. Or -errno, if one cannot be there at all.
 */
int vm_room(const struct vm *vm, bool pio, uint64_t addr);
int vm_set_memory(const struct vm *vm, uint32_t slot, uint32_t flags,
		  uint64_t gpa, uint64_t size, void *hva);

int vcpu_init(struct vcpu *vcpu, const struct vm *vm, unsigned int id);
void vcpu_destroy(struct vcpu *vcpu);

/* Point the vCPU at @io; vcpu_run() then goes to the next event */
int vcpu_start(struct vcpu *vcpu, const struct guest_io *io);
int vcpu_run(struct vcpu *vcpu, struct guest_exit *exit);

/* What the vCPU came back with when it was run, however that was */
int vcpu_event(struct vcpu *vcpu, struct guest_exit *exit);

int vcpu_read_data(const struct vcpu *vcpu, uint64_t *data);

/* Whether the last exit says that the guest's program has come to its end */
static inline bool guest_is_done(const struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return run->io.port == GUEST_DONE_PORT;
	case KVM_EXIT_MMIO:
		return run->mmio.is_write && run->mmio.phys_addr == GUEST_DONE_PORT;
	default:
		return false;
	}
}

/* Write to @text where in its program a vCPU is that did not come to its end */
void vcpu_where(const struct vcpu *vcpu, char *text, size_t size);

/* Why this architecture's guest cannot do @io, as a reason to skip; NULL if it can */
const char *guest_cannot(const struct guest_io *io);

/* A write that every @bus has, to ask guest_cannot() whether there is such a bus */
static inline struct guest_io any_write(enum guest_bus bus)
{
	return (struct guest_io){ .op = GUEST_WRITE, .bus = bus, .len = 1 };
}

#ifdef __x86_64__
#define NO_KVM	"no KVM (kvm-amd or kvm-intel, and SVM or VMX)"
#else
#define NO_KVM	"no KVM (a kernel that started at its hypervisor level)"
#endif

/*
 * Do all of @io. Returns how many of its accesses exited to user space, and
 * stores the first @max of them; reads are answered with @io->data.
 */
int guest_do(struct vcpu *vcpu, const struct guest_io *io,
	     struct guest_exit *exits, int max);

/* The same with @run instead of vcpu_run() */
int guest_do_by(int (*run)(struct vcpu *vcpu, struct guest_exit *exit),
		struct vcpu *vcpu, const struct guest_io *io,
		struct guest_exit *exits, int max);

/* An ioctl that returns -errno instead of -1 */
int sys_ioctl(int fd, unsigned long request, const void *arg);

#endif /* KSELFTESTS_VM_H */
