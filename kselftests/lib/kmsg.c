// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"

/* Large enough for any record: PRINTKRB_RECORD_MAX, CONSOLE_EXT_LOG_MAX */
#define RECORD_MAX	8192

int kmsg_start(struct kmsg_watch *watch)
{
	*watch = (struct kmsg_watch){ .fd = -1 };
	watch->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	if (lseek(watch->fd, 0, SEEK_END) < 0)
		return -errno;
	return 0;
}

void kmsg_announce(struct kmsg_watch *watch, const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(watch->announced) / sizeof(watch->announced[0]); i++) {
		if (!watch->announced[i]) {
			watch->announced[i] = text;
			return;
		}
	}
	abort();		/* a case that announces this much checks nothing */
}

/*
 * Lines about the machine's own clocks, devices and lateness, not about what a case
 * did: an emulated or a busy host brings them at any time.
 */
static const char * const noise[] = {
	"hrtimer: interrupt took ",		/* kernel/time/hrtimer.c */
	"clocksource: ",			/* kernel/time/clocksource.c */
	"tsc: Refined TSC clocksource ",	/* arch/x86/kernel/tsc.c, after boot */
	/* The watchdog of kernel/time/clocksource.c found the TSC skewed */
	"tsc: Marking TSC unstable due to ",	/* arch/x86/kernel/tsc.c */
	"TSC found unstable after boot, ",	/* kernel/sched/clock.c */
	"sched_clock: Marking unstable ",	/* kernel/sched/clock.c */
	"perf: interrupt took too long ",	/* kernel/events/core.c */
	"input: ",				/* a device found late, input.c */
	/* net/ipv6/addrconf.c: the network is up a while after a restore */
	"IPv6: ADDRCONF(",
	"random: ",				/* drivers/char/random.c, once seeded */
	/*
	 * arch/x86/kvm/x86.c, set_tsc_khz(): for each new vCPU, if the host's
	 * TSC was calibrated anew since KVM was loaded
	 */
	"kvm: user requested TSC rate below hardware speed",
	"set_tsc_khz: ",
};

static bool was_announced(const struct kmsg_watch *watch, const char *line)
{
	size_t i;

	for (i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
		if (!strncmp(line, noise[i], strlen(noise[i])))
			return true;
	for (i = 0; i < sizeof(watch->announced) / sizeof(watch->announced[0]); i++)
		if (watch->announced[i] && strstr(line, watch->announced[i]))
			return true;
	return false;
}

int kmsg_next(struct kmsg_watch *watch, char *line, size_t size)
{
	char record[RECORD_MAX + 1];
	char *text;
	ssize_t n;

	for (;;) {
		n = read(watch->fd, record, RECORD_MAX);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EPIPE) {
			/* The ring went round: so much output is no silence */
			snprintf(line, size, "(kernel messages lost)");
			return 1;
		}
		if (n < 0)
			return -errno;
		record[n] = '\0';

		/* "<level + 8 * facility>,seq,usec,flags;text"; the kernel's is 0 */
		if (strtoul(record, NULL, 10) >= 8)
			continue;
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		text[strcspn(text, "\n")] = '\0';
		if (was_announced(watch, text))
			continue;
		snprintf(line, size, "%s", text);
		return 1;
	}
}

void kmsg_stop(struct kmsg_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}
