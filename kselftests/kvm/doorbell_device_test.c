// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/doorbell, the consumer of eventfds that the benchmarks measure: what it
 * counts, what it refuses, and that it lets go of an eventfd however that ends.
 *
 * Loads the module and takes it out again. Skips on a kernel without it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "child.h"
#include "cpus.h"
#include "debug_kernel.h"
#include "expect.h"
#include "fault.h"
#include "module.h"
#include "slab.h"

#if __has_include(<linux/doorbell.h>)
#include <linux/doorbell.h>
#else
/* The suite also builds against a tree without the device */
#define DOORBELL_IOC		0xdc
#define DOORBELL_MAX_WIRES	1024
#define DOORBELL_RING		_IO(DOORBELL_IOC, 0x00)
#define DOORBELL_READ		_IOR(DOORBELL_IOC, 0x01, __u64)
#define DOORBELL_BIND		_IOW(DOORBELL_IOC, 0x02, __s32)
#define DOORBELL_UNBIND		_IOW(DOORBELL_IOC, 0x03, __s32)
#endif

#define MODULE		"doorbell"
#define MODULE_FILE	"drivers/misc/doorbell.ko"
#define PATIENCE	2000	/* ms */
#define FAULTS_MAX	50
#define REFUSALS	2000
#define RELOADS		64
/* A work queue takes more, in its own structure and one for each CPU */
#define RELOAD_KIB	1
#define RELOAD_ROUNDS	(2 * SLAB_ROUNDS)

