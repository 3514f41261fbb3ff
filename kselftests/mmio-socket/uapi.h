/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the patched <linux/kvm.h> says about KVM_MMIO_SOCKET, for headers of a
 * kernel without the series, or with a part of it: there, all cases skip.
 */
#ifndef MMIO_SOCKET_UAPI_H
#define MMIO_SOCKET_UAPI_H

#include <linux/kvm.h>

#ifndef KVM_MMIO_SOCKET

#define KVM_CAP_MMIO_SOCKET		1002
#define KVM_MMIO_SOCKET			_IOW(KVMIO,  0xe9, struct kvm_mmio_socket)

#define KVM_MMIO_SOCKET_FLAG_PIO	(1 << 0)
#define KVM_MMIO_SOCKET_FLAG_DEASSIGN	(1 << 2)

struct kvm_mmio_socket {
	__u64 addr;
	__u64 size;
	__u64 tag;
	__s32 fd;
	__u32 flags;
	__u8  pad[32];
};

#define KVM_MMIO_SOCKET_REQUEST_WRITE	(1 << 0)
#define KVM_MMIO_SOCKET_REQUEST_PIO	(1 << 1)
#define KVM_MMIO_SOCKET_REQUEST_ANSWER	(1 << 2)

struct kvm_mmio_socket_request {
	__u64 cookie;
	__u64 tag;
	__u64 addr;
	__u8  data[8];
	__u32 len;
	__u32 flags;
};

struct kvm_mmio_socket_answer {
	__u64 cookie;
	__u8  data[8];
};

#endif /* KVM_MMIO_SOCKET */

/* What only later patches of the series add */
#ifndef KVM_MMIO_SOCKET_FLAG_POSTED
#define KVM_MMIO_SOCKET_FLAG_POSTED	(1 << 1)
#endif
#ifndef KVM_RUN_X86_SOCKET_FAILED
#define KVM_RUN_X86_SOCKET_FAILED	(1ul << 3)
#define KVM_RUN_X86_SOCKET_ASKED	(1ul << 4)
#endif

_Static_assert(sizeof(struct kvm_mmio_socket) == 64 &&
	       __builtin_offsetof(struct kvm_mmio_socket, tag) == 16 &&
	       __builtin_offsetof(struct kvm_mmio_socket, fd) == 24 &&
	       __builtin_offsetof(struct kvm_mmio_socket, pad) == 32,
	       "no hole, for 32-bit and 64-bit callers alike");
_Static_assert(sizeof(struct kvm_mmio_socket_request) == 40 &&
	       __builtin_offsetof(struct kvm_mmio_socket_request, data) == 24 &&
	       __builtin_offsetof(struct kvm_mmio_socket_request, flags) == 36,
	       "no hole in a request");
_Static_assert(sizeof(struct kvm_mmio_socket_answer) == 16, "no hole in an answer");

#endif /* MMIO_SOCKET_UAPI_H */
