"""An interactive shell in a guest: the user's terminal, wired to a channel of the session."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator

import paramiko

from toolkit.core.deadline import Deadline
from toolkit.core.errors import MachineLostError
from toolkit.vm.ssh import GuestSession

_CHUNK = 1 << 15


def interact(session: GuestSession, command: str, deadline: Deadline) -> int:
    """Run ``command``, or a login shell when it is empty, and return its exit status.

    On a terminal the guest gets one too, of the same size, in raw mode. Else what comes on
    standard input goes to the command, and its output is passed on as it is.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        with session.open_channel(deadline) as channel, _raw_terminal():
            return _wire(channel, command)
    data = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    result = session.run(
        command or "sh -l",
        deadline=deadline,
        input=data,
        on_stdout=lambda chunk: _write(sys.stdout.fileno(), chunk),
        on_stderr=lambda chunk: _write(sys.stderr.fileno(), chunk),
    )
    if result.signal:
        return 128 + getattr(signal, f"SIG{result.signal}", 0)
    return result.status or 0


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _wire(channel: paramiko.Channel, command: str) -> int:
    """Copy between terminal and channel until the channel ends."""
    columns, rows = shutil.get_terminal_size()
    channel.get_pty(os.environ.get("TERM", "vt100"), columns, rows)
    if command:
        channel.exec_command(command)
    else:
        channel.invoke_shell()
    with _on_resize(channel):
        while True:
            readable, _, _ = select.select([channel, sys.stdin], [], [])
            if channel in readable:
                data = channel.recv(_CHUNK)
                if not data:
                    break
                _write(sys.stdout.fileno(), data)
            if sys.stdin in readable:
                typed = os.read(sys.stdin.fileno(), _CHUNK)
                if not typed:
                    break
                channel.sendall(typed)
    if not channel.status_event.wait(1.0):
        raise MachineLostError("the machine went away")
    return max(0, channel.exit_status)


@contextlib.contextmanager
def _on_resize(channel: paramiko.Channel) -> Iterator[None]:
    def resize(*_: object) -> None:
        columns, rows = shutil.get_terminal_size()
        with contextlib.suppress(paramiko.SSHException):
            channel.resize_pty(columns, rows)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
