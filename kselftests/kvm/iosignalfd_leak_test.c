// SPDX-License-Identifier: GPL-2.0-only
/*
 * A registration that comes and goes for ever costs nothing: neither eventfd
 * contexts, see efd_mark(), nor slab memory.
 */
#include "debug_kernel.h"
#include "doorbell_fixture.h"
#include "slab.h"

DOORBELL_VARIANT(iosignalfd, iosignalfd_api, ONE_BUS);
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, ONE_BUS);

#define LEAK_LOOPS	2000
#define LEAK_LOOPS_PEER	500	/* ioeventfd is not what is on trial */
#define LEAK_LOOPS_SLOW	100000
#define VMS		8	/* each takes several grace periods to go */
#define SHARE		200	/* of a VM's registrations: by address, and by data */

/* Each of @loops has left @bytes behind */
static long leaked(long before_kib, int loops, long bytes)
{
	return slab_grown(before_kib, loops * bytes / 1024);
}

static void leak_loop(struct __test_metadata *_metadata,
		      FIXTURE_DATA(doorbell) *self, int loops)
{
	int before_mark = efd_mark(), round, i, fd;
	long before_kib, more = 0;
	struct doorbell bell;

	if (debug_kernel())	/* slow, and kmemleak needs one alone */
		loops /= 10;
	for (round = 0; round < SLAB_ROUNDS; round++) {
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
		/* No object of a registration is below 64 bytes */
		more = leaked(before_kib, loops, 64);
		if (!more)
			return;
	}
	TH_LOG("slab: %d rounds, %ld KiB more in the last", round, more);
	EXPECT_GT(SLAB_ROUNDS, round);
}

/* What was refused is forgotten, and so is what was allocated for it */
TEST_F(doorbell, refusals_leak_no_memory)
{
	long before_kib;
	int round, i;

	ASSERT_RET(0, assign(self, only_data(self, 0, 4, 1, self->fd)));
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < LEAK_LOOPS; i++) {
			EXPECT_RET(-EEXIST, assign(self, only_data(self, 0, 4, 1, self->fd)));
			EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));
			EXPECT_RET(-ENOENT, deassign(self, only_data(self, 0, 4, 2, self->fd)));
		}
		if (!leaked(before_kib, LEAK_LOOPS, 64))
			return;
	}
	EXPECT_GT(SLAB_ROUNDS, round);
}

/* Nobody takes a registration off: it goes with its VM, and so does its bus */
TEST_F_TIMEOUT(doorbell, vm_takes_all_along, 60)
{
	int before_mark = efd_mark(), vms = VMS, round, i, n;
	struct doorbell bell;
	long before_kib;
	struct vm vm;

	if (debug_kernel())
		vms = 1;
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < vms; i++) {
			ASSERT_RET(0, vm_init(&vm));
			for (n = 0; n < SHARE; n++) {
				bell = only_data(self, 0, 4, n, self->fd);
				ASSERT_RET(0, doorbell_assign(self->api, vm.fd, &bell));
				bell = any_data(self, 4 + 4 * n, 4, self->fd);
				ASSERT_RET(0, doorbell_assign(self->api, vm.fd, &bell));
			}
			vm_destroy(&vm);
		}
		EXPECT_EQ(before_mark, efd_mark());
		/* A table or a bus with that many is above 2 KiB */
		if (!leaked(before_kib, vms, 2048))
			return;
	}
	EXPECT_GT(SLAB_ROUNDS, round);
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
