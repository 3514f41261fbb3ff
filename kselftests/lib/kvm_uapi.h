/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the patched <linux/kvm.h> says about iosignalfd, for the case that the
 * headers at hand come from a kernel without it: the suite also builds and runs
 * against an unpatched kernel, where its iosignalfd variants skip.
 */
#ifndef KSELFTESTS_KVM_UAPI_H
#define KSELFTESTS_KVM_UAPI_H

#include <linux/kvm.h>
#ifdef __x86_64__
#include <linux/kvm_para.h>
#endif

#ifndef KVM_IOSIGNALFD

struct kvm_iosignalfd {
	__u64 datamatch;
	__u64 addr;
	__u32 len;
	__s32 fd;
	__u32 flags;
	__u8  pad[36];
};

#define KVM_IOSIGNALFD_FLAG_DATAMATCH	(1 << 0)
#define KVM_IOSIGNALFD_FLAG_PIO		(1 << 1)
#define KVM_IOSIGNALFD_FLAG_DEASSIGN	(1 << 2)

#define KVM_CAP_IOSIGNALFD		1000
#define KVM_IOSIGNALFD			_IOW(KVMIO, 0xe8, struct kvm_iosignalfd)

#endif /* KVM_IOSIGNALFD */

/* What v5 of the series adds; its suite also builds against v4 */
#ifndef KVM_IOSIGNALFD_FLAG_HYPERCALL
#define KVM_IOSIGNALFD_FLAG_HYPERCALL	(1 << 3)
#define KVM_CAP_IOSIGNALFD_HYPERCALL	1001
#endif
#ifndef KVM_HC_DOORBELL
#define KVM_HC_DOORBELL			1000
#endif

/*
 * The two interfaces share one layout and three flags, so that one case can
 * speak to either by its ioctl number alone.
 */
_Static_assert(sizeof(struct kvm_iosignalfd) == 64, "a 64-byte structure");
_Static_assert(sizeof(struct kvm_iosignalfd) == sizeof(struct kvm_ioeventfd),
	       "same size as ioeventfd");
_Static_assert(__builtin_offsetof(struct kvm_iosignalfd, datamatch) == 0 &&
	       __builtin_offsetof(struct kvm_iosignalfd, addr) == 8 &&
	       __builtin_offsetof(struct kvm_iosignalfd, len) == 16 &&
	       __builtin_offsetof(struct kvm_iosignalfd, fd) == 20 &&
	       __builtin_offsetof(struct kvm_iosignalfd, flags) == 24 &&
	       __builtin_offsetof(struct kvm_iosignalfd, pad) == 28,
	       "no hole, for 32-bit and 64-bit callers alike");
_Static_assert(__builtin_offsetof(struct kvm_ioeventfd, pad) ==
	       __builtin_offsetof(struct kvm_iosignalfd, pad), "same layout as ioeventfd");
_Static_assert((int)KVM_IOSIGNALFD_FLAG_DATAMATCH == KVM_IOEVENTFD_FLAG_DATAMATCH &&
	       (int)KVM_IOSIGNALFD_FLAG_PIO == KVM_IOEVENTFD_FLAG_PIO &&
	       (int)KVM_IOSIGNALFD_FLAG_DEASSIGN == KVM_IOEVENTFD_FLAG_DEASSIGN,
	       "same flags as ioeventfd");

#endif /* KSELFTESTS_KVM_UAPI_H */
