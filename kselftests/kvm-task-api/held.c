// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "held.h"
#include "monotonic.h"

#define PATIENCE	5000000	/* us: a VM takes several grace periods to go */
#define NAP		5000	/* us */
#define SETTLED		6	/* of these with the same count */

static const char * const modules[] = { "kvm_amd", "kvm_intel" };

/* The count in /proc/modules, which has a "-" there if modules cannot be unloaded */
static int count_of(const char *module)
{
	char line[256], name[64];
	int count = -ENOENT, found = 0;
	FILE *file;

	file = fopen("/proc/modules", "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		found = sscanf(line, "%63s %*u %d", name, &count);
		if (found > 0 && !strcmp(name, module))
			break;
		found = 0;
	}
	fclose(file);
	return found == 2 ? count : -ENOENT;
}

const char *kvm_module(void)
{
	static const char *module;
	size_t i;

	for (i = 0; !module && i < sizeof(modules) / sizeof(modules[0]); i++)
		if (count_of(modules[i]) >= 0)
			module = modules[i];
	return module;
}

static int held_now(void)
{
	return kvm_module() ? count_of(kvm_module()) : -ENOENT;
}

/* A process that has ended may have left a VM to be destroyed */
int held_count(void)
{
	int same = 0, before = held_now(), now;

	while (same < SETTLED && before >= 0) {
		usleep(NAP);
		now = held_now();
		same = now == before ? same + 1 : 0;
		before = now;
	}
	return before;
}

int held_becomes(int want)
{
	int64_t until = monotonic_us() + PATIENCE;

	while (held_now() != want) {
		if (monotonic_us() > until)
			return -ETIMEDOUT;
		usleep(NAP);
	}
	return 0;
}
