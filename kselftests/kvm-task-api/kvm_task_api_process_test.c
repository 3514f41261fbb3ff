// SPDX-License-Identifier: GPL-2.0-only
/* fork, vfork, exec, exit, and descriptors that come from another process. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "child.h"
#include "fixture.h"

#define NOBODY		65534
#define AFTER_EXEC	"KVM_TASK_API_AFTER_EXEC"
#define STACK		65536

/* A VM of the calling process, in the place of its parent's, with both bound */
static int own_vm(FIXTURE_DATA(kvm_task_api) *self)
{
	int ret;

	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	ret = vm_init(&self->vm);
	if (!ret)
		ret = vcpu_init(&self->vcpu, &self->vm, 0);
	if (!ret)
		ret = bind_fd(self->vm.fd);
	if (!ret)
		ret = bind_fd(self->vcpu.fd);
	return ret ? ret : bound_works(&self->vcpu);
}

static bool has_nothing(void)
{
	return kvm_vcpu_run(0) == -ENXIO && bound_check_extension(CAP) == -ENXIO;
}

static bool gets_eio(int fd)
{
	return bind_fd(fd) == -EIO && unbind_fd(fd) == -EIO &&
	       sys_ioctl(fd, KVM_BIND, (void *)1ul) == -EIO;
}

TEST_F(kvm_task_api, child_has_nothing)
{
	pid_t pid;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!has_nothing());
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));

	/* It can have a VM of its own, while its parent has one */
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(own_vm(self) ? 1 : bound_check_extension(CAP) != self->memslots);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, child_cannot_bind)
{
	int bound;
	pid_t pid;

	for (bound = 0; bound < 2; bound++) {
		if (bound) {
			ASSERT_RET(0, bind_fd(self->vcpu.fd));
			ASSERT_RET(0, bind_fd(self->vm.fd));
		}
		pid = fork_child();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(!gets_eio(self->vcpu.fd) || !gets_eio(self->vm.fd) ||
			      !has_nothing());
		EXPECT_EQ(0, wait_child(pid));
	}
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

/* A process that was there before the VM gets its descriptors */
TEST_F(kvm_task_api, scm_rights)
{
	int socks[2], vcpu, vm;
	struct vcpu other;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		vcpu = receive_fd(socks[1]);
		vm = receive_fd(socks[1]);
		_exit(!gets_eio(vcpu) || !gets_eio(vm) || !has_nothing());
	}
	ASSERT_RET(0, vcpu_init(&other, &self->vm, 1));
	EXPECT_RET(0, send_fd(socks[0], "", 1, other.fd, 0));
	EXPECT_RET(0, send_fd(socks[0], "", 1, self->vm.fd, 0));
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, bind_fd(other.fd));
	EXPECT_RET(0, bound_works(&other));
	vcpu_destroy(&other);
	close(socks[0]);
	close(socks[1]);
}

/* ... also where the owner has bound them, and when it has gone */
TEST_F(kvm_task_api, scm_rights_from_the_owner)
{
	int socks[2], vcpu, vm;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(socks[0]);
		if (own_vm(self) || send_fd(socks[1], "", 1, self->vcpu.fd, 0) ||
		    send_fd(socks[1], "", 1, self->vm.fd, 0))
			_exit(1);
		_exit(read(socks[1], &byte, 1) != 1 || bound_works(&self->vcpu));
	}
	close(socks[1]);
	ASSERT_FD(vcpu, receive_fd(socks[0]));
	ASSERT_FD(vm, receive_fd(socks[0]));
	EXPECT_TRUE(gets_eio(vcpu));
	EXPECT_TRUE(gets_eio(vm));
	EXPECT_TRUE(has_nothing());
	ASSERT_EQ(1, write(socks[0], "", 1));
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_TRUE(gets_eio(vcpu));
	EXPECT_TRUE(gets_eio(vm));
	close(vcpu);
	close(vm);
	close(socks[0]);
}

static int share_memory(void *arg)
{
	FIXTURE_DATA(kvm_task_api) *self = arg;

	return bound_check_extension(CAP) != self->memslots ||
	       kvm_vcpu_run(0) != -ENXIO || bind_fd(self->vcpu.fd) != -EBUSY ||
	       bind_fd(self->vm.fd) != -EEXIST;
}

TEST_F(kvm_task_api, vfork_child)
{
	static char stack[STACK] __attribute__((aligned(16)));
	int pid;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	pid = clone(share_memory, stack + STACK,
		    CLONE_VM | CLONE_VFORK | SIGCHLD, self);
	ASSERT_LE(0, pid);
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

/* What the new program does: see whether it has anything, and wait if it is told to */
static void __attribute__((constructor)) after_exec(void)
{
	const char *fds = getenv(AFTER_EXEC);
	int vcpu, vm, pipe;
	char byte;

	if (!fds)
		return;
	if (sscanf(fds, "%d %d %d", &vcpu, &vm, &pipe) != 3)
		_exit(20);
	if (!has_nothing())
		_exit(21);
	if (vcpu >= 0 && !gets_eio(vcpu))
		_exit(22);
	if (vm >= 0 && !gets_eio(vm))
		_exit(23);
	/* Once to say that it has begun, and then until nobody writes any more */
	if (pipe >= 0 && (write(pipe, "", 1) != 1 || read(pipe, &byte, 1) != 0))
		_exit(24);
	_exit(0);
}

/* Become the program that this is, with these descriptors left open, or -1 */
static void exec_self(int vcpu, int vm, int pipe)
{
	const int fds[] = { vcpu, vm, pipe };
	char text[64];
	size_t i;

	for (i = 0; i < 3; i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFD, 0);
	snprintf(text, sizeof(text), "%d %d %d", vcpu, vm, pipe);
	setenv(AFTER_EXEC, text, 1);
	execl("/proc/self/exe", "after_exec", NULL);
	_exit(30);
}

TEST_F(kvm_task_api, exec_unbinds)
{
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (own_vm(self))
			_exit(1);
		exec_self(self->vcpu.fd, self->vm.fd, -1);
	}
	EXPECT_EQ(0, wait_child(pid));
}

