// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "bound.h"
#include "cpus.h"
#include "worker.h"

#define PATIENCE	8000	/* ms */

static void interrupted(int signal)
{
	(void)signal;
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	pthread_mutex_lock(&worker->mutex);
	while (!worker->end) {
		if (worker->task) {
			int (*task)(void *arg) = worker->task;
			int result;

			pthread_mutex_unlock(&worker->mutex);
			result = task(worker->arg);
			pthread_mutex_lock(&worker->mutex);
			worker->result = result;
			worker->task = NULL;
			pthread_cond_broadcast(&worker->changed);
			continue;
		}
		pthread_cond_wait(&worker->changed, &worker->mutex);
	}
	pthread_mutex_unlock(&worker->mutex);
	return NULL;
}

int worker_start(struct worker *worker)
{
	/* Without SA_RESTART, so that it ends KVM_RUN */
	const struct sigaction action = { .sa_handler = interrupted };
	int ret;

	*worker = (struct worker){ .result = 0 };
	if (sigaction(SIGUSR1, &action, NULL))
		return -errno;
	ret = use_every_cpu();
	if (ret)
		return ret;
	pthread_mutex_init(&worker->mutex, NULL);
	pthread_cond_init(&worker->changed, NULL);
	return -pthread_create(&worker->thread, NULL, work, worker);
}

void worker_begin(struct worker *worker, int (*task)(void *arg), void *arg)
{
	pthread_mutex_lock(&worker->mutex);
	worker->task = task;
	worker->arg = arg;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->mutex);
}

static void in_ms(int ms, struct timespec *until)
{
	clock_gettime(CLOCK_REALTIME, until);
	until->tv_sec += ms / 1000;
	until->tv_nsec += ms % 1000 * 1000000;
	if (until->tv_nsec >= 1000000000) {
		until->tv_nsec -= 1000000000;
		until->tv_sec++;
	}
}

bool worker_is_done_within(struct worker *worker, int ms)
{
	struct timespec until;
	bool done;
	int ret = 0;

	in_ms(ms, &until);
	pthread_mutex_lock(&worker->mutex);
	while (worker->task && !ret)
		ret = pthread_cond_timedwait(&worker->changed, &worker->mutex,
					     &until);
	done = !worker->task;
	pthread_mutex_unlock(&worker->mutex);
	return done;
}

int worker_end(struct worker *worker)
{
	return worker_is_done_within(worker, PATIENCE) ? worker->result
						       : -ETIMEDOUT;
}

int worker_do(struct worker *worker, int (*task)(void *arg), void *arg)
{
	worker_begin(worker, task, arg);
	return worker_end(worker);
}

int worker_interrupt(struct worker *worker)
{
	return -pthread_kill(worker->thread, SIGUSR1);
}

int worker_stop(struct worker *worker)
{
	struct timespec until;

	pthread_mutex_lock(&worker->mutex);
	worker->end = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->mutex);
	in_ms(PATIENCE, &until);
	return -pthread_timedjoin_np(worker->thread, NULL, &until);
}

int worker_bind(void *fd)
{
	return bind_fd(*(int *)fd);
}

int worker_unbind(void *fd)
{
	return unbind_fd(*(int *)fd);
}

int worker_bound_works(void *vcpu)
{
	return bound_works(vcpu);
}

int worker_kvm_run_works(void *vcpu)
{
	return kvm_run_works(vcpu);
}

int worker_run(void *unused)
{
	(void)unused;
	return kvm_vcpu_run(0);
}

int worker_check(void *cap)
{
	return bound_check_extension(*(long *)cap);
}
