// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int fault_init(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
		{ FAIL_NTH, "0" },
	};
	size_t i;
	int ret;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		ret = write_file(settings[i].path, settings[i].value);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The file stays open from arming to disarming, for to open it allocates, and
 * that must be no part of the count.
 */
static int fail_nth = -1;

int fault_arm(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return -errno;
	return write(fail_nth, text, len) == len ? 0 : -errno;
}

int fault_left(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) < 0)
		return -errno;
	return atoi(text);
}

int fault_disarm(void)
{
	int ret = fault_left();

	if (ret >= 0 && pwrite(fail_nth, "0", 1, 0) < 0)
		ret = -errno;
	close(fail_nth);
	/* A count that came to its end is one that fired */
	return ret < 0 ? ret : ret == 0;
}
