// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define MAKE_IT_FAIL	"/proc/thread-self/make-it-fail"
#define FAILSLAB	"/sys/kernel/debug/failslab/"

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
		{ FAILSLAB "ignore-gfp-wait", "N" },
		{ FAILSLAB "verbose", "0" },
		{ FAILSLAB "task-filter", "Y" },
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

/* More than a test lets fail, since the count of those left is what it reads */
#define FAILURES_MAX	1000000

/* Open meanwhile, for the same reason as fail_nth */
static int make_it_fail = -1;

int fault_exhaust(unsigned int bytes)
{
	char space[16], times[16];
	int ret;

	snprintf(space, sizeof(space), "%u", bytes);
	snprintf(times, sizeof(times), "%d", FAILURES_MAX);
	ret = write_file(FAILSLAB "space", space);
	if (!ret)
		ret = write_file(FAILSLAB "times", times);
	if (!ret)
		ret = write_file(FAILSLAB "probability", "100");
	if (ret)
		return ret;
	make_it_fail = open(MAKE_IT_FAIL, O_WRONLY | O_CLOEXEC);
	if (make_it_fail < 0)
		return -errno;
	return write(make_it_fail, "1", 1) == 1 ? 0 : -errno;
}

int fault_replenish(void)
{
	char times[16] = "";
	int fd, ret = 0;

	if (pwrite(make_it_fail, "0", 1, 0) < 0)
		return -errno;
	close(make_it_fail);
	fd = open(FAILSLAB "times", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (read(fd, times, sizeof(times) - 1) < 0)
		ret = -errno;
	close(fd);
	if (!ret)
		ret = write_file(FAILSLAB "probability", "0");
	return ret ? ret : FAILURES_MAX - atoi(times);
}
