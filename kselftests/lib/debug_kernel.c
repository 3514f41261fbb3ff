// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include "debug_kernel.h"

bool debug_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}
