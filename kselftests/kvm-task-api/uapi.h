/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the patched headers say about the system calls, for those of a kernel
 * without the series, or with a part of it: there, all cases skip.
 */
#ifndef KVM_TASK_API_UAPI_H
#define KVM_TASK_API_UAPI_H

#include <asm/unistd.h>
#include <linux/kvm.h>

#ifndef KVM_BIND
#define KVM_CAP_TASK_API		1003
#define KVM_BIND			_IO(KVMIO,  0xea)
#define KVM_UNBIND			_IO(KVMIO,  0xeb)
#endif

/* What earlier patches of the series add */
#ifndef KVM_VM_CALL_CHECK_EXTENSION
#define KVM_VM_CALL_CHECK_EXTENSION	0
#endif
#ifndef __NR_kvm_vcpu_run
#define __NR_kvm_vcpu_run		463
#define __NR_kvm_vm_call		464
#endif

/* The same in the table of 32-bit callers, which <asm/unistd.h> does not have here */
#define NR32_kvm_vcpu_run		463
#define NR32_kvm_vm_call		464

_Static_assert(KVM_CAP_TASK_API == 1003, "the number that was published");
_Static_assert(_IOC_SIZE(KVM_BIND) == 0 && _IOC_NR(KVM_BIND) == 0xea,
	       "no structure, so nothing that differs for 32-bit callers");
_Static_assert(_IOC_SIZE(KVM_UNBIND) == 0 && _IOC_NR(KVM_UNBIND) == 0xeb,
	       "no structure, so nothing that differs for 32-bit callers");
_Static_assert(__NR_kvm_vcpu_run == 463 && __NR_kvm_vm_call == 464,
	       "the numbers after mseal, the last one of 6.12");

#endif /* KVM_TASK_API_UAPI_H */
