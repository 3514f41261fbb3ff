// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may register, and what happens to a doorbell when processes come, go and
 * hand descriptors to each other.
 */
#include <signal.h>
#include <sys/socket.h>

#include "child.h"
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA		0x44332211
#define PATIENCE	5000	/* ms */
#define NOBODY		65534

/* kvm_vm_ioctl() lets in the process that made the VM and nobody else */
static bool gets_eio(const FIXTURE_DATA(doorbell) *self, int vm_fd)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct doorbell other = any_data(self, 8, 4, self->fd);
	struct doorbell bad = any_data(self, 0, 3, -1);

	return doorbell_assign(self->api, vm_fd, &other) == -EIO &&
	       doorbell_assign(self->api, vm_fd, &bad) == -EIO &&
	       doorbell_deassign(self->api, vm_fd, &bell) == -EIO;
}

TEST_F(doorbell, child_gets_eio)
{
	pid_t pid;

	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!gets_eio(self, self->vm.fd));
	EXPECT_EQ(0, wait_child(pid));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EXIT(&self->vcpu, write_at(self, 8, 4, DATA));
}

TEST_F(doorbell, vm_by_scm_rights_gets_eio)
{
	int sockets[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->vm.fd);
		_exit(!gets_eio(self, receive_fd(sockets[1])));
	}
	EXPECT_RET(0, send_fd(sockets[0], "", 1, self->vm.fd, 0));
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	close(sockets[0]);
	close(sockets[1]);
}

/* The consumer of a doorbell is usually another process: vhost, SPDK */
TEST_F(doorbell, child_hears_the_doorbell)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	pid_t pid;

	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(efd_wait(self->fd, 10, PATIENCE));
	io.times = 10;
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_EQ(10, wait_child(pid));
	EXPECT_SIGNALS(0, self->fd);
}

TEST_F(doorbell, eventfd_by_scm_rights)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	int sockets[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = efd_create(0);
		if (fd < 0 || send_fd(sockets[1], "", 1, fd, 0))
			_exit(255);
		_exit(efd_wait(fd, 7, PATIENCE));
	}
	ASSERT_FD(fd, receive_fd(sockets[0]));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	io.times = 7;
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_EQ(7, wait_child(pid));

	/* The process that made it is gone; the eventfd is not */
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(7, fd);
	EXPECT_RET(0, deassign(self, any_data(self, 0, 4, fd)));
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
}

/* A VM of the child's own, that rings the parent's eventfd until it is killed */
static int ring_for_ever(FIXTURE_DATA(doorbell) *self)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct vcpu vcpu;
	struct vm vm;
	int unheard = efd_create(0), ret;

	ret = vm_init(&vm);
	if (!ret)
		ret = vcpu_init(&vcpu, &vm, 0);
	if (!ret)
		ret = doorbell_assign(self->api, vm.fd, &bell);
	bell.addr += 8;
	bell.fd = unheard;
	if (!ret)
		ret = doorbell_assign(self->api, vm.fd, &bell);
	if (!ret) {
		io.times = UINT64_MAX;
		guest_do(&vcpu, &io, NULL, 0);
	}
	return 1;
}

TEST_F(doorbell, sigkill_in_mid_run)
{
	int before = efd_mark();
	pid_t pid = fork_child();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(ring_for_ever(self));
	EXPECT_LE(100, efd_wait(self->fd, 100, PATIENCE));
	EXPECT_LT(before, efd_mark());
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, wait_child(pid));

	/* The VM is gone: nobody rings, and nothing of it is left */
	EXPECT_LE(0, efd_take(self->fd));
	usleep(10000);
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ(before, efd_mark());
}

/* Like all of KVM it takes no privilege but that of the descriptor */
TEST_F(doorbell, unprivileged_user)
{
	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	ASSERT_RET(0, deassign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
}

TEST_HARNESS_MAIN
