from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    BootError,
    DeadlineError,
    InfrastructureError,
    MachineLostError,
    UserError,
)
from toolkit.formats.kernel_log import MARK
from toolkit.host import process
from toolkit.vm import coldplug
from toolkit.vm.ssh import CommandResult

ALIASES = """# Aliases extracted from modules themselves.
alias cpu:type:x86,ven*fam*mod*:feature:*00C2* kvm_amd
alias cpu:type:x86,ven*fam*mod*:feature:*0085* kvm_intel
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias devname:kvm kvm
alias broken
"""
FEATURES = ",".join(f"{number:04X}" for number in range(0x86, 0x200))


def test_takes_the_vendor_whose_feature_the_cpu_has() -> None:
    cpu = f"cpu:type:x86,ven0002fam000Fmod006B:feature:,{FEATURES}\n"
    assert len(cpu) > 256
    assert coldplug.wanted_modules(ALIASES, [cpu, "", "acpi:PNP0303:"]) == ["kvm_amd"]


class HostSession:
    """A session whose guest is this host, with the devices of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, command: str, *, deadline: Deadline) -> CommandResult:
        here = command.replace("/sys/devices", str(self.folder))
        done = process.run(["sh", "-c", here], deadline=deadline)
        return CommandResult(done.status, None, done.stdout, done.stderr, 0.0)


def test_a_device_may_have_blanks_in_its_name_and_another_be_gone(tmp_path: Path) -> None:
    """As "Fixed MDIO bus.0" has, which defconfig makes."""
    for name in ("pci0000:00/0000:00:01.0", "platform/Fixed MDIO bus.0", "platform/a 'b' $c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "modalias").write_text(f"of:{name}\n")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/modalias").symlink_to("nowhere")
    found = coldplug.devices(cast("Any", HostSession(tmp_path)), Deadline.after(20))
    assert sorted(found) == [
        "of:pci0000:00/0000:00:01.0",
        "of:platform/Fixed MDIO bus.0",
        "of:platform/a 'b' $c",
    ]


def test_no_device_wants_nothing() -> None:
    assert coldplug.wanted_modules(ALIASES, []) == []
    assert coldplug.wanted_modules("", ["pci:v00001AF4d1sv1sd1bc1sc1i1"]) == []


def test_reads_the_aliases_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "modules.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("lib/modules/6.12.1/modules.alias")
        member.size = len(ALIASES)
        tar.addfile(member, io.BytesIO(ALIASES.encode()))
    assert coldplug.read_aliases(path) == ALIASES
    with tarfile.open(path, "w"):
        pass
    assert coldplug.read_aliases(path) == ""


class Seen:
    """The event of a mark that comes, or does not."""

    def __init__(self, comes: bool) -> None:
        self.comes = comes

    def wait(self, seconds: float) -> bool:
        return self.comes


class FakeVm:
    def __init__(self, comes: bool, reason: str = "", growing: int = 0) -> None:
        self.comes, self.reason, self.growing, self.asked = comes, reason, growing, 0

    def expect(self, words: bytes) -> Seen:
        return Seen(self.comes)

    def dead(self) -> str:
        return self.reason

    spec = SimpleNamespace(console_log=Path("console.log"))

    def console_tail(self) -> list[str]:
        return ["kvm_amd: it has a reason"]

    def console_size(self) -> int:
        self.asked += 1
        return min(self.asked, self.growing)


class FakeSession:
    def __init__(self, printk: str, error: Exception | None = None) -> None:
        self.printk, self.error, self.commands = printk, error, list[str]()

    def run(self, command: str, **_: Any) -> CommandResult:
        self.commands.append(command)
        if self.error:
            raise self.error
        return CommandResult(0, None, self.printk.encode(), b"", 0.1)

    check = run

    def put_archive(self, archive: Path, *, deadline: Deadline, then: str) -> CommandResult:
        return self.run(then)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coldplug, "_SILENT_SECONDS", 0.01)


def synchronise(vm: FakeVm, session: FakeSession) -> str:
    return coldplug.synchronise(cast("Any", vm), cast("Any", session), Deadline.after(20))


def test_a_mark_at_the_lowest_level_shows_that_all_come_through() -> None:
    session = FakeSession("7\t4\t1\t7\n")
    assert synchronise(FakeVm(True), session) == ""
    assert re.match(r"echo '<6>\S.* [0-9a-f]{8}' >/dev/kmsg; cat /proc", session.commands[0])


@pytest.mark.parametrize(
    ("printk", "why"),
    [
        ("1\t4\t1\t7\n", "kernel.printk is 1, which keeps messages of KERN_ALERT and below off it"),
        ("6\t4\t1\t7\n", "kernel.printk is 6, which keeps KERN_INFO off it"),
        (f"{'9' * 5000}\t4\t1\t7\n", "a mark of KERN_INFO did not come"),
        ("7\t4\t1\t7\n", "a mark of KERN_INFO did not come"),
        ("", "a mark of KERN_INFO did not come"),
    ],
)
def test_a_console_that_is_silenced_is_told(printk: str, why: str) -> None:
    told = synchronise(FakeVm(False), FakeSession(printk))
    assert told == f"the console does not show what the kernel logged: {why}"


def test_a_console_that_lags_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = FakeVm(False, growing=50)
    synchronise(vm, FakeSession("7 4 1 7"))
    assert vm.asked > 50


def test_a_guest_that_answers_no_more_is_told() -> None:
    lost = FakeSession("", MachineLostError("the SSH connection is gone"))
    assert synchronise(FakeVm(False), lost) == "the guest's SSH server did not outlive it"
    assert synchronise(FakeVm(False, "the kernel ended"), lost) == ""
    slow = FakeSession("", DeadlineError("it", 30))
    assert "did not run a command within 30 s" in synchronise(FakeVm(False), slow)


def test_modules_are_loaded_onto_a_console_that_shows_all(tmp_path: Path) -> None:
    archive = tmp_path / "modules.tar"
    tarfile.open(archive, "w").close()

    def load(vm: FakeVm, session: FakeSession) -> None:
        coldplug.load_modules(
            cast("Any", vm), cast("Any", session), archive, (), Deadline.after(20)
        )

    session = FakeSession("7 4 1 7")
    load(FakeVm(True), session)
    assert session.commands[0].startswith("{ true && echo '<6>")
    with pytest.raises(UserError, match=r"kernel\.printk is 1") as caught:
        load(FakeVm(False), FakeSession("1 4 1 7"))
    assert "dmesg -n" in caught.value.hint


# What busybox and kmod say, and how the modules that are called so are refused.
MODPROBE = """#!/bin/sh
[ "$1" = -a ] && shift
status=0
for name; do
    case $name in
    good*) continue ;;
    absent) why='No such device' ;;
    kvm_amd) why='Operation not supported' ;;
    on_musl) why='Not supported' ;;
    *) why='Invalid argument' ;;
    esac
    case $name in
    *_kmod) echo "modprobe: ERROR: could not insert '$name': $why" >&2 ;;
    *) echo "modprobe: can't load module $name (kernel/a: b/$name.ko): $why" >&2 ;;
    esac
    status=1