static int doorbell_open(void)
{
	int fd = open("/dev/doorbell", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int eventfd_add(int fd, uint64_t count)
{
	return write(fd, &count, sizeof(count)) == sizeof(count) ? 0 : -errno;
}

FIXTURE(device) {
	int dev;
	int fd;			/* an eventfd that is not bound */
	uint64_t seen;		/* rings that a case knows of */
	struct kmsg_watch kmsg;
};

static int doorbell_bind(const FIXTURE_DATA(device) *self, int fd)
{
	return sys_ioctl(self->dev, DOORBELL_BIND, &fd);
}

static int doorbell_unbind(const FIXTURE_DATA(device) *self, int fd)
{
	return sys_ioctl(self->dev, DOORBELL_UNBIND, &fd);
}

static uint64_t doorbell_read(const FIXTURE_DATA(device) *self)
{
	uint64_t rings = 0;

	return sys_ioctl(self->dev, DOORBELL_READ, &rings) ? -1 : rings;
}

/* Exactly @want rings since the last look */
#define EXPECT_RINGS(want)						\
	do {								\
		uint64_t _now = doorbell_read(self);			\
									\
		EXPECT_EQ((uint64_t)(want), _now - self->seen)		\
			TH_LOG("wanted %lld rings, got %lld",		\
			       (long long)(want),			\
			       (long long)(_now - self->seen));		\
		self->seen = _now;					\
	} while (0)

FIXTURE_SETUP(device)
{
	int ret;

	self->dev = -1;
	self->fd = -1;
	ASSERT_RET(0, kmsg_start(&self->kmsg));
	ret = module_load(MODULE_FILE);
	if (ret == -ENOENT)
		SKIP_FIXTURE("kernel lacks CONFIG_DOORBELL=m");
	if (ret != -EEXIST)
		ASSERT_RET(0, ret);
	ASSERT_FD(self->dev, doorbell_open());
	ASSERT_FD(self->fd, efd_create(0));
	self->seen = doorbell_read(self);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
	close(self->dev);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

/* Everything of the eventfd has gone with its last name */
static void expect_no_reference(struct __test_metadata *_metadata,
				FIXTURE_DATA(device) *self, int before)
{
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(before - 1, efd_mark());
}

TEST_F(device, rings_by_ioctl)
{
	int i;

	for (i = 0; i < 3; i++)
		EXPECT_RET(0, sys_ioctl(self->dev, DOORBELL_RING, NULL));
	EXPECT_RINGS(3);
}

TEST_F(device, bound_eventfd_rings)
{
	ASSERT_RET(0, doorbell_bind(self, self->fd));
	EXPECT_RET(0, eventfd_add(self->fd, 1));
	EXPECT_RET(0, eventfd_add(self->fd, 5));
	EXPECT_RINGS(6);
	EXPECT_SIGNALS(0, self->fd);

	EXPECT_RET(0, doorbell_unbind(self, self->fd));
	EXPECT_RET(0, eventfd_add(self->fd, 2));
	EXPECT_RINGS(0);
	EXPECT_SIGNALS(2, self->fd);
}

TEST_F(device, takes_what_is_pending)
{
	EXPECT_RET(0, eventfd_add(self->fd, 3));
	ASSERT_RET(0, doorbell_bind(self, self->fd));
	EXPECT_RINGS(3);
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_RET(0, doorbell_unbind(self, self->fd));
}

/* What is taken makes room for who waits to add more than fits */
TEST_F(device, lets_a_writer_go_on)
{
	const uint64_t most = UINT64_MAX - 1;
	int status = -1, ms;
	pid_t writer;

	EXPECT_RET(0, eventfd_add(self->fd, most));
	EXPECT_RET(-EAGAIN, eventfd_add(self->fd, 1));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, 0));	/* to wait from now on */
	writer = fork_child();
	ASSERT_LE(0, writer);
	if (!writer)
		_exit(eventfd_add(self->fd, 1) ? 1 : 0);
	usleep(100000);
	EXPECT_EQ(0, waitpid(writer, &status, WNOHANG));
	ASSERT_RET(0, doorbell_bind(self, self->fd));
	for (ms = 0; !waitpid(writer, &status, WNOHANG) && ms < PATIENCE; ms += 10)
		usleep(10000);
	EXPECT_EQ(0, status);
	if (status == -1)
		kill(writer, SIGKILL);
	EXPECT_RINGS(most + 1);
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	EXPECT_RET(0, doorbell_unbind(self, self->fd));
}

TEST_F(device, semaphore_loses_one_per_signal)
{
	int fd;

	ASSERT_FD(fd, efd_create(EFD_SEMAPHORE));
	ASSERT_RET(0, doorbell_bind(self, fd));
	EXPECT_RET(0, eventfd_add(fd, 1));
	EXPECT_RINGS(1);
	EXPECT_SIGNALS(0, fd);
	EXPECT_RET(0, eventfd_add(fd, 3));
	EXPECT_RINGS(1);
	EXPECT_SIGNALS(2, fd);

	/* One that goes with the unbinding is not lost either */
	EXPECT_RET(0, eventfd_add(fd, 3));
	EXPECT_RET(0, doorbell_unbind(self, fd));
	EXPECT_EQ(3, doorbell_read(self) - self->seen + efd_take(fd));
	close(fd);
}

TEST_F(device, binds_an_eventfd_once)
{
	int before = efd_mark(), twin;

	ASSERT_FD(twin, dup(self->fd));
	ASSERT_RET(0, doorbell_bind(self, self->fd));
	EXPECT_RET(-EBUSY, doorbell_bind(self, self->fd));
	EXPECT_RET(-EBUSY, doorbell_bind(self, twin));
	EXPECT_RET(0, eventfd_add(self->fd, 1));
	EXPECT_RINGS(1);
	EXPECT_RET(0, doorbell_unbind(self, twin));
	EXPECT_RET(-ENOENT, doorbell_unbind(self, self->fd));
	close(twin);
	expect_no_reference(_metadata, self, before);
}

TEST_F(device, refuses_what_is_no_eventfd)
{
	EXPECT_RET(-EBADF, doorbell_bind(self, -1));
	EXPECT_RET(-EINVAL, doorbell_bind(self, self->dev));
	EXPECT_RET(-EBADF, doorbell_unbind(self, -1));
	EXPECT_RET(-EINVAL, doorbell_unbind(self, self->dev));
	EXPECT_RET(-ENOENT, doorbell_unbind(self, self->fd));
}

TEST_F(device, refuses_bad_pointers_and_numbers)
{
	EXPECT_RET(-EFAULT, sys_ioctl(self->dev, DOORBELL_BIND, NULL));
	EXPECT_RET(-EFAULT, sys_ioctl(self->dev, DOORBELL_UNBIND, NULL));
	EXPECT_RET(-EFAULT, sys_ioctl(self->dev, DOORBELL_READ, NULL));
	EXPECT_RET(-ENOTTY, sys_ioctl(self->dev, _IO(DOORBELL_IOC, 0x04), NULL));
	EXPECT_RINGS(0);
}

struct writer {
	pthread_t thread;
	int fd;
	bool stop;
	uint64_t added;
};

static void *write_ones(void *arg)
{
	struct writer *writer = arg;

	use_every_cpu();
	while (!__atomic_load_n(&writer->stop, __ATOMIC_RELAXED))
		writer->added += !eventfd_add(writer->fd, 1);
	return NULL;
}

/* As many eventfds as can be bound */
static int fds[DOORBELL_MAX_WIRES];

static void create_all(struct __test_metadata *_metadata)
{
	struct rlimit room = { 2 * DOORBELL_MAX_WIRES, 2 * DOORBELL_MAX_WIRES };
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &room));
	for (i = 0; i < DOORBELL_MAX_WIRES; i++)
		ASSERT_FD(fds[i], efd_create(0));
}

