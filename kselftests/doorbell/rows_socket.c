// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows whose access goes over a socket to another process: by KVM_MMIO_SOCKET, or
 * as a posted write that the VMM sends itself.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../mmio-socket/uapi.h"
#include "bench.h"

#define ADDRESS		0xe0000000

static void serve(struct row *row, int sock)
{
	struct kvm_mmio_socket_request request;
	struct kvm_mmio_socket_answer answer = {};
	/* A batch is read when all of it is there, a single one at once */
	int priority = row->posted && !row->batch ? PRIORITY_SERVER : PRIORITY_VCPU;

	if (settle(bench.server_cpu, priority))
		return;
	while (read(sock, &request, sizeof(request)) == sizeof(request)) {
		ioctl(bench.ring_fd, DOORBELL_RING, 0);
		++*row->served;
		if (!(request.flags & KVM_MMIO_SOCKET_REQUEST_ANSWER))
			continue;
		answer.cookie = request.cookie;
		if (write(sock, &answer, sizeof(answer)) != sizeof(answer))
			return;
	}
}

static int peer_setup(struct row *row)
{
	struct kvm_mmio_socket args = {
		.addr = ADDRESS, .size = 4,
		.flags = row->posted ? KVM_MMIO_SOCKET_FLAG_POSTED : 0,
	};
	int socks[2], ret = 0;

	if (row->by_kvm && vm_check_extension(&row->vm, KVM_CAP_MMIO_SOCKET) <= 0)
		return -EOPNOTSUPP;
	row->served = mmap(NULL, sizeof(*row->served), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (row->served == MAP_FAILED)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	row->sock = socks[0];
	args.fd = socks[0];
	if (row->by_kvm)
		ret = sys_ioctl(row->vm.fd, KVM_MMIO_SOCKET, &args);
	if (ret)
		return ret;
	return fork_server(row, socks, serve);
}

static int kvm_socket_setup(struct row *row)
{
	int ret = vm_row_setup(row);

	row->io = (struct guest_io){
		.op = row->reads ? GUEST_READ : GUEST_WRITE, .bus = BUS_MMIO,
		.addr = ADDRESS, .len = 4,
	};
	return ret ? ret : peer_setup(row);
}

/* Until the peer has received all that the guest has posted */
static void wait_for_peer(struct row *row)
{
	while (__atomic_load_n(row->served, __ATOMIC_ACQUIRE) < row->due)
		sched_yield();
}

/* Exit, send, and enter the guest again */
static int run_and_send(struct row *row)
{
	struct kvm_run *run = row->vcpu.run;
	struct kvm_mmio_socket_request request;

	for (;;) {
		if (ioctl(row->vcpu.fd, KVM_RUN, NULL) < 0)
			return -errno;
		if (run->exit_reason != KVM_EXIT_MMIO ||
		    run->mmio.phys_addr != ADDRESS)
			return guest_is_done(run) ? 0 : -EPROTO;
		request = (struct kvm_mmio_socket_request){
			.addr = run->mmio.phys_addr, .len = run->mmio.len,
			.flags = KVM_MMIO_SOCKET_REQUEST_WRITE,
		};
		memcpy(request.data, run->mmio.data, sizeof(request.data));
		if (write(row->sock, &request, sizeof(request)) != sizeof(request))
			return -EPIPE;
	}
}

static int kvm_socket_run(struct row *row)
{
	int ret;

	row->due = row->counted + (row->idle ? 0 : row->rings);
	ret = row->by_kvm ? vm_row_run(row) : run_and_send(row);
	if (!ret && !row->vcpu_alone)
		wait_for_peer(row);
	return ret;
}

static int64_t kvm_socket_take(struct row *row)
{
	uint64_t served;
	int64_t taken;

	if (row->vcpu_alone)
		wait_for_peer(row);
	served = *row->served;
	taken = served - row->counted;
	row->counted = served;
	/* /dev/doorbell has heard of it as well, and is asked for the others' sake */
	if (bench.doorbell >= 0)
		taken = take_rings(row);
	return taken;
}

static void kvm_socket_close(struct row *row)
{
	if (row->sock >= 0)
		close(row->sock);
	vm_row_close(row);	/* the VM lets go of the socket, too ... */
	if (row->child > 0) {
		/* ... but later rows' children have inherited it */
		kill(row->child, SIGKILL);
		waitpid(row->child, NULL, 0);
	}
}

const struct row_ops kvm_socket_ops = {
	kvm_socket_setup, vm_row_prepare, kvm_socket_run, kvm_socket_take,
	kvm_socket_close,
};
