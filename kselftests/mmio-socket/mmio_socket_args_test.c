// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ioctl refuses, on assign and on deassign alike, and that a refusal
 * leaves everything as it was.
 */
#include <fcntl.h>
#include <netinet/in.h>

#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define DATA	0x44332211

static int try(const FIXTURE_DATA(mmio_socket) *self,
	       const struct kvm_mmio_socket *args)
{
	return sys_ioctl(self->vm.fd, KVM_MMIO_SOCKET, args);
}

/* The region answers, so it is there */
static void expect_there(struct __test_metadata *_metadata,
			 FIXTURE_DATA(mmio_socket) *self)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_DONE(&self->run, 0);
}

/* @args are refused with @want, whether a sound region is in place or not */
static void expect_refused(struct __test_metadata *_metadata,
			   FIXTURE_DATA(mmio_socket) *self,
			   struct kvm_mmio_socket args, int want)
{
	struct region region = a_region(self);

	EXPECT_RET(want, try(self, &args));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));

	ASSERT_RET(0, region_assign(&self->vm, &region));
	args.flags |= KVM_MMIO_SOCKET_FLAG_DEASSIGN;
	EXPECT_RET(want, try(self, &args));
	expect_there(_metadata, self);
	ASSERT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_NO_REQUEST(self->peer);
}

static struct kvm_mmio_socket sound_args(const FIXTURE_DATA(mmio_socket) *self)
{
	struct region region = a_region(self);

	return region_args(&region);
}

TEST_F(mmio_socket, capability)
{
	int kvm;

	EXPECT_EQ(1000, vm_check_extension(&self->vm, KVM_CAP_MMIO_SOCKET));
	ASSERT_FD(kvm, kvm_open());
	EXPECT_EQ(1000, sys_ioctl(kvm, KVM_CHECK_EXTENSION,
				  (void *)KVM_CAP_MMIO_SOCKET));
	close(kvm);
}

TEST_F(mmio_socket, sound_arguments)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	expect_there(_metadata, self);
	EXPECT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &region));
	region.posted = true;
	EXPECT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(0, region_deassign(&self->vm, &region));
}

TEST_F(mmio_socket, unreadable_argument)
{
	struct kvm_mmio_socket args = sound_args(self);
	size_t page = getpagesize(), readable = sizeof(args) - 1;
	uint8_t *pages;

	EXPECT_RET(-EFAULT, try(self, NULL));
	pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + page, page, PROT_NONE));
	memcpy(pages + page - readable, &args, readable);
	EXPECT_RET(-EFAULT, try(self, (void *)(pages + page - readable)));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	munmap(pages, 2 * page);
}

TEST_F(mmio_socket, unknown_flags)
{
	struct kvm_mmio_socket args;
	int bit;

	for (bit = 3; bit < 32; bit++) {
		args = sound_args(self);
		args.flags |= 1u << bit;
		EXPECT_RET(-EINVAL, try(self, &args));
		args.flags |= KVM_MMIO_SOCKET_FLAG_DEASSIGN;
		EXPECT_RET(-EINVAL, try(self, &args));
	}
	args = sound_args(self);
	args.flags |= 1u << 3;
	expect_refused(_metadata, self, args, -EINVAL);
}

TEST_F(mmio_socket, nonzero_pad)
{
	struct kvm_mmio_socket args;
	size_t i;

	for (i = 0; i < sizeof(args.pad); i++) {
		args = sound_args(self);
		args.pad[i] = 1 << (i % 8);
		EXPECT_RET(-EINVAL, try(self, &args));
		args.flags |= KVM_MMIO_SOCKET_FLAG_DEASSIGN;
		EXPECT_RET(-EINVAL, try(self, &args));
	}
	args = sound_args(self);
	args.pad[sizeof(args.pad) - 1] = 1;
	expect_refused(_metadata, self, args, -EINVAL);
}

TEST_F(mmio_socket, zero_size)
{
	struct kvm_mmio_socket args = sound_args(self);

	args.size = 0;
	expect_refused(_metadata, self, args, -EINVAL);
}

TEST_F(mmio_socket, wrapping_range)
{
	struct kvm_mmio_socket args = sound_args(self);

	args.size = 0 - args.addr;
	expect_refused(_metadata, self, args, -EINVAL);
	args.size = ~0ull;
	expect_refused(_metadata, self, args, -EINVAL);
	args.addr = ~0ull;
	args.size = 1;
	expect_refused(_metadata, self, args, -EINVAL);
}

TEST_F(mmio_socket, largest_range)
{
	struct region region = a_region(self), port;

	region.addr = 0;
	region.size = self->bus == BUS_PIO ? 0x10000 : ~0ull;
	EXPECT_RET(0, region_assign(&self->vm, &region));
	port = a_region(self);
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &port));
	EXPECT_RET(0, region_deassign(&self->vm, &region));
	EXPECT_RET(0, region_assign(&self->vm, &port));
}