done
exit $status
"""


class ShellSession(FakeSession):
    """A session whose guest is this host, but for its modprobe and its console."""

    def __init__(self, folder: Path) -> None:
        super().__init__("7 4 1 7")
        self.folder = folder
        (folder / "modprobe").write_text(MODPROBE)
        (folder / "modprobe").chmod(0o755)

    def put_archive(self, archive: Path, *, deadline: Deadline, then: str) -> CommandResult:
        here = then.replace("/dev/kmsg", str(self.folder / "kmsg"))
        path = f"{self.folder}:{os.environ['PATH']}"
        done = process.run(["sh", "-ec", here], deadline=deadline, env={"PATH": path})
        return CommandResult(done.status, None, done.stdout, done.stderr, 0.0)


def load(folder: Path, *names: str) -> str:
    """Load modules by these names, and return what was logged then."""
    archive = folder / "modules.tar"
    with tarfile.open(archive, "w") as tar:
        text = "".join(f"alias device:{name} {name}\n" for name in names).encode()
        member = tarfile.TarInfo("lib/modules/6.12.1/modules.alias")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    session, vm = ShellSession(folder), FakeVm(True)
    devices = [f"device:{name}" for name in names]
    coldplug.load_modules(
        cast("Any", vm), cast("Any", session), archive, devices, Deadline.after(20)
    )
    return (folder / "kmsg").read_text()


def test_a_driver_that_finds_no_device_is_passed_over_as_udev_does(tmp_path: Path) -> None:
    assert MARK in load(tmp_path, "good", "absent", "good_too")


@pytest.mark.parametrize("name", ["kvm_amd", "on_musl"])
def test_a_module_that_the_machine_is_not_for_is_the_machine_s(tmp_path: Path, name: str) -> None:
    """KVM of a kernel with PREEMPT_RT wants a TSC of constant rate, which QEMU does not emulate."""
    with pytest.raises(InfrastructureError, match=f"on this machine: {name}: (Oper|Not)") as caught:
        load(tmp_path, "absent", "good", name)
    assert caught.value.detail == ("kvm_amd: it has a reason",)


@pytest.mark.parametrize("name", ["kvm", "kvm_kmod"])
def test_a_module_that_is_refused_is_the_kernel_s(tmp_path: Path, name: str) -> None:
    with pytest.raises(BootError, match=f"refuses its module {name}: Invalid argument$") as caught:
        load(tmp_path, "absent", "good", name)
    assert caught.value.detail == ("kvm_amd: it has a reason",)
