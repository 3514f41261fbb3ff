/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A region of a VM, and who is at the other end of its socket. All functions
 * return 0 or a count, or -errno.
 */
#ifndef MMIO_SOCKET_PEER_H
#define MMIO_SOCKET_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "uapi.h"
#include "vm.h"

#define PATIENCE	20000		/* ms for what takes a few on an idle host */

struct region {
	enum guest_bus bus;
	uint64_t addr;
	uint64_t size;
	uint64_t tag;
	bool posted;
	int fd;
};

struct kvm_mmio_socket region_args(const struct region *region);
int region_assign(const struct vm *vm, const struct region *region);
int region_deassign(const struct vm *vm, const struct region *region);

/* The next request, -ETIMEDOUT after @ms, -EPIPE when there will be none */
int peer_receive(int sock, struct kvm_mmio_socket_request *request, int ms);

/* Whether a request waits to be received, or will within @ms; it stays there */
bool peer_is_asked(int sock, int ms);

/* Answer with @data, which is that of a read */
int peer_answer(int sock, uint64_t cookie, uint64_t data);

/* The bytes of @request that count, as a number */
uint64_t request_data(const struct kvm_mmio_socket_request *request);

/* Whether the other end is closed, or will be within @ms */
bool peer_sees_the_end(int sock, int ms);

#endif /* MMIO_SOCKET_PEER_H */
