/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The doorbell benchmark: what one ring costs, by the way it takes to the one
 * who counts. A row is such a way. It is set up once; then a batch of rings, and
 * the same loop without the rings, are timed again and again.
 *
 * Functions return 0 or -errno.
 */
#ifndef DOORBELL_BENCH_H
#define DOORBELL_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if __has_include(<linux/doorbell.h>)
#include <linux/doorbell.h>
#else	/* headers of a kernel without the series: what its doorbell.h says */
#define DOORBELL_IOC	0xdc
#define DOORBELL_RING	_IO(DOORBELL_IOC, 0x00)
#define DOORBELL_READ	_IOR(DOORBELL_IOC, 0x01, __u64)
#define DOORBELL_BIND	_IOW(DOORBELL_IOC, 0x02, __s32)
#endif

#include "doorbell.h"
#include "vm.h"

struct row;

struct row_ops {
	int (*setup)(struct row *row);
	/* Not timed: get ready for row->rings rings, or for the loop alone */
	int (*prepare)(struct row *row);
	/* Timed: do what was prepared */
	int (*run)(struct row *row);
	/* How many rings have come through since the last call, or -errno */
	int64_t (*take)(struct row *row);
	void (*close)(struct row *row);
};

enum bench_call {
	CALL_GETPPID,
	CALL_IOCTL,
	CALL_IOCTL_RING,
	CALL_IOCTL_VCPU,
	CALL_RUN_IMMEDIATE,
};

struct row {
	char name[48];
	const struct row_ops *ops;
	/* What it is about; how much of this counts depends on its ops */
	const struct doorbell_api *api;
	enum guest_bus bus;
	uint32_t registrations;
	bool match;			/* on a value */
	bool one_place;			/* they differ by value alone */
	bool first;			/* ring the first one, and not the last */
	enum bench_call call;
	bool by_kvm;			/* KVM sends the access, and not the VMM */
	bool reads;			/* the guest reads, where it writes otherwise */
	bool posted;			/* and does not wait for an answer */
	uint32_t batch;			/* rings of each sample; 0: as many as fit */
	bool vcpu_alone;		/* time the vCPU, and not who serves it */
	bool bound;			/* the VM, to the process: by system call */
	/* The next batch */
	uint32_t rings;
	bool idle;			/* the loop alone */
	/* State */
	struct vm vm;
	struct vcpu vcpu;
	struct guest_io io;
	int efd;			/* what is signalled, or -1 */
	bool broken;			/* no more samples of it */
	uint64_t counted;		/* rings that user space counted itself */
	pthread_t thread;		/* who serves the ring ... */
	int child;			/* ... or which process, at the end of */
	int sock;
	uint64_t *served;		/* rings that the process counted ... */
	uint64_t due;			/* ... and will have, after what ran last */
};

/* What all rows share */
struct bench {
	int doorbell;			/* /dev/doorbell, or -1 */
	int ring_fd;			/* that, or something as quick to refuse */
	bool wall;			/* real time, not instructions */
	int vcpu_cpu, server_cpu;	/* -1: wherever */
};

extern struct bench bench;

/* Ring as a VMM does: by an ioctl */
void ring(struct row *row);

/* Create row->efd and have the doorbell, if there is one, count its signals */
int row_eventfd(struct row *row, int flags);

/* For row_ops.take: signals of the eventfd, rings of user space ... */
int64_t take_signals(struct row *row);
int64_t take_rings(struct row *row);
/* ... and where nobody does */
int64_t take_nothing(struct row *row);

/* A VM whose guest does row->io over and over, and what undoes it */
int vm_row_setup(struct row *row);
int vm_row_prepare(struct row *row);
int vm_row_run(struct row *row);
void vm_row_close(struct row *row);

/*
 * Have a process, row->child, call @serve with its end of a pair of sockets. The
 * caller keeps the other one, @socks[0].
 */
int fork_server(struct row *row, const int socks[2],
		void (*serve)(struct row *row, int sock));

/* Rows of calls have this loop in common, and the loop alone is subtracted */
#define CALLS(call)							\
	do {								\
		for (i = 0; i < row->rings; i++) {			\
			__asm__ volatile("" ::: "memory");		\
			call;						\
		}							\
	} while (0)

extern const struct row_ops null_ops, eventfd_ops;		/* rows_kernel.c */
extern const struct row_ops hyperv_ops;				/* rows_hyperv.c */
extern const struct row_ops vmm_ops, thread_ops, socket_ops;	/* rows_user.c */
extern const struct row_ops kvm_socket_ops;			/* rows_socket.c */
extern const struct row_ops call_ops;				/* rows_call.c */
extern const struct row_ops task_immediate_ops, task_pio_ops;	/* rows_task.c */
extern const struct row_ops task_vm_ops, task_turns_ops;

/* All rows there are, with @limit as the highest number of registrations */
int make_rows(uint32_t limit, struct row **rows, size_t *count);

/* Run the calling thread on @cpu; if that serves all, before all ordinary ones */
int settle(int cpu, int priority);
#define PRIORITY_VCPU	10
#define PRIORITY_SERVER	11	/* runs at once when it is woken up */

#endif /* DOORBELL_BENCH_H */
