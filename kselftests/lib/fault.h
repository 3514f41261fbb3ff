/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Let the n-th memory allocation of this thread fail; see
 * Documentation/fault-injection/fault-injection.rst, /proc/<pid>/fail-nth.
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

/* For a case that can do nothing without them */
#define SKIP_WITHOUT_FAULTS()						\
	do {								\
		if (fault_init())					\
			SKIP(return, "kernel lacks CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC or a mounted debugfs"); \
	} while (0)

#endif /* KSELFTESTS_FAULT_H */
