"""Load the modules that a guest's hardware asks for, as udev does, and wait for its console.

The guest cannot match modules.alias itself: busybox cuts a modalias at 256 characters, and an x86
CPU's is longer.
"""

from __future__ import annotations

import fnmatch
import re
import secrets
import shlex
import tarfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    BootError,
    DeadlineError,
    InfrastructureError,
    MachineLostError,
    UserError,
)
from toolkit.formats.kernel_log import MARK
from toolkit.vm import kernel_log
from toolkit.vm.machine import Machine

if TYPE_CHECKING:
    from toolkit.vm.ssh import GuestSession

# Names may have blanks ("Fixed MDIO bus.0"), and a device may be gone before it is read.
_DEVICES = "find /sys/devices -name modalias -exec sh -c 'cat \"$@\" || :' sh '{}' +"
# All at once, as a process takes an emulated guest 30 ms; one by one where one of them is refused.
_LOADING = (
    "{{ modprobe -a {names} 2>/dev/null || "
    "for name in {names}; do modprobe $name 2>&1 || echo refused: $name; done; }}"
)
_REFUSED = re.compile(r"^.*: (.+)\nrefused: (\S+)$", re.M)  # "modprobe: …: REASON" before it
_NO_DEVICE = ("No such device",)  # an alias may name several drivers, and udev does not mind
# What KVM says of a CPU that it cannot use: EOPNOTSUPP, as glibc and musl call it.
_NOT_SUPPORTED = ("Operation not supported", "Not supported")
_PRINTK = "cat /proc/sys/kernel/printk"  # its first number is console_loglevel
_CONSOLE_SECONDS = 60.0  # how long the console may lag behind SSH, as long as anything comes
_SILENT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0  # for a guest whose program has ended to run one command


def devices(session: GuestSession, deadline: Deadline) -> list[str]:
    """Return the modalias of each device that a guest has."""
    return session.check(_DEVICES, deadline=deadline).text.splitlines()


def read_aliases(archive: Path) -> str:
    """Return the text of modules.alias out of a tar archive of lib/modules, or ""."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith("/modules.alias") and (file := tar.extractfile(member)):
                return file.read().decode(errors="replace")
    return ""


def wanted_modules(aliases: str, devices: Iterable[str]) -> list[str]:
    """Return the modules whose patterns match one of the ``devices``' modaliases, sorted."""
    present = {device.strip() for device in devices if device.strip()}
    modules = set()
    for line in aliases.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "alias":
            pattern, module = words[1:]
            if any(fnmatch.fnmatchcase(device, pattern) for device in present):
                modules.add(module)
    return sorted(modules)


def load_modules(
    machine: Machine,
    session: GuestSession,
    modules: Path,
    devices: Sequence[str],
    deadline: Deadline,
) -> None:
    """Give the guest the archive ``modules`` of its kernel and load those that ``devices`` ask for.

    That is what udev does when a machine starts, and it picks kvm_amd or kvm_intel. Returns once
    the console shows what the kernel logged meanwhile. Raises :class:`UserError` where it never
    does, because the image's user land has lowered the log level; :class:`BootError` for a module
    that the kernel refuses, and :class:`InfrastructureError` for one that the machine is not for.
    """
    names = shlex.join(wanted_modules(read_aliases(modules), devices))
    loading = _LOADING.format(names=names) if names else "true"
    seen, command = _mark(machine)
    then = f"{{ {loading} && {command}; }}"
    output = session.put_archive(modules, deadline=deadline, then=then).text
    if _comes(machine, seen, deadline):
        _judge(_REFUSED.findall(output), machine)
        return
    printk = session.check(_PRINTK, deadline=deadline).text
    raise UserError(
        f"the console does not show what the kernel logs: {_why(printk)}",
        hint="does the image's user land lower the log level (dmesg -n, kernel.printk)?",
    )


def _judge(refused: Iterable[tuple[str, str]], machine: Machine) -> None:
    """Raise the error of the first module that was refused for ``reason``, an error's name."""
    for reason, name in refused:
        said = f"{name}: {reason}"
        if reason in _NO_DEVICE:
            continue
        if reason in _NOT_SUPPORTED:
            raise InfrastructureError(
                f"the kernel cannot use its module on this machine: {said}",
                hint="the kernel says why, among its last lines",
                detail=machine.console_tail(),
            )
        raise BootError(
            f"the kernel refuses its module {said}",
            detail=machine.console_tail(),
            log=machine.spec.console_log,
        )


def synchronise(machine: Machine, session: GuestSession, deadline: Deadline) -> str:
    """Wait until the console shows all that the kernel has logged; return "" if it does.

    The serial line is slower than SSH: a warning that a program caused may still be on its
    way when the program has ended. So a line is sent after it through /dev/kmsg, at the lowest
    level that a complaint has. If it does not come, nobody knows what the kernel complained of: the
    reason is returned. Of a kernel that died, the console itself tells.
    """
    seen, command = _mark(machine)
    limit = deadline.sooner(_ANSWER_SECONDS)
    try:
        printk = session.run(f"{command}; {_PRINTK}", deadline=limit).text
    except DeadlineError:
        deadline.check("the test programs")
        return f"the guest did not run a command within {_ANSWER_SECONDS:.0f} s after its end"
    except MachineLostError:
        return "" if machine.dead() else "the guest's SSH server did not outlive it"
    if _comes(machine, seen, deadline):
        return ""
    return f"the console does not show what the kernel logged: {_why(printk)}"


def _mark(machine: Machine) -> tuple[threading.Event, str]:
    """Return a shell command that logs a mark, and an event that is set when the console has it."""
    mark = f"{MARK} {secrets.token_hex(4)}"
    return machine.expect(mark.encode()), f"echo '<{kernel_log.LOWEST}>{mark}' >/dev/kmsg"


def _comes(machine: Machine, seen: threading.Event, deadline: Deadline) -> bool:
    """Wait for a mark as long as the console gets longer; a dead machine's never comes."""
    limit = deadline.sooner(_CONSOLE_SECONDS)
    size, silence = machine.console_size(), Deadline.after(_SILENT_SECONDS)
    while not seen.wait(0.1):
        if machine.dead() or limit.expired():
            return bool(machine.dead())
        if machine.console_size() != size:
            size, silence = machine.console_size(), Deadline.after(_SILENT_SECONDS)
        elif silence.expired():
            return False
    return True


def _why(printk: str) -> str:
    """Return in words why a mark did not come, by what /proc/sys/kernel/printk says."""
    level = printk.split(maxsplit=1)[0] if printk.split() else ""
    if re.fullmatch(r"\d{1,9}", level) and int(level) < kernel_log.NEEDED:
        return f"kernel.printk is {level}, which keeps {kernel_log.missing(int(level))} off it"
    return f"a mark of KERN_{kernel_log.LEVELS[-1]} did not come"
