/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread that does what the case tells it, one thing after the other, and lives
 * until it is told to end. One that lives before another one dies is no successor: a
 * new thread may get the very structure of a dead one from the kernel's slab, and
 * then has whatever was left in there.
 */
#ifndef KVM_TASK_API_WORKER_H
#define KVM_TASK_API_WORKER_H

#include <pthread.h>
#include <stdbool.h>

struct worker {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int (*task)(void *arg);		/* NULL: nothing to do */
	void *arg;
	int result;
	bool end;
};

int worker_start(struct worker *worker);

/* Have it call @task(@arg), and return what that returns; -ETIMEDOUT if it does not */
int worker_do(struct worker *worker, int (*task)(void *arg), void *arg);

/* The same in two steps */
void worker_begin(struct worker *worker, int (*task)(void *arg), void *arg);
int worker_end(struct worker *worker);

/* Whether it is done within @ms */
bool worker_is_done_within(struct worker *worker, int ms);

/* Send it SIGUSR1, whose handler does nothing but interrupt what it waits in */
int worker_interrupt(struct worker *worker);

/* End the thread, and wait until it has gone; 0 or -errno */
int worker_stop(struct worker *worker);

/* What workers are told most: bind, unbind the descriptor at @fd ... */
int worker_bind(void *fd);
int worker_unbind(void *fd);
/* ... see whether the vCPU, bound or by KVM_RUN, works */
int worker_bound_works(void *vcpu);
int worker_kvm_run_works(void *vcpu);
/* ... and what the system calls say, of any vCPU and VM */
int worker_run(void *unused);
int worker_check(void *cap);

#endif /* KVM_TASK_API_WORKER_H */
