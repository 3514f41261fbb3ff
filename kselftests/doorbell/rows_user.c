// SPDX-License-Identifier: GPL-2.0-only
/* Rows whose ring goes through user space: a VMM, a thread, a process. */
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PORT		0x1000
#define ADDRESS		0xe0000000

void ring(struct row *row)
{
	ioctl(bench.ring_fd, DOORBELL_RING, 0);
	if (bench.doorbell < 0)
		row->counted++;
}

static int exit_row_setup(struct row *row)
{
	row->io = (struct guest_io){
		.op = GUEST_WRITE, .bus = row->bus, .len = 4,
		.addr = row->bus == BUS_PIO ? PORT : ADDRESS,
	};
	return vm_row_setup(row);
}

/* --- the VMM answers its exits itself ---------------------------------------------- */

static int vmm_run(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;

	for (;;) {
		if (ioctl(row->vcpu.fd, KVM_RUN, NULL) < 0)
			return -errno;
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port == GUEST_DONE_PORT)
				return 0;
			if (run->io.port != PORT)
				return -EPROTO;
			break;
		case KVM_EXIT_MMIO:
			if (run->mmio.phys_addr != ADDRESS)
				return guest_is_done(run) ? 0 : -EPROTO;
			break;
		default:
			return -EPROTO;
		}
		ring(row);
	}
}

const struct row_ops vmm_ops = {
	exit_row_setup, vm_row_prepare, vmm_run, take_rings, vm_row_close,
};

/* --- a thread waits for the eventfd, and the guest for the thread ------------------- */

static void *serve_eventfd(void *arg)
{
	struct row *row = arg;
	uint32_t *answer = (uint32_t *)(row->vm.ram + GUEST_DATA_GPA);
	uint64_t rings;

	if (settle(bench.server_cpu, PRIORITY_SERVER))
		return NULL;
	while (read(row->efd, &rings, sizeof(rings)) == sizeof(rings)) {
		ring(row);
		__atomic_store_n(answer, *answer + rings, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int thread_setup(struct row *row)
{
	struct doorbell bell = { .bus = row->bus, .len = 4 };
	int ret = exit_row_setup(row);

	if (ret)
		return ret;
	row->efd = eventfd(0, EFD_CLOEXEC);
	if (row->efd < 0)
		return -errno;
	bell.fd = row->efd;
	bell.addr = row->io.addr;
	ret = doorbell_assign(&ioeventfd_api, row->vm.fd, &bell);
	if (!ret)
		ret = -pthread_create(&row->thread, NULL, serve_eventfd, row);
	row->io.op = GUEST_WRITE_AND_WAIT;
	row->io.step = 1;
	return ret;
}

static int thread_prepare(struct row *row)
{
	row->io.data = *(uint32_t *)(row->vm.ram + GUEST_DATA_GPA);
	return vm_row_prepare(row);
}

static void thread_close(struct row *row)
{
	if (row->thread) {
		pthread_cancel(row->thread);	/* read(2) is where it can be */
		pthread_join(row->thread, NULL);
	}
	vm_row_close(row);
}

const struct row_ops thread_ops = {
	thread_setup, thread_prepare, vm_row_run, take_rings, thread_close,
};

/* --- another process answers the exit ----------------------------------------------- */

struct message {
	uint64_t addr;
	uint64_t data;
	uint32_t len;
	uint32_t is_write;
};

int fork_server(struct row *row, const int socks[2],
		void (*serve)(struct row *row, int sock))
{
	row->child = fork();
	if (row->child < 0)
		return -errno;
	if (!row->child) {
		close(socks[0]);
		serve(row, socks[1]);
		_exit(0);
	}
	close(socks[1]);
	return 0;
}

static void serve_socket(struct row *row, int sock)
{
	struct message message;
	uint64_t answer = 0;

	if (settle(bench.server_cpu, PRIORITY_VCPU))
		return;
	while (read(sock, &message, sizeof(message)) == sizeof(message)) {
		ring(row);
		if (write(sock, &answer, sizeof(answer)) != sizeof(answer))
			return;
	}
}

static int socket_setup(struct row *row)
{
	int socks[2], ret = exit_row_setup(row);

	if (ret)
		return ret;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	row->sock = socks[0];
	return fork_server(row, socks, serve_socket);
}

static int socket_run(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;
	struct message message;
	uint64_t answer;

	for (;;) {
		if (ioctl(row->vcpu.fd, KVM_RUN, NULL) < 0)
			return -errno;
		if (run->exit_reason != KVM_EXIT_MMIO ||
		    run->mmio.phys_addr != ADDRESS)
			return guest_is_done(run) ? 0 : -EPROTO;
		message = (struct message){
			.addr = run->mmio.phys_addr, .len = run->mmio.len,
			.is_write = run->mmio.is_write,
			.data = *(uint32_t *)run->mmio.data,
		};
		if (write(row->sock, &message, sizeof(message)) != sizeof(message) ||
		    read(row->sock, &answer, sizeof(answer)) != sizeof(answer))
			return -EPIPE;
		if (bench.doorbell < 0)
			row->counted++;
	}
}

static void socket_close(struct row *row)
{
	if (row->child > 0) {
		close(row->sock);		/* which ends it */
		waitpid(row->child, NULL, 0);
	}
	vm_row_close(row);
}

const struct row_ops socket_ops = {
	socket_setup, vm_row_prepare, socket_run, take_rings, socket_close,
};
