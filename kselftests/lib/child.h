/* SPDX-License-Identifier: GPL-2.0-only */
/* Another process in a case, and descriptors on their way to it. */
#ifndef KSELFTESTS_CHILD_H
#define KSELFTESTS_CHILD_H

#include <stddef.h>
#include <sys/types.h>

/* A child that does not outlive the case, and may run at the same time; see fork() */
pid_t fork_child(void);

/* How it ended: its exit status, or minus the signal that killed it; 255 if unknown */
int wait_child(pid_t pid);

/* Send @size bytes with the descriptor @fd, @flags as in sendmsg(); 0 or -errno */
int send_fd(int sock, const void *data, size_t size, int fd, int flags);

/* Receive one byte with a descriptor, and return that, or -errno */
int receive_fd(int sock);

#endif /* KSELFTESTS_CHILD_H */
