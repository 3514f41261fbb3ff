// SPDX-License-Identifier: GPL-2.0-only
/* Who may assign a region, and what it is to have the peer in another process. */
#include <signal.h>

#include "child.h"
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define DATA	0x44332211
#define NOBODY	65534

TEST_F(mmio_socket, child_gets_eio)
{
	struct region region = a_region(self), other = region, bad = region;
	pid_t pid;

	other.addr += SIZE;
	bad.size = 0;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(region_assign(&self->vm, &other) != -EIO ||
		      region_assign(&self->vm, &bad) != -EIO ||
		      region_deassign(&self->vm, &region) != -EIO);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, region_deassign(&self->vm, &region));
}

/* A device in a process of its own, that adds up what is written to it */
static int serve(int sock)
{
	struct kvm_mmio_socket_request request;
	uint64_t sum = 0;
	int ret;

	while (!(ret = peer_receive(sock, &request, PATIENCE))) {
		if (request.flags & KVM_MMIO_SOCKET_REQUEST_WRITE)
			sum += request_data(&request);
		if (request.flags & KVM_MMIO_SOCKET_REQUEST_ANSWER &&
		    peer_answer(sock, request.cookie, sum))
			return 2;
	}
	return ret == -EPIPE ? 0 : 1;
}

TEST_F(mmio_socket, peer_in_another_process)
{
	struct guest_io io = write_at(self, 0, 4, 1), read = read_at(self, 0, 4);
	struct region region = a_region(self);
	pid_t pid;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* Nothing of the VM, its mappings included, but the peer's end */
		close(self->sock);
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		_exit(serve(self->peer));
	}
	close(self->peer);
	self->peer = -1;
	io.times = 20;
	io.step = 1;
	EXPECT_NO_EXIT(&self->vcpu, io);
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &read));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(20 * 21 / 2, self->run.rax);

	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->sock);
	self->sock = -1;
	EXPECT_EQ(0, wait_child(pid));
}

/* A VM of the child's own, whose vCPU waits when the child is killed */
TEST_F(mmio_socket, sigkill_while_waiting)
{
	struct kvm_mmio_socket_request request;
	struct guest_io io = read_at(self, 0, 4);
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct region region = a_region(self);
		struct vcpu vcpu;
		struct vm vm;

		close(self->peer);
		if (vm_init(&vm) || vcpu_init(&vcpu, &vm, 0) ||
		    region_assign(&vm, &region))
			_exit(1);
		guest_do(&vcpu, &io, NULL, 0);
		_exit(2);
	}
	close(self->sock);
	self->sock = -1;
	EXPECT_REQUEST(self->peer, &request, io);
	usleep(20000);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, wait_child(pid));
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* Like all of KVM it takes no privilege but that of the descriptor */
TEST_F(mmio_socket, unprivileged_user)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;

	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 5));
	EXPECT_DONE(&self->run, 0);
	EXPECT_RET(0, region_deassign(&self->vm, &region));
}

TEST_HARNESS_MAIN
