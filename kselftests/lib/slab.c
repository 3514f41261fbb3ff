// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <unistd.h>

#include "debug_kernel.h"
#include "slab.h"

/* A grace period of RCU, after which closed files have gone, and some more */
#define SETTLED		50000	/* us */
#define PATIENCE	20	/* of these: what a work queue frees goes later */

long slab_unreclaimable(void)
{
	char line[128];
	long kib = -1;
	FILE *meminfo;

	usleep(SETTLED);
	meminfo = fopen("/proc/meminfo", "re");
	if (!meminfo)
		return -1;
	while (fgets(line, sizeof(line), meminfo))
		if (sscanf(line, "SUnreclaim: %ld kB", &kib) == 1)
			break;
	fclose(meminfo);
	return kib;
}

long slab_grown(long before_kib, long kib)
{
	long more;
	int i;

	if (debug_kernel())
		return 0;
	for (i = 0; i < PATIENCE; i++) {
		more = slab_unreclaimable() - before_kib;
		if (more < kib)
			return 0;
	}
	return more;
}
