// SPDX-License-Identifier: GPL-2.0-only
/*
 * A registration that comes and goes for ever costs nothing: neither eventfd
 * contexts, see efd_mark(), nor slab memory.
 */
#include "debug_kernel.h"
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, BUS_PIO);

#define LEAK_LOOPS	2000
#define LEAK_LOOPS_PEER	500	/* ioeventfd is not what is on trial */
#define LEAK_LOOPS_SLOW	100000

/*
 * A leak takes memory in every round.  What caches take to warm up, or what
 * others on the machine take meanwhile, is not there in each.
 */
#define ROUNDS	5

/* A grace period of RCU, after which closed files have gone, and some more */
#define SETTLED		50000	/* us */

/* In KiB: what the kernel has allocated and could not give back */
static long slab_unreclaimable(void)
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

/* No object of a registration is below 64 bytes; kmemleak looks by itself */
static bool leaks(long before_kib, int loops)
{
	return !debug_kernel() &&
	       slab_unreclaimable() - before_kib >= loops * 64l / 1024;
}

static void leak_loop(struct __test_metadata *_metadata,
		      FIXTURE_DATA(doorbell) *self, int loops)
{
	int before_mark = efd_mark(), round, i, fd;
	struct doorbell bell;
	long before_kib;

	if (debug_kernel())	/* slow, and kmemleak needs one alone */
		loops /= 10;
	for (round = 0; round < ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < loops; i++) {
			ASSERT_FD(fd, efd_create(0));
			bell = i % 2 ? any_data(self, 0, 4, fd)
				     : only_data(self, 0, 4, 1, fd);
			ASSERT_RET(0, assign(self, bell));
			ASSERT_RET(0, deassign(self, bell));
			close(fd);
		}
		EXPECT_EQ(before_mark, efd_mark());
		if (!leaks(before_kib, loops))
			return;
	}
	TH_LOG("slab: %d rounds, %ld KiB more in the last",
	       round, slab_unreclaimable() - before_kib);
	EXPECT_GT(ROUNDS, round);
}

/* What was refused is forgotten, and so is what was allocated for it */
TEST_F(doorbell, refusals_leak_no_memory)
{
	long before_kib;
	int round, i;

	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
	for (round = 0; round < ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < LEAK_LOOPS; i++) {
			EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 1, self->fd)));
			EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
			EXPECT_RET(-ENOENT, deassign(self, only_data(self, 0, 4, 2, self->fd)));
		}
		if (!leaks(before_kib, LEAK_LOOPS))
			return;
	}
	EXPECT_GT(ROUNDS, round);
}

TEST_F(doorbell, leak_loop)
{
	leak_loop(_metadata, self, self->api == &iosignalfd_api ?
		  LEAK_LOOPS : LEAK_LOOPS_PEER);
}

TEST_F_TIMEOUT(doorbell, leak_loop_slow, 300)
{
	SKIP_UNLESS_SLOW();
	leak_loop(_metadata, self, LEAK_LOOPS_SLOW);
}

TEST_HARNESS_MAIN
