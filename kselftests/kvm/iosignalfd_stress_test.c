// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registrations that come and go under running vCPUs. Every write is counted by
 * an eventfd or seen as an exit: none is lost and none is doubled.
 */
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "cpus.h"
#include "doorbell_fixture.h"
#include "monotonic.h"
#include "vcpu_thread.h"

DOORBELL_VARIANT(iosignalfd_pio, iosignalfd_api, BUS_PIO);
DOORBELL_VARIANT(iosignalfd_mmio, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd_mmio, ioeventfd_api, BUS_MMIO);

#define DATA	0x44332211
#define BATCH	50		/* writes between two looks at the stop flag */
#define ROUNDS	24
/*
 * Seconds for so many, which wait for a vCPU in its guest: 0.3 is usual, and 18 have
 * been seen where one thread of the host emulates all CPUs, each for up to 0.1 s.
 */
#define ROUNDS_SECONDS 90
#define PATIENCE 2000		/* ms for the guest to get as far as a write */
#define VCPUS	4		/* at most, see vcpus_at_once() */

static struct guest_io many_writes(const FIXTURE_DATA(doorbell) *self,
				   uint64_t times)
{
	struct guest_io io = write_at(self, 0, 4, DATA);

	io.times = times;
	return io;
}

/*
 * One vCPU for each CPU, and two at least. Where several share one, QEMU 7.2's
 * emulated SVM has been seen to put the host's RIP into a guest's VMCB.
 */
static int vcpus_at_once(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 2 ? 2 : cpus > VCPUS ? VCPUS : cpus;
}

TEST_F(doorbell, many_vcpus_on_one_doorbell)
{
	struct guest_io io = many_writes(self, BATCH);
	int i, count = vcpus_at_once();
	struct vcpu_thread threads[VCPUS];
	struct vcpu vcpus[VCPUS - 1];
	uint64_t writes = 0;

	/* kvm_arch_vcpu_create() says this on a host without a stable TSC */
	kmsg_announce(&self->kmsg, "SMP vm created on host with unstable TSC");
	for (i = 0; i < count - 1; i++)
		ASSERT_RET(0, vcpu_init(&vcpus[i], &self->vm, i + 1));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));

	for (i = 0; i < count; i++)
		ASSERT_RET(0, vcpu_thread_start(&threads[i],
						i ? &vcpus[i - 1] : &self->vcpu,
						&io));
	usleep(50000);
	for (i = 0; i < count; i++) {
		ASSERT_RET(0, vcpu_thread_stop(&threads[i]));
		EXPECT_EQ(0, threads[i].exits);
		writes += threads[i].writes;
	}
	EXPECT_SIGNALS(writes, self->fd);
	for (i = 0; i < count - 1; i++)
		vcpu_destroy(&vcpus[i]);
}

/* On, off, on, off: the sum of both paths is what the guest wrote */
static void storm(struct __test_metadata *_metadata,
		  FIXTURE_DATA(doorbell) *self, struct doorbell bell)
{
	struct guest_io io = many_writes(self, BATCH);
	struct vcpu_thread vt;
	int64_t signals = 0;
	int i, ret;

	ASSERT_RET(0, vcpu_thread_start(&vt, &self->vcpu, &io));
	for (i = 0; i < ROUNDS; i++) {
		ret = assign(self, bell);
		EXPECT_RET(0, ret);
		if (ret)	/* nothing to wait for */
			break;
		signals += efd_wait(self->fd, 1, PATIENCE);
		EXPECT_RET(0, deassign(self, bell));
		usleep(i % 3 * 200);
	}
	ASSERT_RET(0, vcpu_thread_stop(&vt));

	signals += efd_take(self->fd);
	EXPECT_LE(ROUNDS, signals);
	EXPECT_LT(0, vt.exits);
	EXPECT_EQ(vt.writes, vt.exits + signals);
}

TEST_F_TIMEOUT(doorbell, storm_of_one_wildcard, ROUNDS_SECONDS)
{
	storm(_metadata, self, any_data(self, 0, 4, self->fd));
}

TEST_F_TIMEOUT(doorbell, storm_of_one_datamatch, ROUNDS_SECONDS)
{
	storm(_metadata, self, only_data(self, 0, 4, DATA, self->fd));
}

/* Two others at the address stay registered all the time */
TEST_F_TIMEOUT(doorbell, storm_of_one_datamatch_among_others, ROUNDS_SECONDS)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, DATA - 1, other)));
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, DATA + 1, other)));
	storm(_metadata, self, only_data(self, 0, 4, DATA, self->fd));
	EXPECT_SIGNALS(0, other);
	close(other);
}

