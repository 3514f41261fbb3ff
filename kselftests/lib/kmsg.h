/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel said while a case ran. Nothing that user space does to KVM
 * may print ("any of the above: not one line in dmesg"), so a line that the case
 * did not announce fails it.
 */
#ifndef KSELFTESTS_KMSG_H
#define KSELFTESTS_KMSG_H

#include <stddef.h>

struct kmsg_watch {
	int fd;
	const char *announced[4];
};

/* Watch from now on; 0 or -errno */
int kmsg_start(struct kmsg_watch *watch);

/* A line that contains @text is no surprise */
void kmsg_announce(struct kmsg_watch *watch, const char *text);

/*
 * The next kernel line that was not announced: 1 and the line, 0 when there is
 * none, or -errno. What user space wrote to /dev/kmsg is not the kernel's.
 */
int kmsg_next(struct kmsg_watch *watch, char *line, size_t size);

void kmsg_stop(struct kmsg_watch *watch);

#endif /* KSELFTESTS_KMSG_H */
