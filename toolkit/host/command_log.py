"""The commands of a run, each in a form that a person can repeat, with its time and its end.

Each line is written as it is known, so that a log is complete up to the moment in which the
toolkit is killed. A command is written when it starts; a comment with its number says how it ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from toolkit.core.text import counted
from toolkit.host import process, recording
from toolkit.host.recording import Command

FILE = "commands.log"  # in a run folder
_MAX_WORDS = 300
_MAX_CHARACTERS = 1 << 15  # of one command; kbuild's longest have a tenth of it
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?<=://)[^/@\s]+(?=@)",
    re.DOTALL,
)


class CommandLog:
    """Writes what :mod:`toolkit.host.process` starts to ``file``; threads may share it.

    ``show`` gets each command as it starts. A log that cannot be written ends no run.
    """

    def __init__(self, file: Path, show: Callable[[str], None] | None = None) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._show = show
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._numbers: dict[Command, int] = {}
        self._count = 0
        self._write(
            "# The commands of this run, to be repeated by hand. Comments say when each began, in\n"
            "# seconds since this line, and how it ended.\n"
            f"cd {shlex.quote(os.getcwd())}\n"  # noqa: PTH109 - a text
            f"export LC_ALL=C.UTF-8; unset {' '.join(process.REMOVED)}\n"
        )

    def started(self, command: Command) -> None:
        """Write a command that is about to start."""
        line = repeatable(command)
        with self._lock:
            self._count += 1
            number = self._numbers[command] = self._count
        note = f", with {command.input} bytes of input that are not kept" if command.input else ""
        if command.within:
            note += f", confined by\n{_comment(shlex.join(command.within)[:_MAX_CHARACTERS])}"
        self._write(f"\n# [{number}] at {self._now()}{note}\n{line}\n")
        if self._show:
            self._show(f"$ {line}")

    def ended(self, command: Command, status: int | None) -> None:
        """Write how it ended: its exit status, negative for a signal; None if it never ran."""
        with self._lock:
            number = self._numbers.pop(command, 0)
        if number:
            how = "could not be started" if status is None else f"exit status {status}"
            if status is not None and status < 0:
                how = f"killed by signal {-status}"
            seconds = time.monotonic() - command.began
            self._write(f"# [{number}] {how} after {seconds:.3f} s\n")

    def noted(self, text: str) -> None:
        """Write a comment, such as a command that a guest runs."""
        lines = _without_secrets(text)[:_MAX_CHARACTERS].splitlines() or [""]
        self._write(
            "".join(f"# {line}\n" for line in [f"at {self._now()}, {lines[0]}", *lines[1:]])
        )

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            os.close(self._file)
            self._file = -1

    def _now(self) -> str:
        return f"{time.monotonic() - self._began:.3f} s"

    def _write(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._file >= 0:
                os.write(self._file, text.encode(errors="surrogateescape"))


@contextlib.contextmanager
def recorded(folder: Path, show: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keep the commands that are started meanwhile, in whichever thread, in a run's folder."""
    log = CommandLog(folder / FILE, show)
    try:
        with recording.recorded(log):
            yield
    finally:
        log.close()


def repeatable(command: Command) -> str:
    """Return a shell's command line; one that is too long is cut, and becomes a comment.

    Private keys and passwords in URLs are masked.
    """
    words = [_quoted(word) for word in command.argv[:_MAX_WORDS]]
    settings = [f"{name}={_quoted(value)}" for name, value in command.settings.items()]
    if command.only_settings:
        settings = ["env", "-i", *settings]
    elif command.removed:
        settings = ["env", *(f"--unset={name}" for name in command.removed), *settings]
    line = " ".join([*settings, *words])
    if command.cwd:
        line = f"(cd {_quoted(str(command.cwd))} && {line})"
    omitted = len(command.argv) - len(words)
    if not omitted and len(line) <= _MAX_CHARACTERS:
        return line
    more = f" … and {counted(omitted, 'more argument')}" if omitted else " …"
    return _comment(f"cut: {line[:_MAX_CHARACTERS]}{more}")


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.splitlines())


def _without_secrets(text: str) -> str:
    return _SECRET.sub("(masked)", text)


def _quoted(word: str) -> str:
    """Quote for a shell: with $'…' where a terminal would take a character for a command."""
    word = _without_secrets(word)
    if all(character.isprintable() or character in "\n\t" for character in word):
        return shlex.quote(word)
    data = word.encode(errors="surrogateescape")
    return "$'" + "".join(_escaped(byte) for byte in data) + "'"


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in "'\\":
        return f"\\{character}"
    return character if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"
