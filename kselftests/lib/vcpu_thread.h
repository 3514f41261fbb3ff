/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU that writes in a thread of its own, while the case does something else.
 */
#ifndef KSELFTESTS_VCPU_THREAD_H
#define KSELFTESTS_VCPU_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "vm.h"

struct vcpu_thread {
	pthread_t thread;
	struct vcpu *vcpu;
	struct guest_io io;
	bool stop;
	int error;		/* -errno if the vCPU could not be run */
	uint64_t writes;	/* what the guest has done ... */
	uint64_t exits;		/* ... and how much of it left the kernel */
};

/* Do @io over and over, until vcpu_thread_stop(), on any CPU; 0 or -errno */
int vcpu_thread_start(struct vcpu_thread *vt, struct vcpu *vcpu,
		      const struct guest_io *io);

/*
 * Let it finish the @io at hand; 0 or -errno, and the counts are final. -ETIMEDOUT
 * if it does not, and standard output says where its guest is.
 */
int vcpu_thread_stop(struct vcpu_thread *vt);

#endif /* KSELFTESTS_VCPU_THREAD_H */
