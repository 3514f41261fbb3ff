"""A machine whose QEMU is a file that a test writes to."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, MachineLostError, UserError
from toolkit.core.model.machine import Accelerator, MachineSpec
from toolkit.vm import machine
from toolkit.vm.machine import Machine

BOOT = b"[    0.5] Linux version\n[    1.0] Run /init as init process\ntoolkit: ready\n"


class FakeChild:
    """A child process that runs until the test says how it ended."""

    def __init__(self) -> None:
        self.pid = 1  # no child of the tests
        self.status: int | None = None

    def poll(self) -> int | None:
        return self.status


class Qemu:
    def __init__(self, folder: Path) -> None:
        self.child = FakeChild()
        self.console = folder / "console.log"
        self.console.touch()
        spec = MachineSpec(
            binary="qemu",
            accelerator=Accelerator("tcg", "max", "asked for"),
            machine_type="q35",
            memory_mib=1,
            cpus=1,
            kernel=folder,
            initrd=None,
            disk=None,
            cmdline=("console=ttyS0", "foo"),
            devices=(),
            fw_cfg={},
            console_log=self.console,
            qmp_socket=folder,
        )
        self.machine = Machine(spec, cast("Any", self.child), cast("Any", None), 1)

    def prints(self, text: bytes) -> None:
        with self.console.open("ab") as file:
            file.write(text)

    def end(self) -> None:
        self.child.status = 0
        self.machine.settle()


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    made = Qemu(tmp_path)
    yield made
    made.end()


def until(true: Callable[[], object]) -> None:
    limit = Deadline.after(20)
    while not true():
        limit.check("the console's thread")
        time.sleep(0.005)


def test_a_machine_is_ready_once_its_image_says_so(qemu: Qemu) -> None:
    qemu.prints(BOOT)
    qemu.machine.wait_ready(Deadline.after(20))
    assert qemu.machine.dead() == ""


@contextlib.contextmanager
def running(qemu: Qemu) -> Iterator[subprocess.Popen[bytes]]:
    """Have QEMU be a process that does nothing."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        qemu.child.pid = child.pid
        yield child
    finally:
        child.kill()
        child.wait()


def test_the_time_that_qemu_was_stopped_is_known(qemu: Qemu) -> None:
    assert qemu.machine.stopped() == 0.0
    with running(qemu) as child:
        for _ in range(2):
            before = qemu.machine.stopped()
            child.send_signal(signal.SIGSTOP)
            until(lambda before=before: qemu.machine.stopped() > before + 0.2)  # type: ignore[misc]
            child.send_signal(signal.SIGCONT)
            until(lambda: qemu.machine.stopped() == qemu.machine.stopped())
    assert qemu.machine.stopped() == qemu.machine.stopped() > 0.4


def test_a_console_without_the_kernels_messages_is_not_trusted(qemu: Qemu) -> None:
    qemu.prints(b"toolkit: ready\n")
    with pytest.raises(
        UserError, match="does not show the kernel's messages of KERN_INFO"
    ) as caught:
        qemu.machine.wait_ready(Deadline.after(20))
    assert caught.value.hint == "the command line is: console=ttyS0 foo"


def test_a_kernel_that_says_nothing_has_not_come_up(qemu: Qemu) -> None:
    with pytest.raises(BootError, match="did not come up"):
        qemu.machine.wait_ready(Deadline.after(0.1))


@contextlib.contextmanager
def stopped(qemu: Qemu) -> Iterator[None]:
    """Have QEMU be a process that is stopped."""
    with running(qemu) as child:
        child.send_signal(signal.SIGSTOP)
        until(lambda: qemu.machine.stopped() > 0)
        yield


def test_a_machine_that_was_stopped_all_the_time_says_nothing_of_its_kernel(qemu: Qemu) -> None:
    with (
        stopped(qemu),
        pytest.raises(MachineLostError, match=r"was stopped \(SIGSTOP\) for . s while it booted"),
    ):
        qemu.machine.wait_ready(Deadline.after(0.2))


def test_a_machine_that_was_stopped_has_as_much_time_for_its_boot(qemu: Qemu) -> None:
    with stopped(qemu):
        threading.Timer(0.3, qemu.prints, [BOOT]).start()
        limit = Deadline.after(5)
        clock = time.monotonic()
        qemu.machine.wait_ready(replace(limit, at=limit.at - 5 + 0.2))
    assert time.monotonic() - clock >= 0.25


def test_an_end_of_qemu_is_its_own_unless_the_kernel_asked_for_it(qemu: Qemu) -> None:
    qemu.child.status = -9
    assert not qemu.machine.kernel_ended()
    with pytest.raises(MachineLostError, match="killed by signal 9 while the kernel booted"):
        qemu.machine.wait_ready(Deadline.after(20))
    qemu.child.status = 0
    assert qemu.machine.kernel_ended()


def test_a_console_has_a_bound_on_the_hosts_disk(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CONSOLE_LIMIT", 3 << 20)
    qemu.prints(b"flood\n" * (1 << 20))
    until(qemu.machine.dead)
    assert qemu.machine.dead() == "more than 3 MiB came up on the console"
    assert qemu.machine.kernel_ended()
    with pytest.raises(BootError, match="more than 3 MiB came up on the console while"):
        qemu.machine.wait_ready(Deadline.after(20))
