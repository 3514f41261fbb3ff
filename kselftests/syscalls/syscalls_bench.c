// SPDX-License-Identifier: GPL-2.0-only
/*
 * syscalls_bench: time a few system calls in turn, in rounds, and print each sample.
 *
 *   syscalls_bench [-l] [-w] [-r ROUNDS] [GLOB...]
 *
 * -w is for real time; without it, the processor's counter is taken to count
 * instructions. -l lists the rows. toolkit/bench/log.py says what it prints.
 *
 *   getppid           a call that does next to nothing
 *   read-zero         a byte of /dev/zero
 *   open-close        /dev/null
 *   eventfd           write and read
 *   pipe              a byte in and out again
 *   pipe-round-trip   a byte to another process and back, on one processor
 *
 * Each goes through libc's function. What the calls return is added up, and has to
 * be what it should; the loop that does this is timed without the calls, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define ROUNDS		15
#define WARM_UP		2		/* batches */
#define MIN_CALLS	8
#define MAX_CALLS	1000
#define BATCH_TICKS	400000		/* that a batch shall last */
#define PATIENCE	5		/* seconds for a batch */
#define SENT		5		/* the byte that a pipe carries */

struct row {
	const char *name;
	int (*setup)(struct row *row);	/* returns 0 or -errno */
	int64_t (*call)(struct row *row); /* negative, with errno, if it fails */
	int64_t result;			/* else this */
	/* State */
	int in, out;			/* what is read from, and written to */
	pid_t child;
	uint32_t calls;			/* in a batch */
	bool broken;			/* no more samples of it */
};

/* What is timed with no call: as much as the loop and the check take */
static int64_t nothing(struct row *row)
{
	return row->result;
}

static int setup_nothing(struct row *row)
{
	(void)row;
	return 0;
}

static int64_t call_getppid(struct row *row)
{
	(void)row;
	return syscall(SYS_getppid) > 0;
}

static int setup_zero(struct row *row)
{
	row->in = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return row->in < 0 ? -errno : 0;
}

static int64_t call_read(struct row *row)
{
	char byte = 1;

	return read(row->in, &byte, 1) + byte;
}

static int64_t call_open_close(struct row *row)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)row;
	return fd < 0 ? fd : 1 + close(fd);
}

static int setup_eventfd(struct row *row)
{
	row->in = row->out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return row->in < 0 ? -errno : 0;
}

static int64_t call_eventfd(struct row *row)
{
	uint64_t one = 1, count = 0;

	if (write(row->out, &one, sizeof(one)) < 0 ||
	    read(row->in, &count, sizeof(count)) < 0)
		return -1;
	return count;
}

static int setup_pipe(struct row *row)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	row->in = fds[0];
	row->out = fds[1];
	return 0;
}

static int64_t call_pipe(struct row *row)
{
	char byte = SENT, back = 0;

	if (write(row->out, &byte, 1) < 0 || read(row->in, &back, 1) < 0)
		return -1;
	return back;
}

/* Send back what comes, until the other end is closed */
static void serve(int in, int out)
{
	char byte;

	while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
		;
}

