// SPDX-License-Identifier: GPL-2.0-only
/*
 * line_buffered PROGRAM [ARGUMENT]... runs a program with a terminal for its
 * standard output, so that stdio writes out each line as it ends.
 *
 * Through a pipe stdio keeps what a program prints until 4 KiB are full. A
 * program that forks meanwhile has it written twice, and one that is killed
 * not at all. The kernel's runner uses stdbuf for that (kselftest/runner.sh),
 * which preloads a library; no statically linked program takes that.
 *
 * The terminal is raw and controls nothing: bytes pass as they are, and
 * standard input and standard error are the caller's. How the program ends,
 * its exit status or the signal, is how this one ends. Whatever it leaves
 * running does not keep it waiting.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int open_terminal(int *program_side)
{
	struct termios settings;
	int unlocked = 0;
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (ioctl(fd, TIOCSPTLCK, &unlocked))
		return -1;
	*program_side = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*program_side < 0 || tcgetattr(*program_side, &settings))
		return -1;
	cfmakeraw(&settings);
	if (tcsetattr(*program_side, TCSANOW, &settings))
		return -1;
	return fd;
}

static void write_all(const char *data, ssize_t size)
{
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, data, size);

		if (written < 0 && errno != EINTR)
			exit(125);
		if (written > 0) {
			data += written;
			size -= written;
		}
	}
}

/* Passes on what is there: 1, or 0 for nothing now, or -1 for no more at all. */
static int pass_on(int terminal)
{
	char data[1 << 16];
	ssize_t size = read(terminal, data, sizeof(data));

	if (size > 0)
		write_all(data, size);
	else if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return size > 0 ? 1 : -1;
}

/* Copies until the program ends, and then what it had written by then. */
static void copy(int terminal, int program)
{
	struct pollfd waits[] = {
		{ .fd = terminal, .events = POLLIN },
		{ .fd = program, .events = POLLIN },
	};

	do {
		if (poll(waits, 2, -1) < 0 && errno != EINTR)
			exit(125);
		if (waits[0].revents && pass_on(terminal) < 0)
			waits[0].fd = -1;
	} while (!waits[1].revents);

	/*
	 * n_tty_read() waits for what is under way before it says EAGAIN. A
	 * process that was left behind may write on: 256 reads give more than
	 * fits in the terminal, and with that all that came from the program.
	 */
	fcntl(terminal, F_SETFL, O_NONBLOCK);
	for (int reads = 0; reads < 256 && pass_on(terminal) > 0; reads++)
		;
}

/* ENOENT is as well what execve() says of a script whose interpreter is missing. */
static void complain(const char *program)
{
	int error = errno;
	char line[256], *interpreter;
	FILE *script = error == ENOENT ? fopen(program, "re") : NULL;

	if (!script || !fgets(line, sizeof(line), script) || strncmp(line, "#!", 2)) {
		fprintf(stderr, "%s: %s\n", program, strerror(error));
		return;
	}
	line[strcspn(line, "\n")] = '\0';
	interpreter = line + 2 + strspn(line + 2, " \t");
	interpreter[strcspn(interpreter, " \t")] = '\0';
	fprintf(stderr, "%s: its interpreter %s is missing\n", program, interpreter);
}

int main(int argc, char **argv)
{
	int terminal, program_side, program, status;
	struct rlimit none = { 0, 0 };
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: %s PROGRAM [ARGUMENT]...\n", argv[0]);
		return 125;
	}
	terminal = open_terminal(&program_side);
	pid = terminal < 0 ? 0 : fork();
	if (pid <= 0) {
		/* Without a terminal the program runs as it would alone. */
		if (terminal >= 0)
			dup2(program_side, STDOUT_FILENO);
		execv(argv[1], argv + 1);
		status = errno == ENOENT ? 127 : 126;
		complain(argv[1]);
		_exit(status);
	}
	close(program_side);
	program = syscall(SYS_pidfd_open, pid, 0);
	if (program < 0) {
		/* Before 5.3: the last one that has the terminal open ends it. */
		while (pass_on(terminal) >= 0)
			;
	} else {
		copy(terminal, program);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		/* One dump of the core is enough. */
		setrlimit(RLIMIT_CORE, &none);
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}
