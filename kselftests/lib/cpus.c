// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sched.h>

#include "cpus.h"

static cpu_set_t every;

void stay_on_one_cpu(void)
{
	cpu_set_t one;
	int cpu = 0;

	/* Without a mask, or without the right to narrow it, everything still works */
	if (sched_getaffinity(0, sizeof(every), &every))
		return;
	while (!CPU_ISSET(cpu, &every))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int use_every_cpu(void)
{
	if (!CPU_COUNT(&every))
		return 0;
	return sched_setaffinity(0, sizeof(every), &every) ? -errno : 0;
}

static int schedule_as(int policy, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(0, policy, &param) ? -errno : 0;
}

int hold_cpu(void)
{
	return schedule_as(SCHED_FIFO, 1);
}

int release_cpu(void)
{
	return schedule_as(SCHED_OTHER, 0);
}
