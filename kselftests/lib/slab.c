// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <unistd.h>

#include "slab.h"

/* A grace period of RCU, after which closed files have gone, and some more */
#define SETTLED		50000	/* us */

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
