/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What holds KVM's module: each VM, and each file of one or of its vCPUs. So what is
 * held too long, or not long enough, can be counted.
 */
#ifndef KVM_TASK_API_HELD_H
#define KVM_TASK_API_HELD_H

#include <stddef.h>

/* Which of the modules serves this processor; NULL if none does, or none is a module */
const char *kvm_module(void);

/* How many references to it there are, once they do not change any more, or -errno */
int held_count(void);

/*
 * Wait until there are @want, since files and VMs go when nobody looks any more; then
 * 0, or -ETIMEDOUT.
 */
int held_becomes(int want);

/* For a case that can tell nothing without */
#define SKIP_WITHOUT_MODULE()						\
	do {								\
		if (!kvm_module())					\
			SKIP(return, "KVM is no module, or can't be unloaded"); \
	} while (0)

#endif /* KVM_TASK_API_HELD_H */
