// SPDX-License-Identifier: GPL-2.0-only
/*
 * A registration holds a reference on its eventfd: no less, so that the fd may be
 * closed; and no longer than it lives, so that nothing leaks. A leaked context
 * never lets the mark fall again, see efd_mark().
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_pio, ioeventfd_api, BUS_PIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA		0x44332211
#define BELLS		16

static void close_vm(FIXTURE_DATA(doorbell) *self)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Registered by a name that is gone, a doorbell rings on: nobody hears it */
TEST_F(doorbell, all_fds_closed_then_written)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	int before, fd;

	before = efd_mark();
	ASSERT_FD(fd, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	close(fd);

	io.times = 100;
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_LT(before, efd_mark());
	EXPECT_RET(-EEXIST, assign(self, any_data(self, 0, 4, self->fd)));

	close_vm(self);
	EXPECT_EQ(before, efd_mark());
}

/* One closed descriptor of two is no reason to stop */
TEST_F(doorbell, duplicate_hears_after_close)
{
	int fd, twin;

	ASSERT_FD(fd, efd_create(0));
	ASSERT_FD(twin, dup(fd));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	close(fd);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, twin);
	EXPECT_RET(0, deassign(self, any_data(self, 0, 4, twin)));
	close(twin);
}

TEST_F(doorbell, deassign_drops_the_eventfd)
{
	int before = efd_mark(), i, fd;

	for (i = 0; i < BELLS; i++) {
		ASSERT_FD(fd, efd_create(0));
		ASSERT_RET(0, assign(self, any_data(self, 8 * i, 4, fd)));
		ASSERT_RET(0, deassign(self, any_data(self, 8 * i, 4, fd)));
		close(fd);
	}
	EXPECT_EQ(before, efd_mark());
}

TEST_F(doorbell, deassign_drops_the_eventfd_of_a_datamatch)
{
	int before = efd_mark(), fds[BELLS], i;

	for (i = 0; i < BELLS; i++) {
		ASSERT_FD(fds[i], efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, i, fds[i])));
	}
	for (i = 0; i < BELLS; i++) {
		ASSERT_RET(0, deassign(self, only_data(self, 0, 4, i, fds[i])));
		close(fds[i]);
	}
	EXPECT_EQ(before, efd_mark());
}

TEST_F(doorbell, teardown_with_live_registrations)
{
	int before = efd_mark(), i, fd;

	for (i = 0; i < BELLS; i++) {
		ASSERT_FD(fd, efd_create(0));
		ASSERT_RET(0, assign(self, any_data(self, 8 * i, 4, fd)));
		close(fd);
		ASSERT_FD(fd, efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 8 * i, 2, 1, fd)));
		close(fd);
		ASSERT_FD(fd, efd_create(0));
		ASSERT_RET(0, assign(self, only_data(self, 8 * i, 2, 2, fd)));
		close(fd);
	}
	EXPECT_LT(before, efd_mark());
	close_vm(self);
	EXPECT_EQ(before, efd_mark());
}

/* The vCPU keeps the VM, so its doorbells ring until it is closed as well */
TEST_F(doorbell, vcpu_keeps_registrations)
{
	int before = efd_mark(), fd, twin;

	ASSERT_FD(fd, efd_create(0));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	ASSERT_FD(twin, dup(fd));
	close(fd);
	close(self->vm.fd);
	self->vm.fd = -1;

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, twin);
	close(twin);
	EXPECT_LT(before, efd_mark());
	vcpu_destroy(&self->vcpu);
	EXPECT_EQ(before, efd_mark());
}

TEST_F(doorbell, eventfd_outlives_the_vm)
{
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	close_vm(self);
	EXPECT_SIGNALS(1, self->fd);
	ASSERT_EQ(0, eventfd_write(self->fd, 3));
	EXPECT_SIGNALS(3, self->fd);
}

/* A full counter stays full: the guest neither waits nor leaves, nor wraps it */
TEST_F(doorbell, counter_saturates)
{
	struct pollfd pfd = { .fd = self->fd, .events = POLLIN };
	struct guest_io io = write_at(self, 0, 4, DATA);
	uint64_t value;

	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	ASSERT_EQ(0, eventfd_write(self->fd, UINT64_MAX - 2));
	io.times = 2;
	EXPECT_NO_EXIT(&self->vcpu, io);
	io.times = 3;
	EXPECT_NO_EXIT(&self->vcpu, io);

	/* eventfd_poll() calls a counter that a signal has filled an error */
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_EQ(POLLIN | POLLERR, pfd.revents);
	ASSERT_EQ(sizeof(value), read(self->fd, &value, sizeof(value)));
	EXPECT_EQ(UINT64_MAX, value);
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(3, self->fd);
}

TEST_F(doorbell, semaphore_gives_one_at_a_time)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	uint64_t value;
	int fd, i;

	ASSERT_FD(fd, efd_create(EFD_SEMAPHORE));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	io.times = 5;
	EXPECT_NO_EXIT(&self->vcpu, io);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(sizeof(value), read(fd, &value, sizeof(value)));
		EXPECT_EQ(1, value);
	}
	EXPECT_SIGNALS(0, fd);
	close(fd);
}

static void *read_once(void *arg)
{
	eventfd_t value = 0;

	eventfd_read(*(int *)arg, &value);
	return (void *)(uintptr_t)value;
}

/* The consumer of a doorbell sleeps; the guest's write has to wake it */
TEST_F(doorbell, wakes_a_sleeping_reader)
{
	pthread_t reader;
	void *value;
	int fd;

	ASSERT_FD(fd, eventfd(0, EFD_CLOEXEC));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, fd)));
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_once, &fd));
	usleep(20000);
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	ASSERT_EQ(0, pthread_join(reader, &value));
	EXPECT_EQ(1, (uintptr_t)value);
	close(fd);
}

TEST_HARNESS_MAIN
