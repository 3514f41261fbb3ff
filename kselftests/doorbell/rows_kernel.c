// SPDX-License-Identifier: GPL-2.0-only
/* Rows whose ring ends in the kernel: exits without work, and eventfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench.h"

#define PAGE_SIZE	4096u		/* for KVM_COALESCED_MMIO_MAX */

#define PORT		0x1000		/* registrations go upwards from here */
#define ADDRESS		0xe0000000
#define NUMBER		0x100
#define STRIDE		4
#define VALUE		0x1000		/* the first datamatch */

#ifndef KVM_HC_VAPIC_POLL_IRQ	/* <linux/kvm_para.h>, which x86 alone installs */
#define KVM_HC_VAPIC_POLL_IRQ	1
#endif

int vm_row_setup(struct row *row)
{
	int ret;

	row->vm.fd = row->vcpu.fd = -1;
	ret = vm_init(&row->vm);
	if (!ret)
		ret = vcpu_init(&row->vcpu, &row->vm, 0);
	return ret;
}

int vm_row_prepare(struct row *row)
{
	struct guest_io io = row->io;

	io.times = row->rings;
	if (row->idle)
		io.op = GUEST_NOTHING;
	return vcpu_start(&row->vcpu, &io);
}

/* The guest does it all by itself and exits once, to say that it has ended */
int vm_row_run(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;

	if (ioctl(row->vcpu.fd, KVM_RUN, NULL) < 0)
		return -errno;
	return guest_is_done(run) ? 0 : -EPROTO;
}

void vm_row_close(struct row *row)
{
	vcpu_destroy(&row->vcpu);
	vm_destroy(&row->vm);
	if (row->efd >= 0)
		close(row->efd);
}

/* --- exits that KVM answers with next to nothing ------------------------------- */

/*
 * A write into a coalesced zone is the cheapest there is: KVM notes it in a ring
 * that user space reads when it likes. It holds fewer entries than a page.
 */
static struct kvm_coalesced_mmio_ring *null_ring(struct row *row)
{
	int page = vm_check_extension(&row->vm, KVM_CAP_COALESCED_MMIO);

	return (void *)((uint8_t *)row->vcpu.run + page * PAGE_SIZE);
}

static int null_setup(struct row *row)
{
	struct kvm_coalesced_mmio_zone zone = { .size = 4 };
	int ret = vm_row_setup(row);

	if (ret)
		return ret;
	row->io = (struct guest_io){ .op = GUEST_WRITE, .bus = row->bus, .len = 4 };
	if (row->bus == BUS_HYPERCALL) {
		/* Returns, and has no other purpose */
		row->io.data_high = KVM_HC_VAPIC_POLL_IRQ;
		row->io.len = 8;
		return 0;
	}
	if (row->bus == BUS_PIO &&
	    vm_check_extension(&row->vm, KVM_CAP_COALESCED_PIO) <= 0)
		return -EOPNOTSUPP;
	row->io.addr = row->bus == BUS_PIO ? PORT : ADDRESS;
	zone.addr = row->io.addr;
	zone.pio = row->bus == BUS_PIO;
	return sys_ioctl(row->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

static int64_t null_take(struct row *row)
{
	struct kvm_coalesced_mmio_ring *noted = null_ring(row);
	uint32_t first = noted->first;

	if (row->bus == BUS_HYPERCALL)
		return take_nothing(row);
	noted->first = noted->last;
	return (noted->last + KVM_COALESCED_MMIO_MAX - first) %
	       KVM_COALESCED_MMIO_MAX;
}

const struct row_ops null_ops = {
	null_setup, vm_row_prepare, vm_row_run, null_take, vm_row_close,
};

/* --- eventfds ------------------------------------------------------------------- */

static struct doorbell numbered(const struct row *row, uint32_t i)
{
	static const uint64_t base[] = {
		[BUS_PIO] = PORT, [BUS_MMIO] = ADDRESS, [BUS_HYPERCALL] = NUMBER,
	};

	return (struct doorbell){
		.bus = row->bus,
		.addr = base[row->bus] + (row->one_place ? 0 : i * STRIDE),
		.len = row->bus == BUS_HYPERCALL ? 8 : 4,
		.match = row->match,
		.datamatch = VALUE + (row->one_place ? i : 0),
		.fd = row->efd,
	};
}

static int eventfd_setup(struct row *row)
{
	struct doorbell bell;
	uint32_t i, rung = row->first ? 0 : row->registrations - 1;
	int ret = vm_row_setup(row);

	if (ret)
		return ret;
	if (vm_check_extension(&row->vm, row->bus == BUS_HYPERCALL ?
			       KVM_CAP_IOSIGNALFD_HYPERCALL : row->api->cap) <= 0)
		return -EOPNOTSUPP;
	ret = row_eventfd(row, EFD_NONBLOCK);
	for (i = 0; !ret && i < row->registrations; i++) {
		bell = numbered(row, i);
		ret = doorbell_assign(row->api, row->vm.fd, &bell);
	}
	bell = numbered(row, rung);
	row->io = (struct guest_io){
		.op = GUEST_WRITE, .bus = row->bus, .addr = bell.addr,
		.len = bell.len, .data = bell.datamatch,
		.data_high = row->bus == BUS_HYPERCALL ? KVM_HC_DOORBELL : 0,
	};
	return ret;
}

const struct row_ops eventfd_ops = {
	eventfd_setup, vm_row_prepare, vm_row_run, take_signals, vm_row_close,
};
