// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"

struct kvm_mmio_socket region_args(const struct region *region)
{
	return (struct kvm_mmio_socket){
		.addr = region->addr,
		.size = region->size,
		.tag = region->tag,
		.fd = region->fd,
		.flags = (region->bus == BUS_PIO ? KVM_MMIO_SOCKET_FLAG_PIO : 0) |
			 (region->posted ? KVM_MMIO_SOCKET_FLAG_POSTED : 0),
	};
}

int region_assign(const struct vm *vm, const struct region *region)
{
	struct kvm_mmio_socket args = region_args(region);

	return sys_ioctl(vm->fd, KVM_MMIO_SOCKET, &args);
}

int region_deassign(const struct vm *vm, const struct region *region)
{
	struct kvm_mmio_socket args = region_args(region);

	args.flags |= KVM_MMIO_SOCKET_FLAG_DEASSIGN;
	return sys_ioctl(vm->fd, KVM_MMIO_SOCKET, &args);
}

int peer_receive(int sock, struct kvm_mmio_socket_request *request, int ms)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	ssize_t n;
	int ret;

	do {
		ret = poll(&pfd, 1, ms);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	if (!ret)
		return -ETIMEDOUT;
	n = recv(sock, request, sizeof(*request), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (!n)
		return -EPIPE;
	return n == sizeof(*request) ? 0 : -EBADMSG;
}

bool peer_is_asked(int sock, int ms)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 && pfd.revents == POLLIN;
}

int peer_answer(int sock, uint64_t cookie, uint64_t data)
{
	struct kvm_mmio_socket_answer answer = { .cookie = cookie };
	ssize_t n;

	memcpy(answer.data, &data, sizeof(data));
	n = send(sock, &answer, sizeof(answer), MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return n == sizeof(answer) ? 0 : -EMSGSIZE;
}

uint64_t request_data(const struct kvm_mmio_socket_request *request)
{
	uint64_t data = 0;

	if (request->len <= sizeof(data))
		memcpy(&data, request->data, request->len);
	return data;
}

bool peer_sees_the_end(int sock, int ms)
{
	/* POLLHUP comes once both directions are shut down, and needs no asking */
	struct pollfd pfd = { .fd = sock };

	/* What was sent before it does not hide it */
	do {
		if (poll(&pfd, 1, ms < 10 ? ms : 10) == 1 && pfd.revents & POLLHUP)
			return true;
		ms -= 10;
	} while (ms > 0);
	return false;
}
