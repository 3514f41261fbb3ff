/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's allocations take, to see one that is never given back. */
#ifndef KSELFTESTS_SLAB_H
#define KSELFTESTS_SLAB_H

/*
 * A leak takes memory in every round. What caches take to warm up, or what others
 * on the machine take meanwhile, is not there in each.
 */
#define SLAB_ROUNDS	5

/*
 * In KiB: what the kernel has allocated and could not give back, or -1. Waits
 * for what a grace period of RCU frees.
 */
long slab_unreclaimable(void);

/*
 * How many KiB that is more than @before_kib, if it stays @kib or more for a second
 * of waiting for what goes late; else 0. On a debug kernel 0: kmemleak looks by
 * itself there.
 */
long slab_grown(long before_kib, long kib);

#endif /* KSELFTESTS_SLAB_H */