/* From hand to hand: what neither has is an exit */
TEST_F_TIMEOUT(doorbell, handover_between_two_eventfds, ROUNDS_SECONDS)
{
	struct guest_io io = many_writes(self, BATCH);
	struct doorbell bells[2] = { any_data(self, 0, 4, self->fd) };
	int64_t signals = 0;
	struct vcpu_thread vt;
	int i;

	bells[1] = bells[0];
	ASSERT_FD(bells[1].fd, efd_create(0));
	ASSERT_RET(0, assign(self, bells[0]));
	ASSERT_RET(0, vcpu_thread_start(&vt, &self->vcpu, &io));
	for (i = 0; i < ROUNDS; i++) {
		int64_t got = efd_wait(bells[i % 2].fd, 1, PATIENCE);

		EXPECT_LT(0, got);
		if (got <= 0)
			break;
		signals += got;
		EXPECT_RET(0, deassign(self, bells[i % 2]));
		EXPECT_RET(0, assign(self, bells[(i + 1) % 2]));
	}
	ASSERT_RET(0, vcpu_thread_stop(&vt));
	signals += efd_take(bells[0].fd) + efd_take(bells[1].fd);
	EXPECT_EQ(vt.writes, vt.exits + signals);
	close(bells[1].fd);
}

/* A registration that stays never misses a write, whatever happens around it */
static void steady(struct __test_metadata *_metadata,
		   FIXTURE_DATA(doorbell) *self, struct doorbell bell,
		   const struct doorbell *churn, size_t nr_churn)
{
	struct guest_io io = many_writes(self, BATCH);
	struct vcpu_thread vt;
	size_t i, j;

	ASSERT_RET(0, assign(self, bell));
	ASSERT_RET(0, vcpu_thread_start(&vt, &self->vcpu, &io));
	for (i = 0; i < ROUNDS / nr_churn; i++) {
		for (j = 0; j < nr_churn; j++)
			EXPECT_RET(0, assign(self, churn[j]));
		for (j = 0; j < nr_churn; j++)
			EXPECT_RET(0, deassign(self, churn[j]));
	}
	ASSERT_RET(0, vcpu_thread_stop(&vt));
	EXPECT_EQ(0, vt.exits);
	EXPECT_SIGNALS(vt.writes, bell.fd);
}

TEST_F(doorbell, steady_among_addresses)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	steady(_metadata, self, any_data(self, 0, 4, self->fd),
	       (struct doorbell[]){
			any_data(self, -4, 4, other),
			any_data(self, 4, 4, other),
			any_data(self, 0, 2, other),
			any_data(self, 0, 8, other),
	       }, 4);
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(doorbell, steady_among_datamatches)
{
	int other;

	ASSERT_FD(other, efd_create(0));
	steady(_metadata, self, only_data(self, 0, 4, DATA, self->fd),
	       (struct doorbell[]){
			only_data(self, 0, 4, DATA - 1, other),
			only_data(self, 0, 4, DATA + 1, other),
			only_data(self, 0, 4, DATA + 2, other),
			only_data(self, 0, 4, 0, other),
	       }, 4);
	EXPECT_SIGNALS(0, other);
	close(other);
}

/* Two registrars: of each round's two equal claims exactly one is granted */
struct registrar {
	pthread_t thread;
	pthread_barrier_t *barrier;
	const struct doorbell_api *api;
	int vm_fd;
	struct doorbell bell;
	int results[ROUNDS];
};

static void *race(void *arg)
{
	struct registrar *r = arg;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(r->barrier);
		r->results[i] = doorbell_assign(r->api, r->vm_fd, &r->bell);
		pthread_barrier_wait(r->barrier);
		if (!r->results[i])
			doorbell_deassign(r->api, r->vm_fd, &r->bell);
	}
	return NULL;
}

TEST_F(doorbell, two_registrars_one_winner)
{
	pthread_barrier_t barrier;
	struct registrar r[2];
	int i;

	ASSERT_RET(0, use_every_cpu());
	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	for (i = 0; i < 2; i++) {
		r[i] = (struct registrar){
			.barrier = &barrier, .api = self->api,
			.vm_fd = self->vm.fd,
			.bell = any_data(self, 0, 4, self->fd),
		};
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, race, &r[i]));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(r[i].thread, NULL));
	for (i = 0; i < ROUNDS; i++) {
		int won = r[1].results[i] ? 0 : 1;

		EXPECT_RET(0, r[won].results[i]);
		EXPECT_RET(-EEXIST, r[!won].results[i]);
	}
	EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	pthread_barrier_destroy(&barrier);
}

static struct timespec at_us(int64_t us)
{
	return (struct timespec){
		.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000,
	};
}

/*
 * Timers that expire all at once keep the CPU that takes them from its task, be
 * it in the midst of a search, for longer than a registration takes.
 */
#define STALL_SIGNAL	SIGRTMIN	/* which nobody takes */
#define STALL_TIMERS	40
#define STALL_REST	200	/* us, for the task on that CPU */

