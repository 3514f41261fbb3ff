/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls under test. As everywhere in ../lib, a function returns 0, a count or
 * -errno.
 */
#ifndef KVM_TASK_API_BOUND_H
#define KVM_TASK_API_BOUND_H

#include "uapi.h"
#include "vm.h"

/* The ioctls, on the descriptor of a vCPU or a VM */
int bind_fd(int fd);
int unbind_fd(int fd);

/* The system calls, as they are */
int kvm_vcpu_run(unsigned int flags);
int kvm_vm_call(unsigned int call, unsigned long arg);

/* KVM_CHECK_EXTENSION of whichever VM is bound */
int bound_check_extension(long cap);

/* As vcpu_run() and guest_do(), for a @vcpu that is bound to the caller */
int bound_run(struct vcpu *vcpu, struct guest_exit *exit);
int bound_do(struct vcpu *vcpu, const struct guest_io *io,
	     struct guest_exit *exits, int max);

/*
 * A word written to a port: 0 if it arrives as it is and the guest then ends, and
 * -EPROTO if something else comes of it. By kvm_vcpu_run(), and by KVM_RUN.
 */
int bound_works(struct vcpu *vcpu);
int kvm_run_works(struct vcpu *vcpu);

#endif /* KVM_TASK_API_BOUND_H */
