// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "peer.h"
#include "run.h"

#define INTERRUPT	SIGUSR1

static void interrupted(int signal)
{
	(void)signal;
}

/* Where user space puts what the guest reads */
static void *exit_data(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_MMIO)
		return run->mmio.data;
	return (uint8_t *)run + run->io.data_offset;
}

static void note_exit(struct run *run, const struct guest_exit *exit)
{
	if (!exit->is_write)
		memcpy(exit_data(run->vcpu), &run->io.data,
		       exit->len < 8 ? exit->len : 8);
	if (run->nr_exits < RUN_EXITS) {
		run->exits[run->nr_exits] = *exit;
		run->flags[run->nr_exits] = run->vcpu->run->flags;
	}
	run->nr_exits++;
}

static void *run_vcpu(void *arg)
{
	struct run *run = arg;
	struct guest_exit exit;
	int ret;

	for (;;) {
		ret = vcpu_run(run->vcpu, &exit);
		if (ret == GUEST_EXIT) {
			note_exit(run, &exit);
			continue;
		}
		if (ret == -EINTR) {
			run->interruptions++;
			if (run->keep_going)
				continue;
		}
		break;
	}
	__atomic_store_n(&run->result, ret, __ATOMIC_RELEASE);
	if (vcpu_read_data(run->vcpu, &run->rax))
		run->rax = 0;
	return NULL;
}

int run_resume(struct run *run)
{
	run->result = -EINPROGRESS;
	return -pthread_create(&run->thread, NULL, run_vcpu, run);
}

int run_start(struct run *run, struct vcpu *vcpu, const struct guest_io *io)
{
	/* Without SA_RESTART, so that it ends KVM_RUN */
	const struct sigaction action = { .sa_handler = interrupted };
	bool keep_going = run->keep_going;
	int ret;

	*run = (struct run){ .vcpu = vcpu, .io = *io, .keep_going = keep_going };
	if (sigaction(INTERRUPT, &action, NULL))
		return -errno;
	ret = vcpu_start(vcpu, io);
	return ret ? ret : run_resume(run);
}

int run_signal(struct run *run)
{
	return -pthread_kill(run->thread, INTERRUPT);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

bool run_ends_within(struct run *run, int ms)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	int64_t until = now_ms() + ms;

	while (__atomic_load_n(&run->result, __ATOMIC_ACQUIRE) == -EINPROGRESS) {
		if (now_ms() >= until)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

int run_end(struct run *run)
{
	struct timespec until;
	int ret;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE / 1000;
	ret = -pthread_timedjoin_np(run->thread, NULL, &until);
	return ret ? ret : run->result;
}

int run_interrupt(struct run *run)
{
	int64_t until = now_ms() + PATIENCE;
	int ret;

	while (now_ms() < until) {
		ret = run_signal(run);
		if (ret || run_ends_within(run, 2))
			return ret;
	}
	return -ETIMEDOUT;
}
