/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Let memory allocations of this thread fail: the n-th of them alone, or all from
 * some point on. See Documentation/fault-injection/fault-injection.rst,
 * /proc/<pid>/fail-nth and the files of failslab.
 */
#ifndef KSELFTESTS_FAULT_H
#define KSELFTESTS_FAULT_H

#include <stdbool.h>

/*
 * Have allocations that may sleep fail too, and none of it in the log. 0, or
 * -errno when the kernel has no fault injection or debugfs is not mounted.
 */
int fault_init(void);

/* From here on, the @nth allocation fails */
int fault_arm(int nth);

/* How many allocations there would still have to be, or -errno */
int fault_left(void);

/* No more: 1 if an allocation has failed, 0 if there were fewer than that */
int fault_disarm(void);

/*
 * From here on, slab memory runs out once @bytes of it have been taken. That also
 * fails an allocation that the kernel tries again where its first attempt may not
 * sleep, as mas_nomem() of lib/maple_tree.c does. 0 or -errno.
 */
int fault_exhaust(unsigned int bytes);

/* No more: how many allocations have failed since, or -errno */
int fault_replenish(void);

/* For a case that can do nothing without them */
#define SKIP_WITHOUT_FAULTS()						\
	do {								\
		if (fault_init())					\
			SKIP(return, "kernel lacks CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC or a mounted debugfs"); \
	} while (0)

#endif /* KSELFTESTS_FAULT_H */
