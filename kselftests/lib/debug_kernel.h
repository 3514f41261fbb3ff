/* SPDX-License-Identifier: GPL-2.0-only */
/* What a kernel that looks for faults itself changes for a test. */
#ifndef KSELFTESTS_DEBUG_KERNEL_H
#define KSELFTESTS_DEBUG_KERNEL_H

#include <stdbool.h>

/*
 * Has the kernel kmemleak, and with it most likely KASAN? Both allocate for
 * themselves inside others' allocations and do without where they get nothing,
 * and KASAN keeps what was freed in quarantine.
 */
bool debug_kernel(void);

#endif /* KSELFTESTS_DEBUG_KERNEL_H */
