/* SPDX-License-Identifier: GPL-2.0-only */
/* What an eventfd counted, to the unit. All return -errno on failure. */
#ifndef KSELFTESTS_EVENTFD_UTIL_H
#define KSELFTESTS_EVENTFD_UTIL_H

#include <stdint.h>

/* A non-blocking eventfd; @flags as for eventfd(2) */
int efd_create(int flags);

/* Signals since the last call, 0 if none; leaves the counter at zero */
int64_t efd_take(int fd);

/* The same, but waits up to @ms for the sum to reach @want */
int64_t efd_wait(int fd, int64_t want, int ms);

/*
 * The number that the kernel gave this eventfd's context: the lowest free one,
 * given back when the last reference to the context goes (fs/eventfd.c,
 * eventfd_free_ctx()). So a context that somebody forgot to put shows for ever
 * as a number that never comes back.
 */
int efd_id(int fd);

/* The number that a new eventfd would get */
int efd_next_id(void);

#endif /* KSELFTESTS_EVENTFD_UTIL_H */
