// SPDX-License-Identifier: GPL-2.0-only
/*
 * doorbell_bench: time every row in turn, in rounds, and print each sample.
 *
 *   doorbell_bench [-l] [-w] [-r ROUNDS] [GLOB...]
 *
 * -w is for real time; without it, the processor's counter is taken to count
 * instructions. -l lists the rows.
 *
 * What it prints, one a line:
 *   clock NAME UNITS-PER-TICK    insn 0.5, or ns 0.4
 *   skip ROW why
 *   fail ROW why
 *   sample ROW RINGS TICKS IDLE-TICKS
 *   done
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "eventfd_util.h"

#define LIMIT		1000		/* registrations, where KVM has none */
#define MAX_RINGS	128		/* what a coalesced ring holds */
#define MIN_RINGS	8
#define BATCH_TICKS	400000		/* that a batch shall last */
#define WARM_UP		2		/* batches */
#define PATIENCE	5		/* seconds for a batch, of any clock */

struct bench bench = { .doorbell = -1, .vcpu_cpu = -1, .server_cpu = -1 };

int settle(int cpu, int priority)
{
	struct sched_param param = { .sched_priority = priority };
	cpu_set_t set;

	CPU_ZERO(&set);
	if (cpu >= 0) {
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return -errno;
	}
	/* One processor has to be handed over at once, and not at the next tick */
	if (bench.vcpu_cpu == bench.server_cpu &&
	    sched_setscheduler(0, SCHED_FIFO, &param))
		return -errno;
	return 0;
}

int row_eventfd(struct row *row, int flags)
{
	__s32 fd;

	row->efd = eventfd(0, flags | EFD_CLOEXEC);
	if (row->efd < 0)
		return -errno;
	if (bench.doorbell < 0)
		return 0;
	fd = row->efd;
	return sys_ioctl(bench.doorbell, DOORBELL_BIND, &fd);
}

int64_t take_nothing(struct row *row)
{
	return row->idle ? 0 : row->rings;
}

/* What the doorbell counted since it was last asked */
static int64_t take_doorbell(void)
{
	static uint64_t before;
	uint64_t rings = 0;
	int64_t taken;
	int ret = sys_ioctl(bench.doorbell, DOORBELL_READ, &rings);

	taken = rings - before;
	before = rings;
	return ret ? ret : taken;
}

int64_t take_signals(struct row *row)
{
	return bench.doorbell >= 0 ? take_doorbell() : efd_take(row->efd);
}

int64_t take_rings(struct row *row)
{
	int64_t taken = row->counted;

	if (bench.doorbell >= 0)
		return take_doorbell();
	row->counted = 0;
	return taken;
}

static int batch(struct row *row, bool idle, uint64_t *ticks)
{
	uint64_t begin;
	int64_t rings;
	int ret;

	row->idle = idle;
	ret = row->ops->prepare(row);
	if (ret)
		return ret;
	alarm(PATIENCE);
	begin = now();
	ret = row->ops->run(row);
	*ticks = now() - begin;
	alarm(0);
	if (ret)
		return ret;
	rings = row->ops->take(row);
	if (rings < 0)
		return rings;
	/* A way on which rings get lost, or double, is not one to be timed */
	return rings == (idle ? 0 : row->rings) ? 0 : -EBADMSG;
}

static int sample(struct row *row, uint64_t *ticks, uint64_t *idle_ticks)
{
	int ret = batch(row, true, idle_ticks);

	return ret ? ret : batch(row, false, ticks);
}

/* Warm up, and see how many rings make a batch short against the timer's tick */
static int warm_up(struct row *row)
{
	uint64_t ticks, idle_ticks, each;
	int i, ret = 0;

	row->rings = row->batch ? row->batch : MIN_RINGS;
	row->ops->take(row);		/* what came before is nobody's */
	for (i = 0; !ret && i < WARM_UP; i++)
		ret = sample(row, &ticks, &idle_ticks);
	if (ret || row->batch)
		return ret;
	each = ticks > idle_ticks ? (ticks - idle_ticks) / MIN_RINGS + 1 : 1;
	row->rings = BATCH_TICKS / each;
	if (row->rings > MAX_RINGS)
		row->rings = MAX_RINGS;
	if (row->rings < MIN_RINGS)
		row->rings = MIN_RINGS;
	return 0;
}

