// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eventfd_util.h"
#include "monotonic.h"

int efd_create(int flags)
{
	int fd = eventfd(0, flags | EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int64_t efd_take(int fd)
{
	uint64_t value;
	int64_t sum = 0;

	/* A semaphore gives one unit to each read, so read until it is empty */
	while (read(fd, &value, sizeof(value)) == sizeof(value))
		sum += value;
	return errno == EAGAIN ? sum : -errno;
}

int64_t efd_wait(int fd, int64_t want, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t deadline = monotonic_us() / 1000 + ms;
	int64_t sum = 0, got, left;

	for (;;) {
		got = efd_take(fd);
		if (got < 0)
			return got;
		sum += got;
		left = deadline - monotonic_us() / 1000;
		if (sum >= want || left <= 0)
			return sum;
		if (poll(&pfd, 1, left) < 0 && errno != EINTR)
			return -errno;
	}
}

static int efd_id(int fd)
{
	char path[64], line[128];
	int id = -ENOENT;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info)
		return -errno;
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "eventfd-id: %d", &id) == 1)
			break;
	fclose(info);
	return id;
}

int efd_mark(void)
{
	int fds[EFD_PROBES], mark = -EMFILE, opened;

	for (opened = 0; opened < EFD_PROBES; opened++) {
		fds[opened] = efd_create(0);
		if (fds[opened] < 0)
			break;
	}
	if (opened == EFD_PROBES)
		mark = efd_id(fds[EFD_PROBES - 1]);
	while (opened--)
		close(fds[opened]);
	return mark;
}
