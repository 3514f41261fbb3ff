"""Every fault that needs a machine, injected into a real run: docs/faults.md.

Each row is a run of one program of a suite that is written here, or of the selfcheck suite with a
seeded series. After the last row of a group a run without a fault must be good.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests import fault_table
from tests.fault_table import Fault
from tests.vm.conftest import DATA, PROJECT, Ended, Started, Toolkit

SECTION = "On real machines"
FAULTS: list[Fault] = []
host = functools.partial(fault_table.fault, FAULTS, "host")
qemu = functools.partial(fault_table.fault, FAULTS, "QEMU")
kernel = functools.partial(fault_table.fault, FAULTS, "guest kernel")
user_land = functools.partial(fault_table.fault, FAULTS, "guest user land")
cache = functools.partial(fault_table.fault, FAULTS, "cache")

SELFCHECK = DATA / "kselftests/selfcheck"
_TIMEOUT = 8  # seconds that a program of the suite gets
# The programs of the suite that is written here, as scripts of a guest's shell.
PROGRAMS = {
    "pass": "echo 1..1; echo ok 1 fine",
    "wait": "echo 1..1; echo '# waiting'; sleep 4; echo ok 1 waited",
    "panic": "echo 1..2; echo ok 1 before; echo c >/proc/sysrq-trigger; sleep 9",
    "reboot": "echo 1..2; echo ok 1 before; reboot -f; sleep 9",
    "poweroff": "echo 1..2; echo ok 1 before; poweroff -f; sleep 9",
    "sshd": "echo 1..2; echo ok 1 before; killall -9 dropbear; sleep 9",
    "segv": "echo 1..2; echo ok 1 before; kill -SEGV $$",
    "killed": "echo 1..2; echo ok 1 before; kill -KILL $$",
    "hang": "echo 1..2; echo ok 1 before; sleep 60; echo ok 2 after",
    "silent": "exit 0",
    "words": "echo hello, world",
    "short": "echo 1..3; echo ok 1 first; echo ok 2 second",
    "lies": "echo 1..1; echo ok 1 fine; exit 1",
    "bails": "echo 1..2; echo ok 1 before; echo Bail out! no more",
    "skips": "echo '1..0 # SKIP no such device'; exit 4",
    "lines": "echo 1..1; yes",
    "flood": "echo 1..1; tr '\\0' x </dev/zero",
    "forges": "echo 1..1; echo '<4>WARNING: CPU: 0 PID: 1 at fs/x.c:1 f+0x1/0x2' >/dev/kmsg; "
    "echo ok 1 fine",
    "escapes": "echo 1..1; printf 'ok 1 \\033]0;pwned\\007\\033[2J\\n'",
    "full": "echo 1..1; dd if=/dev/zero of=/tmp/x bs=1M count=4000 2>/dev/null; rm -f /tmp/x; "
    "echo ok 1 after",
    "closes": "echo 1..1; exec >&- 2>&-; sleep 1; echo ok 1 unseen",
    "child": "echo 1..1; sleep 600 & echo ok 1 left a child",
}


class Bench:
    """A root with the suite, and the toolkit to run it with."""

    def __init__(self, toolkit: Toolkit, root: Path, seeded: Path) -> None:
        self.toolkit = toolkit
        self.root = root
        self.seeded = seeded

    def start(self, program: str, *words: str, **more: Any) -> Started:
        """Start a run of one program."""
        wanted = ("build-and-test", "--suite", "faulty", "--test", f"{program}.sh", *words)
        return self.toolkit.start(*wanted, root=self.root, **more)

    def run(self, program: str, *words: str, **more: Any) -> Ended:
        """Do the same, and wait for its end."""
        return self.start(program, *words, **more).finish()

    def series(self, name: str) -> Ended:
        """Run the selfcheck suite's ioctl_test on a kernel with a fault."""
        words = ("build-and-test", "--patch", str(DATA / "series" / name), "--suite", "selfcheck")
        return self.toolkit.run(*words, "--test", "ioctl_test", root=self.seeded)

    def signalled(
        self, number: int, *names: str, seconds: float = 0.0, program: str = "wait"
    ) -> Ended:
        """Send the processes called one of ``names`` a signal while a program waits."""
        started = self.start(program)
        self.until_it_waits(started)
        self.send(number, *names)
        if seconds:
            time.sleep(seconds)
            self.send(signal.SIGCONT, *names)
        return started.finish()

    def until_it_waits(self, started: Started) -> None:
        """Wait until the program has a machine; it stays there for some seconds."""
        started.wait_for("test ...")
        console = started.folder / "machines/1/console.log"
        while not console.exists() or b"crng reseeded" not in console.read_bytes():
            assert started.process.poll() is None, started.err.read_text()
            time.sleep(0.05)
        time.sleep(1.5)

    def send(self, number: int, *names: str) -> None:
        """Send a signal to those of this test's processes."""
        pids = [pid for name in names for pid in self.toolkit.processes(name)]
        assert pids, names
        for pid in pids:
            os.kill(pid, number)

    def fresh(self) -> tuple[str, str]:
        """Return options with which a machine is booted that nobody has saved."""
        return ("--append", f"toolkit_test={self.toolkit.mark}")

    def check_good(self) -> None:
        """Fail if a run without a fault does not pass."""
        ended = self.run("pass")
        assert ended.code == 0, ended
        assert ended.statuses() == {"faulty/pass.sh/fine": "pass"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    suite = root / "kselftests/faulty"
    suite.mkdir(parents=True)
    (root / "patches").mkdir()
    (root / "vm-images").symlink_to(PROJECT / "vm-images")
    names = " ".join(f"{name}.sh" for name in PROGRAMS)
    (suite / "Makefile").write_text(f"TEST_PROGS := {names}\ninclude $(KSFT)/lib.mk\n")
    (suite / "settings").write_text(f"timeout={_TIMEOUT}\n")
    # The same needs, so that no other kernel is built.
    for options in SELFCHECK.glob("config*"):
        (suite / options.name).write_bytes(options.read_bytes())
    for name, script in PROGRAMS.items():
        (suite / f"{name}.sh").write_text(f"#!/bin/sh\necho TAP version 13\n{script}\n")
        (suite / f"{name}.sh").chmod(0o755)
    (suite / "words.sh").write_text(f"#!/bin/sh\n{PROGRAMS['words']}\n")
    (suite / "silent.sh").write_text(f"#!/bin/sh\n{PROGRAMS['silent']}\n")
    return root


# --- host ------------------------------------------------------------------------------------


@host("^C while a test runs", code=130, words="interrupted")
def interrupt(bench: Bench) -> Ended:
    return _toolkit_gets(bench, signal.SIGINT)


@host("SIGTERM while a test runs", code=130, words="interrupted")
def terminate(bench: Bench) -> Ended:
    return _toolkit_gets(bench, signal.SIGTERM)


@host("SIGKILL while a test runs", code=-9)
def kill(bench: Bench) -> Ended:
    return _toolkit_gets(bench, signal.SIGKILL)


@host("SIGKILL while a machine boots that is to be saved", code=-9)
def kill_at_boot(bench: Bench) -> Ended:
    started = bench.start("wait", *bench.fresh())
    started.wait_for("boot ...")
    time.sleep(1)
    started.process.kill()
    return started.finish()


@host("the toolkit is stopped (^Z) for three seconds while a test runs", code=0)
def suspended(bench: Bench) -> Ended:
    started = bench.start("wait")
    bench.until_it_waits(started)
    started.process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    started.process.send_signal(signal.SIGCONT)
    return started.finish()


def _toolkit_gets(bench: Bench, number: signal.Signals) -> Ended:
    started = bench.start("wait")
    bench.until_it_waits(started)
    started.process.send_signal(number)
    return started.finish()


@host("the disk of the run folder is full", code=3, words="space")
def full_run_folder(bench: Bench) -> Ended:
    return _small(bench, bench.toolkit.tmp / "run1", "size=32k")


@host("the disk of TMPDIR is full, and that of /tmp is not", code=0)
def full_tmpdir(bench: Bench) -> Ended:
    folder = bench.toolkit.tmp / "t"
    return _small(bench, folder, "nr_inodes=1", TMPDIR=str(folder))


def _small(bench: Bench, folder: Path, options: str, **env: str) -> Ended:
    """Run with a small file system at ``folder``; the reports lie in it and are copied out."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system of its own")
    folder.mkdir()
    copy = bench.toolkit.tmp / "copy"
    script = (
        f"mount -t tmpfs -o {options} none {folder} || exit 99\n"
        f'"$@"; code=$?; cp {folder}/result.json {copy} 2>/dev/null; exit $code'
    )
    ended = bench.run("pass", wrapper=["unshare", "--mount", "/bin/sh", "-c", script, "sh"], **env)
    assert not copy.exists() or '"exit_code": 3' in copy.read_text(), copy.read_text()
    return ended


# --- QEMU ------------------------------------------------------------------------------------


@qemu("it is killed (SIGKILL) while a test runs", code=3, words="killed by signal 9")
def killed_in_test(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGKILL, "qemu-system")


@qemu("it is ended (SIGTERM) while a test runs", code=3, words="was ended by signal 15")
def ended_in_test(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGTERM, "qemu-system")


@qemu("it crashes (SIGSEGV) while a test runs", code=3, words="killed by signal 11")
def crashes_in_test(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGSEGV, "qemu-system")


@qemu("it is stopped (SIGSTOP) for a second while a test runs", code=0)
def stopped_for_a_second(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGSTOP, "qemu-system", seconds=1)


@qemu("it is stopped (SIGSTOP) for a second while a test runs that does not end", code=1)
def stopped_and_hanging(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGSTOP, "qemu-system", seconds=1, program="hang")


@qemu("it is stopped (SIGSTOP) for as long as the test may take", code=0)
def stopped_for_the_time_out(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGSTOP, "qemu-system", seconds=_TIMEOUT - 1)


@qemu("it is stopped (SIGSTOP) for twice as long", code=3, words="was stopped")
def stopped_too_long(bench: Bench) -> Ended:
    return bench.signalled(signal.SIGSTOP, "qemu-system", seconds=2 * _TIMEOUT + 2)


@qemu("it is killed (SIGKILL) while the kernel boots", code=3, words="killed by signal 9")
def killed_at_boot(bench: Bench) -> Ended:
    return _at_boot(bench, signal.SIGKILL)


@qemu("it is ended (SIGTERM) while the kernel boots", code=3, words="was ended by signal 15")
def ended_at_boot(bench: Bench) -> Ended:
    return _at_boot(bench, signal.SIGTERM)


def _at_boot(bench: Bench, number: int) -> Ended:
    started = bench.start("wait", *bench.fresh())
    started.wait_for("boot ...")
    end = time.monotonic() + 30
    while not bench.toolkit.processes("qemu-system") and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.5)
    bench.send(number, "qemu-system")
    return started.finish()


# --- guest kernel ----------------------------------------------------------------------------


@kernel("it panics before init starts", code=1, words="no init today")
def panics_at_boot(bench: Bench) -> Ended:
    return bench.series("panic-at-boot")


@kernel("it finds no init (--append rdinit=/nowhere)", code=1, words="died while booting")
def no_init(bench: Bench) -> Ended:
    return bench.run("pass", "--append", "rdinit=/nowhere")


@kernel("it has too little memory (--append mem=24M)", code=1)
def little_memory(bench: Bench) -> Ended:
    return bench.run("pass", "--append", "mem=24M")


@kernel("it is to say little on its console (--append quiet)", code=2, words="quiet")
def quiet(bench: Bench) -> Ended:
    return bench.run("pass", "--append", "quiet")


@kernel("it panics in a test", code=1, words="sysrq triggered crash")
def panics(bench: Bench) -> Ended:
    return bench.run("panic")


@kernel("it reboots in a test", code=1)
def reboots(bench: Bench) -> Ended:
    return bench.run("reboot")


@kernel("it powers off in a test", code=1)
def powers_off(bench: Bench) -> Ended:
    return bench.run("poweroff")


@kernel("it never returns from an ioctl", code=1)
def loops(bench: Bench) -> Ended:
    return bench.series("loop-in-ioctl")


@kernel("it warns in a test that passes", code=1, words="WARNING")
def warns(bench: Bench) -> Ended:
    return bench.series("warn-in-ioctl")


@kernel("it follows a wild pointer in a test", code=1, words="NULL pointer")
def oopses(bench: Bench) -> Ended:
    return bench.series("oops-in-ioctl")


@kernel("its module warns when it is loaded", code=1, words="WARNING")
def warns_at_load(bench: Bench) -> Ended:
    return _as_kvm_loads(bench, "WARN_ON(1);")


@kernel("it refuses its module", code=1, words="refuses its module kvm_amd: Invalid argument")
def refuses_module(bench: Bench) -> Ended:
    return _as_kvm_loads(bench, "return -EINVAL;")


@kernel("its module says that the machine is not for it", code=3, words="module on this machine")
def wrong_machine(bench: Bench) -> Ended:
    return _as_kvm_loads(bench, "return -EOPNOTSUPP;")


def _as_kvm_loads(bench: Bench, line: str) -> Ended:
    return bench.run("pass", "--patch", str(as_kvm_loads(bench.toolkit.tmp / "series", line)))


def as_kvm_loads(folder: Path, line: str) -> Path:
    """Make and return the folder of a series whose kernel runs a line of C while it loads KVM."""
    folder.mkdir()
    diff = (
        "diff --git a/virt/kvm/eventfd.c b/virt/kvm/eventfd.c\n"
        "--- a/virt/kvm/eventfd.c\n+++ b/virt/kvm/eventfd.c\n"
        f"@@ -677,6 +677,7 @@\n int kvm_irqfd_init(void)\n {{\n+\t{line}\n"
        ' \tirqfd_cleanup_wq = alloc_workqueue("kvm-irqfd-cleanup", 0, 0);\n'
        " \tif (!irqfd_cleanup_wq)\n \t\treturn -ENOMEM;\n \n"
    )
    (patch,) = (DATA / "series/warn-in-ioctl").glob("*.patch")
    head, _, _ = patch.read_text().partition("\n---\n")
    (folder / "0001-line.patch").write_text(f"{head}\n---\n\n{diff}")
    return folder


# --- guest user land -------------------------------------------------------------------------


@user_land("a program kills the SSH server", code=1)
def kills_sshd(bench: Bench) -> Ended:
    return bench.run("sshd")


@user_land("a program gets SIGSEGV", code=1, words="SEGV")
def segv(bench: Bench) -> Ended:
    return bench.run("segv")


@user_land("a program gets SIGKILL", code=1, words="KILL")
def killed(bench: Bench) -> Ended:
    return bench.run("killed")


@user_land("a program does not end", code=1, words="TIMEOUT")
def hangs(bench: Bench) -> Ended:
    return bench.run("hang")


@user_land("a program reports nothing", code=1)
def silent(bench: Bench) -> Ended:
    return bench.run("silent")


@user_land("a program prints words that are no TAP", code=1)
def words(bench: Bench) -> Ended:
    return bench.run("words")


@user_land("a program reports less than it planned", code=1)
def short(bench: Bench) -> Ended:
    return bench.run("short")


@user_land("a program reports a pass and exits with 1", code=1)
def lies(bench: Bench) -> Ended:
    return bench.run("lies")


@user_land("a program bails out", code=1)
def bails(bench: Bench) -> Ended:
    return bench.run("bails")


@user_land("every program skips", code=1, words="no such device")
def skips(bench: Bench) -> Ended:
    return bench.run("skips")


@user_land("a program prints lines without end", code=1)
def many_lines(bench: Bench) -> Ended:
    return bench.run("lines")


@user_land("a program prints one line without end", code=1)
def long_line(bench: Bench) -> Ended:
    return bench.run("flood")


@user_land("a program forges a warning of the kernel", code=1, words="WARNING")
def forges(bench: Bench) -> Ended:
    return bench.run("forges")


@user_land("a program names a case with escape sequences", code=0)
def escapes(bench: Bench) -> Ended:
    ended = bench.run("escapes")
    assert "\033]" not in ended.out + ended.err
    return ended


@user_land("a program fills the guest's file system, which is its memory", code=0)
def fills_memory(bench: Bench) -> Ended:
    return bench.run("full")


@user_land("a program closes its output before it has reported", code=1)
def closes(bench: Bench) -> Ended:
    return bench.run("closes")


@user_land("a program leaves a child behind", code=0)
def leaves_a_child(bench: Bench) -> Ended:
    return bench.run("child")


# --- cache -----------------------------------------------------------------------------------


@cache("a saved machine's memory is damaged", code=0, words="a saved machine is damaged")
def damaged_machine(bench: Bench) -> Ended:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    snapshots = home / "kernel-toolkit/snapshot"
    before = set(snapshots.glob("*/memory"))
    first = bench.run("pass", *bench.fresh())
    assert first.code == 0, first
    saved = set(snapshots.glob("*/memory")) - before
    assert saved
    for memory in saved:
        with memory.open("r+b") as file:
            file.seek(64 << 20)
            file.write(b"damage")
    return bench.run("pass", *bench.fresh())


@pytest.mark.parametrize("fault", fault_table.ordered(FAULTS), ids=lambda fault: fault.name)
def test_a_fault(toolkit: Toolkit, faulty: Path, seeded: Path, fault: Fault) -> None:
    bench = Bench(toolkit, faulty, seeded)
    line = fault_table.row(fault, fault.inject(bench))
    fault_table.wait_until(lambda: not toolkit.processes(), "processes are left")
    if fault is [each for each in FAULTS if each.group == fault.group][-1]:
        bench.check_good()
    fault_table.check(SECTION, line, FAULTS)


def test_the_page_has_these_faults_and_no_other() -> None:
    names = [(fault.group, fault.done) for fault in fault_table.ordered(FAULTS)]
    assert [fault_table.name(line) for line in fault_table.section(SECTION)] == names
