// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forks with output that it has not flushed: through a pipe, and with a child
 * that leaves by exit(), stdio would write it twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	printf("TAP version 13\n1..3\nok 1 before\n");
	for (int child = 0; child < 20; child++) {
		if (!fork())
			exit(0);
		wait(NULL);
	}
	printf("%s %d one line each\n", isatty(STDOUT_FILENO) ? "ok" : "not ok", 2);
	printf("%s %d errors apart\n", isatty(STDERR_FILENO) ? "not ok" : "ok", 3);
	fprintf(stderr, "to standard error\n");
	return 0;
}