TEST_F(mmio_socket, port_above_64k)
{
	struct kvm_mmio_socket args = sound_args(self);

	if (self->bus != BUS_PIO)
		SKIP(return, "about ports");
	args.addr = 0xffff;
	args.size = 2;
	expect_refused(_metadata, self, args, -EINVAL);
	args.addr = 0x10000;
	args.size = 1;
	expect_refused(_metadata, self, args, -EINVAL);
	args.addr = 0x10000b400;
	expect_refused(_metadata, self, args, -EINVAL);

	args.addr = 0xffff;
	EXPECT_RET(0, try(self, &args));
	args.flags |= KVM_MMIO_SOCKET_FLAG_DEASSIGN;
	EXPECT_RET(0, try(self, &args));
}

TEST_F(mmio_socket, bad_descriptor)
{
	struct kvm_mmio_socket args = sound_args(self);
	int path;

	args.fd = -1;
	expect_refused(_metadata, self, args, -EBADF);
	args.fd = 1000000;
	expect_refused(_metadata, self, args, -EBADF);
	/* Open for nothing: fget() does not see it */
	ASSERT_FD(path, open("/dev/null", O_PATH));
	args.fd = path;
	expect_refused(_metadata, self, args, -EBADF);
	close(path);
}

TEST_F(mmio_socket, descriptor_of_something_else)
{
	struct kvm_mmio_socket args = sound_args(self);
	int null, pipes[2];

	ASSERT_FD(null, open("/dev/null", O_RDWR));
	args.fd = null;
	expect_refused(_metadata, self, args, -ENOTSOCK);
	close(null);
	args.fd = self->vm.fd;
	expect_refused(_metadata, self, args, -ENOTSOCK);

	/* Its two ends share a mutex, which the peer can keep for itself */
	ASSERT_EQ(0, pipe(pipes));
	args.fd = pipes[1];
	expect_refused(_metadata, self, args, -ENOTSOCK);
	args.fd = pipes[0];
	expect_refused(_metadata, self, args, -ENOTSOCK);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(mmio_socket, other_kinds_of_socket)
{
	struct kvm_mmio_socket args = sound_args(self);
	int pair[2], tcp;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	args.fd = pair[0];
	expect_refused(_metadata, self, args, -EINVAL);
	close(pair[0]);
	close(pair[1]);

	/* Not every kernel has these; AF_NETLINK is always there */
	tcp = socket(AF_NETLINK, SOCK_RAW, 0);
	ASSERT_LE(0, tcp);
	args.fd = tcp;
	expect_refused(_metadata, self, args, -EINVAL);
	close(tcp);
}

TEST_F(mmio_socket, socket_without_peer)
{
	struct kvm_mmio_socket args = sound_args(self);
	int sock;

	ASSERT_FD(sock, socket(AF_UNIX, self->type, 0));
	args.fd = sock;
	expect_refused(_metadata, self, args, -ENOTCONN);
	close(sock);
}

TEST_F(mmio_socket, deassign_needs_the_same)
{
	struct region region = a_region(self), other;
	int twin, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, region_assign(&self->vm, &region));

	other = region;
	other.addr++;
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
	other = region;
	other.size--;
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
	other = region;
	other.bus = self->bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	other.addr = 0xb400;
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
	other = region;
	other.fd = pair[0];
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
	other.fd = self->peer;
	EXPECT_RET(-ENOENT, region_deassign(&self->vm, &other));
	expect_there(_metadata, self);

	/* A duplicate is the same, and neither tag nor POSTED tells them apart */
	ASSERT_FD(twin, dup(self->sock));
	other = region;
	other.fd = twin;
	other.tag++;
	other.posted = true;
	EXPECT_RET(0, region_deassign(&self->vm, &other));
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	close(twin);
	close(pair[0]);
	close(pair[1]);
}

TEST_F(mmio_socket, limit)
{
	int limit = vm_check_extension(&self->vm, KVM_CAP_MMIO_SOCKET), i;
	struct region region = a_region(self), first;

	region.addr = 0x1000;
	region.size = 1;
	first = region;
	for (i = 0; i < limit; i++, region.addr++) {
		if (!(i % 100))
			EXPECT_RET(i ? -EEXIST : -ENOENT,
				   i ? region_assign(&self->vm, &first) :
				       region_deassign(&self->vm, &first));
		ASSERT_RET(0, region_assign(&self->vm, &region));
	}
	EXPECT_RET(-ENOSPC, region_assign(&self->vm, &region));
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &first));
	EXPECT_RET(0, region_deassign(&self->vm, &first));
	EXPECT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(-ENOSPC, region_assign(&self->vm, &first));
}

/* Each VM has its own */
TEST_F(mmio_socket, limit_is_the_vms)
{
	int limit = vm_check_extension(&self->vm, KVM_CAP_MMIO_SOCKET), i;
	struct region region = a_region(self);
	struct vm other;

	ASSERT_RET(0, vm_init(&other));
	region.addr = 0x1000;
	region.size = 1;
	for (i = 0; i < limit; i++, region.addr++)
		ASSERT_RET(0, region_assign(&other, &region));
	EXPECT_RET(-ENOSPC, region_assign(&other, &region));
	EXPECT_RET(0, region_assign(&self->vm, &region));
	vm_destroy(&other);
}

TEST_HARNESS_MAIN
