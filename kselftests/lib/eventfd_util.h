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
 * A mark that rises by one for each eventfd context alive, closed or not, and
 * falls when the last reference to one goes. Contexts are numbered, lowest free
 * number first (fs/eventfd.c, do_eventfd()); this is the highest number among
 * EFD_PROBES new ones, so it sees up to that many gaps. One that somebody forgot
 * to put shows for ever.
 */
#define EFD_PROBES	64
int efd_mark(void);

#endif /* KSELFTESTS_EVENTFD_UTIL_H */