static int exec_from_worker(void *arg)
{
	FIXTURE_DATA(kvm_task_api) *self = arg;

	if (bind_fd(self->vcpu.fd) || bound_works(&self->vcpu))
		_exit(2);
	exec_self(self->vcpu.fd, self->vm.fd, -1);
	return 0;
}

/* The thread that has the vCPU; and then one that has none, while another has it */
TEST_F(kvm_task_api, exec_from_another_thread)
{
	struct worker worker;
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (own_vm(self) || unbind_fd(self->vcpu.fd) ||
		    worker_start(&worker))
			_exit(1);
		worker_do(&worker, exec_from_worker, self);
		_exit(3);
	}
	EXPECT_EQ(0, wait_child(pid));

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (own_vm(self) || unbind_fd(self->vcpu.fd) ||
		    worker_start(&worker) ||
		    worker_do(&worker, worker_bind, &self->vcpu.fd))
			_exit(1);
		exec_self(self->vcpu.fd, self->vm.fd, -1);
	}
	EXPECT_EQ(0, wait_child(pid));
}

/* Which waits until the child writes a byte, or has gone */
static int first_byte(int sock)
{
	char byte;

	return read(sock, &byte, 1) == 1 ? 0 : -EPIPE;
}

TEST_F(kvm_task_api, exec_lets_go)
{
	int held, socks[2];
	pid_t pid;

	SKIP_WITHOUT_MODULE();
	/* Nothing but what the child has, so that it is the last one to have it */
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	held = held_count();
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(socks[0]);
		if (own_vm(self))
			_exit(1);
		exec_self(-1, -1, socks[1]);
	}
	close(socks[1]);
	EXPECT_RET(0, first_byte(socks[0]));
	EXPECT_RET(0, held_becomes(held));
	close(socks[0]);
	EXPECT_EQ(0, wait_child(pid));
}

TEST_F(kvm_task_api, failed_exec)
{
	char *args[] = { "nothing", NULL };
	int garbage;

	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_EQ(-1, execl("/nowhere", "nowhere", NULL));
	EXPECT_EQ(ENOENT, errno);
	/* Something that is there, and is no program */
	EXPECT_EQ(-1, execl("/proc/self/maps", "maps", NULL));
	EXPECT_EQ(EACCES, errno);
	/* ... and what looks like one, until the kernel reads it */
	ASSERT_FD(garbage, memfd_create("garbage", MFD_CLOEXEC));
	ASSERT_EQ(4, write(garbage, "none", 4));
	EXPECT_EQ(-1, syscall(SYS_execveat, garbage, "", args, environ, AT_EMPTY_PATH));
	EXPECT_EQ(ENOEXEC, errno);
	close(garbage);
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
}

TEST_F(kvm_task_api, exit_lets_go)
{
	int held;
	pid_t pid;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (own_vm(self))
			_exit(1);
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		_exit(bound_check_extension(CAP) != self->memslots);
	}
	EXPECT_EQ(0, wait_child(pid));
	EXPECT_RET(0, held_becomes(held));
}

TEST_F(kvm_task_api, sigkill_in_the_guest)
{
	const struct guest_io io = {
		.op = GUEST_WRITE_AND_WAIT, .bus = BUS_PIO, .addr = 0xb400, .len = 4,
		.data = 1,
	};
	int held, socks[2];
	pid_t pid;

	SKIP_WITHOUT_MODULE();
	held = held_count();
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (own_vm(self) || vcpu_start(&self->vcpu, &io) || kvm_vcpu_run(0) ||
		    write(socks[1], "", 1) != 1)
			_exit(1);
		kvm_vcpu_run(0);
		_exit(2);
	}
	EXPECT_RET(0, first_byte(socks[0]));
	usleep(20000);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, wait_child(pid));
	EXPECT_RET(0, held_becomes(held));
	close(socks[0]);
	close(socks[1]);
}

/* Like all of KVM it takes no privilege but that of the descriptor */
TEST_F(kvm_task_api, unprivileged_user)
{
	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	ASSERT_RET(0, bind_fd(self->vcpu.fd));
	ASSERT_RET(0, bind_fd(self->vm.fd));
	EXPECT_RET(0, bound_works(&self->vcpu));
	EXPECT_RET(self->memslots, bound_check_extension(CAP));
	EXPECT_RET(0, unbind_fd(self->vcpu.fd));
	EXPECT_RET(0, unbind_fd(self->vm.fd));
}

TEST_HARNESS_MAIN
