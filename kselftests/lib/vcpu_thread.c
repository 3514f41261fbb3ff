// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu_thread.h"

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

int vcpu_thread_start(struct vcpu_thread *vt, struct vcpu *vcpu,
		      const struct guest_io *io)
{
	*vt = (struct vcpu_thread){ .vcpu = vcpu, .io = *io };
	return -pthread_create(&vt->thread, NULL, run, vt);
}

int vcpu_thread_stop(struct vcpu_thread *vt)
{
	int ret;

	__atomic_store_n(&vt->stop, true, __ATOMIC_RELEASE);
	ret = -pthread_join(vt->thread, NULL);
	return ret ? ret : vt->error;
}
