// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows for vCPUs that are bound to threads and VMs that are bound to processes: the
 * system calls, the ioctl beside one of them, and KVM_RUN from two threads in turn,
 * which nobody can do with a vCPU that is bound.
 */
#include <errno.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kvm-task-api/uapi.h"
#include "bench.h"

#define PORT		0x1000
/* What KVM answers without looking at anything */
#define EXTENSION	KVM_CAP_NR_MEMSLOTS

/* A row's VM, on a kernel with the series */
static int task_setup(struct row *row)
{
	int ret = vm_row_setup(row);

	if (ret)
		return ret;
	if (vm_check_extension(&row->vm, KVM_CAP_TASK_API) <= 0)
		return -EOPNOTSUPP;
	row->io = (struct guest_io){
		.op = GUEST_WRITE, .bus = BUS_PIO, .addr = PORT, .len = 4,
	};
	return 0;
}

/* --- kvm_vcpu_run() ------------------------------------------------------------- */

/* The thread has one vCPU, and the rows have one thread: they take turns */
static int bound_prepare(struct row *row)
{
	int ret = vm_row_prepare(row);

	return ret ? ret : sys_ioctl(row->vcpu.fd, KVM_BIND, NULL);
}

static int unbind(struct row *row)
{
	row->vcpu.run->immediate_exit = 0;
	return sys_ioctl(row->vcpu.fd, KVM_UNBIND, NULL);
}

static int immediate_run(struct row *row)
{
	uint32_t i;

	row->vcpu.run->immediate_exit = 1;
	if (row->idle) {
		CALLS((void)0);
		return 0;
	}
	CALLS(syscall(__NR_kvm_vcpu_run, 0));
	return errno == EINTR ? 0 : -EPROTO;
}

static int64_t immediate_take(struct row *row)
{
	int ret = unbind(row);

	/* At the start, when nothing is bound yet, nobody looks at it */
	return ret ? ret : take_nothing(row);
}

const struct row_ops task_immediate_ops = {
	task_setup, bound_prepare, immediate_run, immediate_take, vm_row_close,
};

static int pio_run(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;

	for (;;) {
		if (syscall(__NR_kvm_vcpu_run, 0) < 0)
			return -errno;
		if (run->exit_reason != KVM_EXIT_IO)
			return -EPROTO;
		if (run->io.port == GUEST_DONE_PORT)
			return 0;
		if (run->io.port != PORT)
			return -EPROTO;
		ring(row);
	}
}

static int64_t pio_take(struct row *row)
{
	int64_t rings = take_rings(row);
	int ret = unbind(row);

	return ret ? ret : rings;
}

const struct row_ops task_pio_ops = {
	task_setup, bound_prepare, pio_run, pio_take, vm_row_close,
};

/* --- a call for the VM ---------------------------------------------------------- */

static int vm_call_setup(struct row *row)
{
	int ret = task_setup(row);

	return ret || !row->bound ? ret : sys_ioctl(row->vm.fd, KVM_BIND, NULL);
}

static int vm_call_prepare(struct row *row)
{
	(void)row;
	return 0;
}

static int vm_call_run(struct row *row)
{
	int vm = row->vm.fd, ret = 1;
	uint32_t i;

	if (row->idle)
		CALLS((void)0);
	else if (row->bound)
		CALLS(ret = syscall(__NR_kvm_vm_call, KVM_VM_CALL_CHECK_EXTENSION,
				    EXTENSION));
	else
		CALLS(ret = ioctl(vm, KVM_CHECK_EXTENSION, EXTENSION));
	return ret > 0 ? 0 : -EPROTO;
}

static void vm_call_close(struct row *row)
{
	if (row->bound && row->vm.fd >= 0)
		sys_ioctl(row->vm.fd, KVM_UNBIND, NULL);
	vm_row_close(row);
}

const struct row_ops task_vm_ops = {
	vm_call_setup, vm_call_prepare, vm_call_run, take_nothing, vm_call_close,
};

/* --- KVM_RUN from two threads in turn ------------------------------------------- */

/* Whose turn it is; there is one such row */
static sem_t turn_of_other, turn_of_first;
static int other_result;

/* Up to the next exit: 1 if the guest has ended, 0 after a ring, or -errno */
static int run_once(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;

	if (ioctl(row->vcpu.fd, KVM_RUN, NULL) < 0)
		return -errno;
	if (run->exit_reason != KVM_EXIT_IO)
		return -EPROTO;
	if (run->io.port == GUEST_DONE_PORT)
		return 1;
	if (run->io.port != PORT)
		return -EPROTO;
	ring(row);
	return 0;
}

static void *take_turns(void *arg)
{
	struct row *row = arg;

	if (settle(bench.vcpu_cpu, PRIORITY_VCPU))
		return NULL;
	for (;;) {
		while (sem_wait(&turn_of_other))
			;		/* interrupted; and where a thread can be cancelled */
		other_result = run_once(row);
		sem_post(&turn_of_first);
	}
}

static int turns_setup(struct row *row)
{
	int ret = task_setup(row);

	if (ret)
		return ret;
	if (sem_init(&turn_of_other, 0, 0) || sem_init(&turn_of_first, 0, 0))
		return -errno;
	return -pthread_create(&row->thread, NULL, take_turns, row);
}

/* The first turn is that of the thread that has run the vCPU before */
static int turns_prepare(struct row *row)
{
	row->vcpu.run->immediate_exit = 1;
	if (sys_ioctl(row->vcpu.fd, KVM_RUN, NULL) != -EINTR)
		return -EPROTO;
	row->vcpu.run->immediate_exit = 0;
	return vm_row_prepare(row);
}

static int turns_run(struct row *row)
{
	int ret = run_once(row);

	while (!ret) {
		sem_post(&turn_of_other);
		while (sem_wait(&turn_of_first))
			;		/* interrupted */
		ret = other_result;
		if (!ret)
			ret = run_once(row);
	}
	return ret > 0 ? 0 : ret;
}

static void turns_close(struct row *row)
{
	if (row->thread) {
		pthread_cancel(row->thread);
		pthread_join(row->thread, NULL);
	}
	vm_row_close(row);
}

const struct row_ops task_turns_ops = {
	turns_setup, turns_prepare, turns_run, take_rings, turns_close,
};
