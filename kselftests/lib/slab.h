/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's allocations take, to see one that is never given back. */
#ifndef KSELFTESTS_SLAB_H
#define KSELFTESTS_SLAB_H

/*
 * In KiB: what the kernel has allocated and could not give back, or -1. Waits
 * for what a grace period of RCU frees.
 */
long slab_unreclaimable(void);

#endif /* KSELFTESTS_SLAB_H */