TEST_F_TIMEOUT(device, unbinding_leaks_no_memory, 60)
{
	long before_kib, more = 0;
	int round, i;

	create_all(_metadata);
	for (round = 0; round < SLAB_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < DOORBELL_MAX_WIRES; i++) {
			ASSERT_RET(0, doorbell_bind(self, fds[i]));
			ASSERT_RET(0, doorbell_unbind(self, fds[i]));
		}
		/* No wire is below 64 bytes */
		more = slab_grown(before_kib, DOORBELL_MAX_WIRES * 64l / 1024);
		if (!more)
			return;
	}
	TH_LOG("slab: %d rounds, %ld KiB more in the last", round, more);
	EXPECT_GT(SLAB_ROUNDS, round);
}

TEST_F_TIMEOUT(device, limits_what_is_bound, 60)
{
	struct writer writer = { .fd = self->fd };
	long before_kib, more = 1;
	int round, i;

	create_all(_metadata);
	for (i = 0; i < DOORBELL_MAX_WIRES; i++)
		ASSERT_RET(0, doorbell_bind(self, fds[i]));
	EXPECT_RET(-ENOSPC, doorbell_bind(self, self->fd));

	/* What is refused takes nothing, not even what comes in that moment, nor memory */
	ASSERT_EQ(0, pthread_create(&writer.thread, NULL, write_ones, &writer));
	for (round = 0; round < SLAB_ROUNDS && more; round++) {
		before_kib = slab_unreclaimable();
		for (i = 0; i < REFUSALS; i++)
			EXPECT_RET(-ENOSPC, doorbell_bind(self, self->fd));
		more = slab_grown(before_kib, REFUSALS * 64l / 1024);
	}
	EXPECT_EQ(0, more);
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(writer.thread, NULL));
	EXPECT_RINGS(0);
	EXPECT_SIGNALS(writer.added, self->fd);

	EXPECT_RET(0, eventfd_add(self->fd, 1));
	EXPECT_RINGS(0);
	EXPECT_RET(0, doorbell_unbind(self, fds[0]));
	EXPECT_RET(0, doorbell_bind(self, self->fd));
	EXPECT_RINGS(1);
	for (i = 1; i < DOORBELL_MAX_WIRES; i++) {
		EXPECT_RET(0, doorbell_unbind(self, fds[i]));
	}
	EXPECT_RET(0, doorbell_unbind(self, self->fd));
}

/* Its last descriptor is closed: the device lets go, if not at once */
TEST_F(device, closed_while_bound)
{
	int before = efd_mark(), fd, ms;

	ASSERT_FD(fd, efd_create(0));
	ASSERT_RET(0, doorbell_bind(self, fd));
	EXPECT_RET(0, eventfd_add(fd, 2));
	EXPECT_LT(before, efd_mark());
	close(fd);
	for (ms = 0; efd_mark() != before && ms < PATIENCE; ms += 10)
		usleep(10000);
	EXPECT_EQ(before, efd_mark());
	EXPECT_RINGS(2);
}

TEST_F(device, unloaded_while_bound)
{
	int before = efd_mark();

	ASSERT_RET(0, doorbell_bind(self, self->fd));
	EXPECT_RET(-EWOULDBLOCK, module_unload(MODULE));
	close(self->dev);
	self->dev = -1;
	ASSERT_RET(0, module_unload(MODULE));
	EXPECT_RET(0, eventfd_add(self->fd, 1));
	EXPECT_SIGNALS(1, self->fd);
	expect_no_reference(_metadata, self, before);
}

