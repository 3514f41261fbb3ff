// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "cpus.h"
#include "vcpu_thread.h"

#define PATIENCE	8	/* s for what takes a fraction of one */
#define KICK		SIGUSR1

static void *run(void *arg)
{
	struct vcpu_thread *vt = arg;
	int exits;

	do {
		exits = guest_do(vt->vcpu, &vt->io, NULL, 0);
		if (exits < 0) {
			vt->error = exits;
			break;
		}
		vt->exits += exits;
		vt->writes += vt->io.times ? vt->io.times : 1;
	} while (!__atomic_load_n(&vt->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

static void kicked(int signal)
{
	(void)signal;
}

int vcpu_thread_start(struct vcpu_thread *vt, struct vcpu *vcpu,
		      const struct guest_io *io)
{
	/* Without SA_RESTART, so that it ends KVM_RUN */
	const struct sigaction action = { .sa_handler = kicked };
	int ret;

	*vt = (struct vcpu_thread){ .vcpu = vcpu, .io = *io };
	if (sigaction(KICK, &action, NULL))
		return -errno;
	ret = use_every_cpu();
	if (ret)
		return ret;
	return -pthread_create(&vt->thread, NULL, run, vt);
}

static int join(struct vcpu_thread *vt)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	return -pthread_timedjoin_np(vt->thread, NULL, &until);
}

/* Get a vCPU out of its guest, and say where it was there */
static void kick(struct vcpu_thread *vt)
{
	char where[80];

	vt->vcpu->run->immediate_exit = 1;
	pthread_kill(vt->thread, KICK);
	if (join(vt)) {
		printf("# a vCPU does not leave the kernel\n");
	} else {
		vcpu_where(vt->vcpu, where, sizeof(where));
		printf("# a vCPU does not end its writes: %s, of %llu\n",
		       where, (unsigned long long)vt->io.times);
	}
	fflush(stdout);
}

int vcpu_thread_stop(struct vcpu_thread *vt)
{
	int ret;

	__atomic_store_n(&vt->stop, true, __ATOMIC_RELEASE);
	ret = join(vt);
	if (ret == -ETIMEDOUT)
		kick(vt);
	return ret ? ret : vt->error;
}
