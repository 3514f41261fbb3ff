// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit caller: the structure has one layout for both, so the kernel needs no
 * translation; and nobody may come to need one.
 */
#include <fcntl.h>
#include <libgen.h>

#include "doorbell_fixture.h"

#ifdef __x86_64__

DOORBELL_VARIANT(iosignalfd, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, BUS_MMIO);

#define DATA		0x44332211
#define HELPER		"iosignalfd_compat"
#define NR_IOCTL_32	54	/* arch/x86/entry/syscalls/syscall_32.tbl */

/* Returns what the 32-bit helper exited with, -ENOEXEC if it cannot be run */
static int run_helper(const FIXTURE_DATA(doorbell) *self)
{
	char self_path[256] = "", path[512], request[16], fd[16];
	int status;
	pid_t pid;

	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/" HELPER, dirname(self_path));
	snprintf(request, sizeof(request), "%lu", self->api->request);
	snprintf(fd, sizeof(fd), "%d", self->fd);

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		fcntl(self->fd, F_SETFD, 0);
		execl(path, HELPER, request, fd, self->api->strict ? "1" : "0",
		      NULL);
		_exit(errno == ENOEXEC ? 254 : 255);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	switch (WEXITSTATUS(status)) {
	case 254:
		return -ENOEXEC;
	case 255:
		return -ENOENT;
	}
	return WEXITSTATUS(status);
}

/* int 0x80 enters the kernel as a 32-bit caller would, from this process too */
static int ioctl_32(int fd, uint32_t request, uint32_t arg)
{
	int ret;

	asm volatile("int $0x80" : "=a" (ret)
		     : "a" (NR_IOCTL_32), "b" (fd), "c" (request), "d" (arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

TEST_F(doorbell, compat_ioctl)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct kvm_iosignalfd *args;

	args = mmap(NULL, sizeof(*args), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, args);
	*args = doorbell_args(&bell);

	EXPECT_RET(0, ioctl_32(self->vm.fd, self->api->request, (uintptr_t)args));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_RET(-EEXIST, assign(self, bell));
	EXPECT_RET(-EFAULT, ioctl_32(self->vm.fd, self->api->request, 0));

	args->flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
	EXPECT_RET(0, ioctl_32(self->vm.fd, self->api->request, (uintptr_t)args));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
}

TEST_F(doorbell, program_of_32_bits)
{
	int ret = run_helper(self);

	if (ret == -ENOEXEC)
		SKIP(return, "kernel lacks CONFIG_IA32_EMULATION");
	EXPECT_EQ(0, ret)
		TH_LOG("the 32-bit helper failed at its step %d", ret);
	EXPECT_SIGNALS(1, self->fd);
}

#else

TEST(x86_alone)
{
	SKIP(return, "32-bit callers are built for x86 alone");
}

#endif /* __x86_64__ */

TEST_HARNESS_MAIN
