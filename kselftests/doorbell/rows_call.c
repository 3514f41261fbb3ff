// SPDX-License-Identifier: GPL-2.0-only
/* Rows without a guest: what it takes to enter the kernel, and KVM_RUN. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

/* KVM's own type, so that it gets as far as into the vCPU, and no such number */
#define UNKNOWN_VCPU_IOCTL	_IO(KVMIO, 0xfe)
/* What neither /dev/doorbell nor the layers above it know */
#define UNKNOWN_IOCTL		_IO(DOORBELL_IOC, 0xfe)

static int call_setup(struct row *row)
{
	int ret = vm_row_setup(row);

	if (!ret && row->call == CALL_IOCTL_RING && bench.doorbell < 0)
		return -EOPNOTSUPP;
	if (!ret)
		row->vcpu.run->immediate_exit = 1;
	return ret;
}

static int call_prepare(struct row *row)
{
	(void)row;
	return 0;
}

static int64_t call_take(struct row *row)
{
	return row->call == CALL_IOCTL_RING ? take_rings(row) : take_nothing(row);
}

static int call_run(struct row *row)
{
	int vcpu = row->vcpu.fd;
	uint32_t i;

	if (row->idle) {
		CALLS((void)0);
		return 0;
	}
	switch (row->call) {
	case CALL_GETPPID:
		CALLS(syscall(SYS_getppid));
		return 0;
	case CALL_IOCTL:
		CALLS(ioctl(bench.ring_fd, UNKNOWN_IOCTL, 0));
		return errno == ENOTTY ? 0 : -EPROTO;
	case CALL_IOCTL_RING:
		CALLS(ioctl(bench.doorbell, DOORBELL_RING, 0));
		return 0;
	case CALL_IOCTL_VCPU:
		CALLS(ioctl(vcpu, UNKNOWN_VCPU_IOCTL, 0));
		return errno == EINVAL ? 0 : -EPROTO;
	case CALL_RUN_IMMEDIATE:
		CALLS(ioctl(vcpu, KVM_RUN, 0));
		return errno == EINTR ? 0 : -EPROTO;
	}
	return -EINVAL;
}

const struct row_ops call_ops = {
	call_setup, call_prepare, call_run, call_take, vm_row_close,
};
