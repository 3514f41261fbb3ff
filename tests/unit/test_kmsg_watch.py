"""What a selftest takes for a line that its case caused: ``kselftests/lib/kmsg.c``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LIB = Path(__file__).parents[2] / "kselftests/lib"

# /dev/kmsg gives a record for each read; so does a pipe that is opened for packets.
SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int records;

static int open_records(const char *path, int flags)
{
	(void)path;
	(void)flags;
	return records;
}

static off_t seek_end(int fd, off_t offset, int whence)
{
	(void)fd;
	(void)whence;
	return offset;
}

#define open open_records
#define lseek seek_end
#include "kmsg.c"

int main(int argc, char **argv)
{
	struct kmsg_watch watch;
	char line[256];
	int fds[2], i;

	if (pipe2(fds, O_DIRECT | O_NONBLOCK))
		return 2;
	records = fds[0];
	if (kmsg_start(&watch))
		return 3;
	kmsg_announce(&watch, "announced");
	for (i = 1; i < argc; i++)
		if (write(fds[1], argv[i], strlen(argv[i])) < 0)
			return 4;
	while ((i = kmsg_next(&watch, line, sizeof(line))) == 1)
		puts(line);
	return i ? 5 : 0;
}
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kmsg")
    (folder / "watch.c").write_text(SOURCE)
    argv = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{LIB}"]
    subprocess.run([*argv, "-o", folder / "watch", folder / "watch.c"], check=True)
    return folder / "watch"


def surprises(watch: Path, *records: str) -> list[str]:
    ran = subprocess.run([watch, *records], check=True, capture_output=True, text=True)
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "hrtimer: interrupt took 20031104 ns",
        "clocksource: Switched to clocksource tsc",
        "tsc: Refined TSC clocksource calibration: 2000.011 MHz",
        # seen on a busy host, in the middle of a case: the clocksource watchdog took the TSC away
        "tsc: Marking TSC unstable due to clocksource watchdog",
        "TSC found unstable after boot, most likely due to broken BIOS. Use 'tsc=unstable'.",
        "sched_clock: Marking unstable (14412457205, 317142172)<-(18924988316, -4195387962)",
        "perf: interrupt took too long (2507 > 2500), lowering "
        "kernel.perf_event_max_sample_rate to 79000",
        "input: AT Translated Set 2 keyboard as /devices/platform/i8042/serio0/input/input0",
        # seen in a case on 6.1, whose machine had been restored half a second before
        "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
        "random: crng init done",
        "random: 7 urandom warning(s) missed due to ratelimiting",
        "kvm: user requested TSC rate below hardware speed",
        "a line that was announced before",
    ],
)
def test_what_the_machine_says_of_itself_is_no_surprise(watch: Path, text: str) -> None:
    assert surprises(watch, f"6,412,1234567,-;{text}") == []


@pytest.mark.parametrize(
    "text",
    [
        "kvm: iosignalfd: no memory",
        "IPv6: kvm",
        "sched_clock: Marking",
        "a tsc: Refined TSC clocksource is not at the beginning",
        "WARNING: CPU: 0 PID: 1 at virt/kvm/eventfd.c:1 f+0x1/0x2 [kvm]",
    ],
)
def test_any_other_line_of_the_kernel_is(watch: Path, text: str) -> None:
    noise = "6,411,1234,-;random: crng init done"
    more = "30,413,1236,-;a line of user space"  # facility 3: daemon
    record = f"4,412,1235,-;{text}\n SUBSYSTEM=pci\n"
    assert surprises(watch, noise, record, more) == [text]
