/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One view of the two interfaces that tie a guest's write to an eventfd: the
 * carried KVM_IOSIGNALFD, and mainline's KVM_IOEVENTFD. They share a layout, so
 * a case is written once; where their contracts differ, the case asks the api.
 */
#ifndef KSELFTESTS_DOORBELL_H
#define KSELFTESTS_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

struct doorbell_api {
	const char *name;
	const char *cap_name;
	long cap;
	unsigned long request;
	uint32_t known_flags;
	/*
	 * ioeventfd looks at neither pad nor high datamatch bits nor a port's
	 * range, and on deassign at no argument at all: what cannot be there is
	 * just not found (virt/kvm/eventfd.c, kvm_deassign_ioeventfd()).
	 */
	bool strict;
	/* ioeventfd: length 0 answers to every width at its address */
	bool len0_is_any_width;
	/* iosignalfd: KVM_CHECK_EXTENSION returns how many a VM may have */
	bool limited;
};

extern const struct doorbell_api iosignalfd_api;
extern const struct doorbell_api ioeventfd_api;

/* One registration */
struct doorbell {
	enum guest_bus bus;
	uint64_t addr;
	uint32_t len;
	bool match;			/* only @datamatch, not any data */
	uint64_t datamatch;
	int fd;
};

/* The ioctl's argument for @bell, for a case that then spoils it */
struct kvm_iosignalfd doorbell_args(const struct doorbell *bell);

/* All return 0 or -errno */
int doorbell_ioctl(const struct doorbell_api *api, int vm_fd,
		   const struct kvm_iosignalfd *args);
int doorbell_assign(const struct doorbell_api *api, int vm_fd,
		    const struct doorbell *bell);
int doorbell_deassign(const struct doorbell_api *api, int vm_fd,
		      const struct doorbell *bell);

#endif /* KSELFTESTS_DOORBELL_H */
