"""Load the modules that a guest's hardware asks for, as udev does, and wait for the console."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import threading
from collections.abc import Sequence
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, MachineLostError
from toolkit.formats import modalias
from toolkit.formats.kernel_log import MARK
from toolkit.vm.machine import Machine
from toolkit.vm.ssh import GuestSession

_DEVICES = "cat $(find /sys/devices -name modalias)"
_CONSOLE_SECONDS = 5.0  # how long the console may lag behind SSH


def devices(session: GuestSession, deadline: Deadline) -> list[str]:
    """Return the modalias of each device that a guest has."""
    return session.check(_DEVICES, deadline=deadline).text.splitlines()


def load_modules(
    machine: Machine,
    session: GuestSession,
    modules: Path,
    devices: Sequence[str],
    deadline: Deadline,
) -> None:
    """Give the guest the archive ``modules`` of its kernel and load those that ``devices`` ask for.

    That is what udev does when a machine starts, and it picks kvm_amd or kvm_intel. Returns once
    the console has what the kernel said of it (see :func:`synchronise`).
    """
    names = modalias.wanted(modalias.read_aliases(modules), devices)
    loading = f"modprobe -a {shlex.join(names)}" if names else "true"
    seen, saying = _marked(machine)
    then = f"{{ {loading} && {saying}; }}"
    session.put_archive(modules.read_bytes(), deadline=deadline, then=then)
    seen.wait(deadline.sooner(_CONSOLE_SECONDS).remaining())


def synchronise(machine: Machine, session: GuestSession, deadline: Deadline) -> None:
    """Wait until the console has all that the kernel said up to now.

    The serial line is slower than SSH: a warning that a program caused may still be on its
    way when the program has ended. So a line is sent after it through /dev/kmsg.
    """
    seen, saying = _marked(machine)
    with contextlib.suppress(DeadlineError, MachineLostError):
        session.run(saying, deadline=deadline.sooner(_CONSOLE_SECONDS))
        seen.wait(_CONSOLE_SECONDS)


def _marked(machine: Machine) -> tuple[threading.Event, str]:
    """Return a shell command that puts a mark on the console, and what is set when it is there."""
    mark = f"{MARK} {secrets.token_hex(4)}"
    return machine.expect(mark.encode()), f"echo '{mark}' >/dev/kmsg"