static void *wait_for_nothing(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void find_cpus(void)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (bench.vcpu_cpu < 0)
			bench.vcpu_cpu = cpu;
		if (bench.server_cpu < 0 || bench.server_cpu == bench.vcpu_cpu)
			bench.server_cpu = cpu;
	}
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* Have nothing in the way: descriptors, page faults, the throttle of real time */
static void prepare_process(void)
{
	const struct sigaction interrupt = { .sa_handler = do_nothing };
	struct rlimit files = { 4096, 4096 };
	pthread_t other;
	int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "-1", 2) != 2)
			perror("sched_rt_runtime_us");
		close(fd);
	}
	setrlimit(RLIMIT_NOFILE, &files);
	/* Nothing else gets a vCPU out of KVM_RUN when its guest hangs */
	sigaction(SIGALRM, &interrupt, NULL);
	bench.doorbell = open("/dev/doorbell", O_RDWR | O_CLOEXEC);
	bench.ring_fd = bench.doorbell >= 0 ? bench.doorbell
					    : open("/dev/null", O_RDWR | O_CLOEXEC);
	/*
	 * VMMs have threads. With one alone, the kernel takes no reference to the
	 * file of an ioctl (fs/file.c, __fget_light()), and what other rows there
	 * are would make a difference.
	 */
	pthread_create(&other, NULL, wait_for_nothing, NULL);
	find_cpus();
	settle(bench.vcpu_cpu, PRIORITY_VCPU);
}

static uint32_t registration_limit(void)
{
	int kvm = kvm_open(), limit = 0;

	if (kvm >= 0) {
		limit = sys_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_IOSIGNALFD);
		close(kvm);
	}
	return limit > 0 ? limit : LIMIT;
}

static bool wanted(const struct row *row, char **globs, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (!fnmatch(globs[i], row->name, 0))
			return true;
	return !count;
}

/* Leaves in @rows those that work, and returns how many these are */
static size_t set_up(struct row *rows, size_t count, char **globs, int n_globs)
{
	size_t i, kept = 0;
	int ret;

	for (i = 0; i < count; i++) {
		struct row *row = &rows[kept];

		if (i != kept)
			*row = rows[i];
		if (!wanted(row, globs, n_globs))
			continue;
		ret = row->ops->setup(row);
		if (!ret) {
			kept++;
			continue;
		}
		row->ops->close(row);
		printf("%s %s %s\n", ret == -EOPNOTSUPP ? "skip" : "fail", row->name,
		       strerrorname_np(-ret));
	}
	return kept;
}

static int measure(struct row *rows, size_t count, int rounds)
{
	uint64_t ticks = 0, idle_ticks = 0;
	size_t i;
	int round, ret, failed = 0;

	for (round = -1; round < rounds; round++) {
		for (i = 0; i < count; i++) {
			struct row *row = &rows[i];

			if (row->broken)
				continue;
			ret = round < 0 ? warm_up(row)
					: sample(row, &ticks, &idle_ticks);
			if (ret) {
				printf("fail %s %s\n", row->name,
				       strerrorname_np(-ret));
				row->broken = true;
				failed = 1;
			} else if (round >= 0) {
				printf("sample %s %u %llu %llu\n", row->name,
				       row->rings, (unsigned long long)ticks,
				       (unsigned long long)idle_ticks);
			}
		}
		fflush(stdout);
	}
	return failed;
}

int main(int argc, char **argv)
{
	static char buffer[1 << 16];
	struct row *rows;
	size_t count, i;
	bool list = false;
	int rounds = 15, option, failed;

	while ((option = getopt(argc, argv, "wlr:")) != -1) {
		switch (option) {
		case 'w':
			bench.wall = true;
			break;
		case 'l':
			list = true;
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		default:
			fprintf(stderr, "usage: %s [-l] [-w] [-r ROUNDS] [GLOB...]\n",
				argv[0]);
			return 2;
		}
	}
	if (make_rows(registration_limit(), &rows, &count))
		return 1;
	if (list) {
		for (i = 0; i < count; i++)
			puts(rows[i].name);
		return 0;
	}
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	prepare_process();
	print_clock(bench.wall);
	/* What the buffer holds would be written by each child, too */
	fflush(stdout);
	count = set_up(rows, count, argv + optind, argc - optind);
	fflush(stdout);
	failed = measure(rows, count, rounds);
	for (i = 0; i < count; i++)
		rows[i].ops->close(&rows[i]);
	puts("done");
	return failed;
}
