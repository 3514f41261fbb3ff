/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A case with one thread has nothing to gain from a second CPU. What KVM makes it
 * wait for, a grace period above all, is then done where it waits, and not by
 * kernel threads elsewhere: each hand-over to another CPU costs an interrupt, which
 * an emulated machine has to work for. Cases about several threads ask for all CPUs.
 */
#ifndef KSELFTESTS_CPUS_H
#define KSELFTESTS_CPUS_H

/* Keep the calling thread, and what it starts, on the first CPU it may use */
void stay_on_one_cpu(void);

/* Give it back what it had before stay_on_one_cpu(); 0 or -errno */
int use_every_cpu(void);

/*
 * Keep the CPU to the calling thread until release_cpu(), or until it sleeps: whom it
 * wakes there, work items among them, has to wait, so that several things are done
 * before anybody sees the first. 0 or -errno
 */
int hold_cpu(void);
int release_cpu(void);

#endif /* KSELFTESTS_CPUS_H */