static int setup_round_trip(struct row *row)
{
	int there[2], back[2];

	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		return -errno;
	fflush(stdout);			/* the child has a copy of the buffer */
	row->child = fork();
	if (row->child < 0)
		return -errno;
	if (!row->child) {
		close(there[1]);
		close(back[0]);
		serve(there[0], back[1]);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	row->in = back[0];
	row->out = there[1];
	return 0;
}

static void close_row(struct row *row)
{
	if (row->out >= 0)
		close(row->out);	/* which ends the child */
	if (row->child > 0)
		waitpid(row->child, NULL, 0);
	if (row->in >= 0 && row->in != row->out)
		close(row->in);
}

#define ROW(row_name, setup_call, one_call, one_result)			\
	{ .name = row_name, .setup = setup_call, .call = one_call,	\
	  .result = one_result }

static struct row rows[] = {
	ROW("getppid", setup_nothing, call_getppid, 1),
	ROW("read-zero", setup_zero, call_read, 1),
	ROW("open-close", setup_nothing, call_open_close, 1),
	ROW("eventfd", setup_eventfd, call_eventfd, 1),
	ROW("pipe", setup_pipe, call_pipe, SENT),
	ROW("pipe-round-trip", setup_round_trip, call_pipe, SENT),
};

#define COUNT	(sizeof(rows) / sizeof(rows[0]))

/* One piece of code for every call and for none: the loop has to be the same */
__attribute__((noipa))
static int batch(struct row *row, int64_t (*call)(struct row *row), uint64_t *ticks)
{
	int64_t result = 0, sum = 0;
	uint64_t begin;
	uint32_t i;

	alarm(PATIENCE);
	begin = now();
	for (i = 0; i < row->calls && result >= 0; i++) {
		result = call(row);
		sum += result;
	}
	*ticks = now() - begin;
	alarm(0);
	if (result < 0)
		return -errno;
	return sum == row->result * row->calls ? 0 : -EBADMSG;
}

static int sample(struct row *row, uint64_t *ticks, uint64_t *idle_ticks)
{
	int ret = batch(row, nothing, idle_ticks);

	return ret ? ret : batch(row, row->call, ticks);
}

/* Warm up, and see how many calls make a batch short against the timer's tick */
static int warm_up(struct row *row)
{
	uint64_t ticks = 0, idle_ticks = 0, each;
	int i, ret = 0;

	row->calls = MIN_CALLS;
	for (i = 0; !ret && i < WARM_UP; i++)
		ret = sample(row, &ticks, &idle_ticks);
	each = ticks > idle_ticks ? (ticks - idle_ticks) / MIN_CALLS + 1 : 1;
	row->calls = BATCH_TICKS / each;
	if (row->calls > MAX_CALLS)
		row->calls = MAX_CALLS;
	if (row->calls < MIN_CALLS)
		row->calls = MIN_CALLS;
	return ret;
}

static void give_up(struct row *row, const char *word, int ret)
{
	printf("%s %s %s\n", word, row->name, strerrorname_np(-ret));
	row->broken = true;
}

static void set_up(char **globs, int n_globs)
{
	struct row *row;
	int i, ret;

	for (row = rows; row < rows + COUNT; row++) {
		row->in = row->out = -1;
		row->broken = n_globs;
		for (i = 0; i < n_globs; i++)
			if (!fnmatch(globs[i], row->name, 0))
				row->broken = false;
		if (row->broken)
			continue;
		ret = row->setup(row);
		if (ret)	/* the kernel is built without it */
			give_up(row, ret == -ENOENT || ret == -ENOSYS ? "skip" : "fail",
				ret);
	}
}

static bool measure(int rounds)
{
	uint64_t ticks, idle_ticks;
	bool good = true;
	struct row *row;
	int round, ret;

	for (round = -1; round < rounds; round++) {
		for (row = rows; row < rows + COUNT; row++) {
			if (row->broken)
				continue;
			ret = round < 0 ? warm_up(row)
					: sample(row, &ticks, &idle_ticks);
			if (ret) {
				give_up(row, "fail", ret);
				good = false;
			} else if (round >= 0) {
				printf("sample %s %u %llu %llu\n", row->name, row->calls,
				       (unsigned long long)ticks,
				       (unsigned long long)idle_ticks);
			}
		}
		fflush(stdout);
	}
	return good;
}

static void do_nothing(int signal)
{
	(void)signal;
}

/*
 * Stay on the first processor, children included, and hand it over when there is
 * nothing to read, and not when the scheduler finds that fair (who may not ask for
 * that does without). What hangs is interrupted.
 */
static void prepare_process(void)
{
	const struct sigaction interrupt = { .sa_handler = do_nothing };
	const struct sched_param param = { .sched_priority = 1 };
	cpu_set_t all, first;
	int cpu = 0;

	sigaction(SIGALRM, &interrupt, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&first);
	CPU_SET(cpu, &first);
	if (sched_setaffinity(0, sizeof(first), &first) ||
	    sched_setscheduler(0, SCHED_FIFO, &param))
		perror("syscalls_bench: the scheduler");
}

int main(int argc, char **argv)
{
	static char buffer[1 << 16];
	int rounds = ROUNDS, option;
	bool wall = false, good;
	size_t i;

	while ((option = getopt(argc, argv, "wlr:")) != -1) {
		switch (option) {
		case 'w':
			wall = true;
			break;
		case 'l':
			for (i = 0; i < COUNT; i++)
				puts(rows[i].name);
			return 0;
		case 'r':
			rounds = atoi(optarg);
			break;
		default:
			fprintf(stderr, "usage: %s [-l] [-w] [-r ROUNDS] [GLOB...]\n",
				argv[0]);
			return 2;
		}
	}
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	prepare_process();
	print_clock(wall);
	set_up(argv + optind, argc - optind);
	good = measure(rounds);
	for (i = 0; i < COUNT; i++)
		close_row(&rows[i]);
	puts("done");
	return !good;
}