TEST_F_TIMEOUT(device, unloading_leaks_no_memory, 60)
{
	long before_kib, more = 0;
	int round, i;

	close(self->dev);
	self->dev = -1;
	for (round = 0; round < RELOAD_ROUNDS; round++) {
		before_kib = slab_unreclaimable();
		ASSERT_LT(0, before_kib);
		for (i = 0; i < RELOADS; i++) {
			ASSERT_RET(0, module_unload(MODULE));
			ASSERT_RET(0, module_load(MODULE_FILE));
		}
		more = slab_grown(before_kib, RELOADS * RELOAD_KIB);
		if (!more)
			return;
		TH_LOG("slab: %ld KiB more in round %d", more, round);
	}
	EXPECT_EQ(0, more);
}

TEST_F(device, bind_under_faults)
{
	int before = efd_mark(), nth, failed = 1, refused = 0, ret;

	if (fault_init())
		SKIP(return, "kernel lacks CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC or a mounted debugfs");
	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, fault_arm(nth));
		ret = doorbell_bind(self, self->fd);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		if (ret || !debug_kernel())
			EXPECT_RET(failed ? -ENOMEM : 0, ret);
		refused += ret != 0;
		EXPECT_RET(0, eventfd_add(self->fd, 1));
		EXPECT_RINGS(!ret);
		EXPECT_SIGNALS(ret != 0, self->fd);
		EXPECT_RET(ret ? -ENOENT : 0, doorbell_unbind(self, self->fd));
	}
	EXPECT_EQ(0, failed);
	EXPECT_LT(0, refused);
	expect_no_reference(_metadata, self, before);
}

/*
 * What the module itself asks for comes last of all that a load allocates, so
 * count from the end; a load takes its time, and each thing that the module asks
 * for takes several. One that can do without is as good as one that says so.
 */
TEST_F_TIMEOUT(device, load_under_faults, 60)
{
	const int plenty = 1 << 20;
	int nth, last, refused = 0, again = 0, round, ret;
	long before_kib, more = !debug_kernel();

	if (fault_init())
		SKIP(return, "kernel lacks CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC or a mounted debugfs");
	close(self->dev);
	self->dev = -1;
	ASSERT_RET(0, module_unload(MODULE));
	ASSERT_RET(0, fault_arm(plenty));
	ASSERT_RET(0, module_load(MODULE_FILE));
	last = plenty - fault_left();
	ASSERT_RET(0, fault_disarm());
	TH_LOG("a load takes %d allocations", last);

	for (nth = last; nth > 0 && nth > last - FAULTS_MAX; nth -= 3) {
		ret = module_unload(MODULE);
		if (ret != -ENOENT)
			ASSERT_RET(0, ret);
		ASSERT_RET(0, fault_arm(nth));
		ret = module_load(MODULE_FILE);
		ASSERT_LE(0, fault_disarm());
		EXPECT_TRUE(ret == 0 || ret == -ENOMEM)
			TH_LOG("wanted 0 or ENOMEM, got %s", result_name(ret));
		refused += ret != 0;
		if (ret && !again)
			again = nth;
	}
	EXPECT_LT(0, refused);

	/* The last thing it asks for is the device, so all else has to go then */
	for (round = 0; round < RELOAD_ROUNDS && more; round++) {
		before_kib = slab_unreclaimable();
		for (nth = 0; nth < RELOADS; nth++) {
			ret = module_unload(MODULE);
			if (ret != -ENOENT)
				ASSERT_RET(0, ret);
			ASSERT_RET(0, fault_arm(again));
			module_load(MODULE_FILE);
			ASSERT_LE(0, fault_disarm());
		}
		more = slab_grown(before_kib, RELOADS * RELOAD_KIB);
		if (more)
			TH_LOG("slab: %ld KiB more in round %d", more, round);
	}
	EXPECT_EQ(0, more);
	ret = module_load(MODULE_FILE);
	if (ret != -EEXIST)
		ASSERT_RET(0, ret);
	ASSERT_FD(self->dev, doorbell_open());
	EXPECT_RET(0, sys_ioctl(self->dev, DOORBELL_RING, NULL));
	/* What a load that fails has to say is the loader's affair */
	kmsg_stop(&self->kmsg);
	ASSERT_RET(0, kmsg_start(&self->kmsg));
}

TEST_HARNESS_MAIN
