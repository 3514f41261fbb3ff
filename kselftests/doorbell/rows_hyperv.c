// SPDX-License-Identifier: GPL-2.0-only
/* Hyper-V's doorbell, which KVM has on x86: a hypercall that signals an eventfd. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"

/* Hyper-V's calls: TLFS; in the kernel, include/hyperv/hvgdk*.h */
#define HV_SIGNAL_EVENT_FAST	(0x5d | 1 << 16)
#define HV_CONNECTION		1
#define HV_CPUID_MAX		0x40000000
#define HV_CPUID_INTERFACE	0x40000001
#define HV_INTERFACE_EAX	0x31237648	/* "Hv#1" */
#define HV_MSR_GUEST_OS_ID	0x40000000

/* Have the guest's hypercalls be Hyper-V's: an interface in CPUID, and an OS */
static int hyperv_enable(struct row *row)
{
	struct {
		struct kvm_cpuid2 cpuid;
		struct kvm_cpuid_entry2 entries[256];
	} *table = calloc(1, sizeof(*table));
	struct {
		struct kvm_msrs msrs;
		struct kvm_msr_entry entry;
	} os = { { .nmsrs = 1 }, { .index = HV_MSR_GUEST_OS_ID, .data = 1 } };
	struct kvm_cpuid_entry2 *entry;
	int kvm = kvm_open(), ret = kvm;

	if (!table || kvm < 0)
		goto out;
	table->cpuid.nent = 254;
	ret = sys_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table);
	if (ret)
		goto out;
	/* KVM's own leaves are in the same place: let them go */
	for (entry = table->entries; entry < table->entries + table->cpuid.nent; )
		if (entry->function >> 8 == HV_CPUID_MAX >> 8)
			*entry = table->entries[--table->cpuid.nent];
		else
			entry++;
	entry = table->entries + table->cpuid.nent;
	entry[0] = (struct kvm_cpuid_entry2){ .function = HV_CPUID_MAX,
					      .eax = HV_CPUID_INTERFACE };
	entry[1] = (struct kvm_cpuid_entry2){ .function = HV_CPUID_INTERFACE,
					      .eax = HV_INTERFACE_EAX };
	table->cpuid.nent += 2;
	ret = sys_ioctl(row->vcpu.fd, KVM_SET_CPUID2, table);
	if (!ret)
		ret = sys_ioctl(row->vcpu.fd, KVM_SET_MSRS, &os);
	ret = ret == 1 ? 0 : ret < 0 ? ret : -EOPNOTSUPP;
out:
	if (kvm >= 0)
		close(kvm);
	free(table);
	return ret;
}

static int hyperv_setup(struct row *row)
{
	struct kvm_hyperv_eventfd args = { .conn_id = HV_CONNECTION };
	int ret = vm_row_setup(row);

	if (ret)
		return ret;
	if (vm_check_extension(&row->vm, KVM_CAP_HYPERV_EVENTFD) <= 0)
		return -EOPNOTSUPP;
	ret = hyperv_enable(row);
	if (!ret)
		ret = row_eventfd(row, EFD_NONBLOCK);
	args.fd = row->efd;
	if (!ret)
		ret = sys_ioctl(row->vm.fd, KVM_HYPERV_EVENTFD, &args);
	row->io = (struct guest_io){
		.op = GUEST_WRITE, .bus = BUS_HYPERCALL, .len = 8,
		.addr = HV_CONNECTION, .data = HV_SIGNAL_EVENT_FAST,
	};
	return ret;
}

const struct row_ops hyperv_ops = {
	hyperv_setup, vm_row_prepare, vm_row_run, take_signals, vm_row_close,
};
