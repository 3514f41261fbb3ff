/* SPDX-License-Identifier: GPL-2.0-only */
/* Results and accesses in words, for the checking twins in expect.h. */
#ifndef KSELFTESTS_DESCRIBE_H
#define KSELFTESTS_DESCRIBE_H

#include <stdbool.h>

#include "vm.h"

/* "EEXIST" for -EEXIST, "0" for 0, "a count" for what is above */
const char *result_name(int result);

/* Each overwrites what it said before */
const char *io_name(const struct guest_io *io);
const char *exit_name(const struct guest_exit *exit);

/* Did this access of the guest leave the kernel with nothing changed? */
bool exit_matches(const struct guest_exit *exit, const struct guest_io *io);

#endif /* KSELFTESTS_DESCRIBE_H */
