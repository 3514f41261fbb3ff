/* SPDX-License-Identifier: GPL-2.0-only */
/* The clock that waits and measurements of a case go by. */
#ifndef KSELFTESTS_MONOTONIC_H
#define KSELFTESTS_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in us */
static inline int64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ll + ts.tv_nsec / 1000;
}

#endif /* KSELFTESTS_MONOTONIC_H */
