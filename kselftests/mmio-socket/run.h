/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU that does one thing in a thread of its own, while the case plays the
 * peer. What it reads at an exit to user space is io.data.
 */
#ifndef MMIO_SOCKET_RUN_H
#define MMIO_SOCKET_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

#define RUN_EXITS	16

struct run {
	struct vcpu *vcpu;
	struct guest_io io;
	pthread_t thread;
	bool keep_going;		/* on EINTR; otherwise that ends the run */
	/* What came of it, when it has ended */
	int result;			/* GUEST_DONE, or -errno of KVM_RUN */
	uint64_t rax;
	int interruptions;
	int nr_exits;			/* of which the first are kept */
	struct guest_exit exits[RUN_EXITS];
	uint16_t flags[RUN_EXITS];	/* kvm_run.flags of each */
};

/* Begin to do @io; 0 or -errno */
int run_start(struct run *run, struct vcpu *vcpu, const struct guest_io *io);

/* Go on with it after it ended with -EINTR; 0 or -errno */
int run_resume(struct run *run);

/* Send a signal to the vCPU's thread, wherever it is; 0 or -errno */
int run_signal(struct run *run);

/*
 * Do so until KVM_RUN has returned: the first one may come before it was called.
 * 0 or -errno
 */
int run_interrupt(struct run *run);

/* Wait for the end, and return run->result; -ETIMEDOUT if there is none */
int run_end(struct run *run);

/* Whether it has ended within @ms, without waiting for the result */
bool run_ends_within(struct run *run, int ms);

#endif /* MMIO_SOCKET_RUN_H */