struct staller {
	pthread_t thread;
	bool stop;
	int stalls;
	int error;
};

static void *stall(void *arg)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = STALL_SIGNAL,
	};
	struct staller *staller = arg;
	timer_t timers[STALL_TIMERS];
	struct timespec later;
	struct itimerspec at;
	int64_t us, arming = 1000, start;
	int i;

	for (i = 0; i < STALL_TIMERS; i++) {
		if (timer_create(CLOCK_MONOTONIC, &event, &timers[i])) {
			staller->error = -errno;
			break;
		}
	}
	while (!staller->error &&
	       !__atomic_load_n(&staller->stop, __ATOMIC_ACQUIRE)) {
		start = monotonic_us();
		us = start + arming + STALL_REST;
		at = (struct itimerspec){ .it_value = at_us(us) };
		for (i = 0; i < STALL_TIMERS; i++)
			timer_settime(timers[i], TIMER_ABSTIME, &at, NULL);
		arming = monotonic_us() - start;
		later = at_us(us + STALL_REST);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &later, NULL);
		staller->stalls++;
	}
	return NULL;
}

static int on_cpu(pthread_t thread, int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return -pthread_setaffinity_np(thread, sizeof(one), &one);
}

#define STALL_MATCHES	64
#define STALL_S		1
#define STALL_S_SLOW	20

/*
 * What a vCPU searches may change at any moment, but not be written to or freed
 * before it has found what it looks for, however long that takes.
 */
static void change_under_stalls(struct __test_metadata *_metadata,
				FIXTURE_DATA(doorbell) *self, int seconds)
{
	struct doorbell lower[] = {
		only_data(self, 0, 4, 0, self->fd),
		only_data(self, 0, 4, 1, self->fd),
		any_data(self, -0x40, 4, self->fd),
	};
	struct guest_io io = many_writes(self, BATCH);
	struct staller staller = {};
	struct vcpu_thread vt;
	sigset_t unwanted;
	int other, i;
	int64_t end;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU alone");
	sigemptyset(&unwanted);
	sigaddset(&unwanted, STALL_SIGNAL);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &unwanted, NULL));
	ASSERT_FD(other, efd_create(0));
	for (i = 2; i < STALL_MATCHES; i++)
		ASSERT_RET(0, assign(self, only_data(self, 0, 4, i, other)));
	io.data = STALL_MATCHES;
	ASSERT_RET(0, assign(self, only_data(self, 0, 4, io.data, self->fd)));

	ASSERT_RET(0, vcpu_thread_start(&vt, &self->vcpu, &io));
	ASSERT_RET(0, on_cpu(vt.thread, 1));
	ASSERT_EQ(0, pthread_create(&staller.thread, NULL, stall, &staller));
	ASSERT_RET(0, on_cpu(staller.thread, 1));
	ASSERT_RET(0, on_cpu(pthread_self(), 0));
	for (end = monotonic_us() + seconds * 1000000ll; monotonic_us() < end;) {
		for (i = 0; i < ARRAY_SIZE(lower); i++)
			ASSERT_RET(0, assign(self, lower[i]));
		for (i = 0; i < ARRAY_SIZE(lower); i++)
			ASSERT_RET(0, deassign(self, lower[i]));
	}
	ASSERT_RET(0, vcpu_thread_stop(&vt));
	__atomic_store_n(&staller.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(staller.thread, NULL));
	TH_LOG("%d stalls, %llu writes", staller.stalls,
	       (unsigned long long)vt.writes);

	EXPECT_RET(0, staller.error);
	EXPECT_EQ(0, vt.exits);
	EXPECT_SIGNALS(vt.writes, self->fd);
	EXPECT_SIGNALS(0, other);
	close(other);
}

TEST_F(doorbell, changes_under_a_stalled_search)
{
	change_under_stalls(_metadata, self, STALL_S);
}

TEST_F_TIMEOUT(doorbell, changes_under_a_stalled_search_slow, 60)
{
	SKIP_UNLESS_SLOW();
	change_under_stalls(_metadata, self, STALL_S_SLOW);
}

/* The VM goes while its vCPU still runs: the vCPU keeps what it needs */
TEST_F(doorbell, vm_closed_under_a_running_vcpu)
{
	struct guest_io io = many_writes(self, BATCH);
	struct vcpu_thread vt;

	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
	ASSERT_RET(0, vcpu_thread_start(&vt, &self->vcpu, &io));
	usleep(10000);
	close(self->vm.fd);
	self->vm.fd = -1;
	usleep(10000);
	ASSERT_RET(0, vcpu_thread_stop(&vt));
	EXPECT_EQ(0, vt.exits);
	EXPECT_SIGNALS(vt.writes, self->fd);
}

TEST_HARNESS_MAIN
