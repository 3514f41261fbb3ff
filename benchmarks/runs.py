"""Runs commands as a user does, and watches them from outside: time, output, memory."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SERIES = "iosignalfd/v4"
# What an edit changes is how much one structure takes, by another number each time.
EDITED = "p = kzalloc(sizeof(*p)"
PATIENCE = 3600.0  # seconds for any one command
# What the toolkit prints of the first test program that has ended.
VERDICT = re.compile(rb"^(?:PASS|FAIL|SKIP|XPASS|XFAIL|CRASH|TIMEOUT|ERROR) +\S+/", re.MULTILINE)
_POLL = 0.01

Command = Sequence[str | Path]


def environment() -> dict[str, str]:
    """Return the caller's environment, but that Python may keep what it has compiled.

    Where it must not, each start compiles the toolkit anew, and the larger one is the slower.
    """
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


@dataclass(frozen=True, slots=True)
class Watched:
    """A command as seen from outside: seconds to a line of its output and in all, and MiB."""

    first: float
    total: float
    peak: float


def seconds_of(command: Command, folder: Path = PROJECT, prints: str = "") -> float:
    """Run a command that must succeed, or print something, and return how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )
    seconds = time.monotonic() - began
    if (prints.encode() not in done.stdout) if prints else done.returncode:
        sys.exit(f"{command} failed: {done.stdout.decode(errors='replace')[-2000:]}")
    return seconds


def watch(
    command: Command, line: re.Pattern[bytes], folder: Path = PROJECT, *, stop: bool = False
) -> Watched:
    """Run a command that must print a line that ``line`` matches, and must succeed.

    With ``stop`` it is interrupted as ^C does once it has printed that line.
    """
    output, first, peak, began = b"", 0.0, 0.0, time.monotonic()
    # Where all of this runs in the background, a shell has SIGINT ignored for all below it.
    listening = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(
        listening,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        assert child.stdout
        fd = child.stdout.fileno()
        while True:
            peak = max(peak, _peak_mib(child.pid))
            if select.select([fd], [], [], _POLL)[0]:
                if not (part := os.read(fd, 1 << 16)):
                    break
                output += part
            elif child.poll() is not None:
                break  # what it left running may hold the pipe for long
            if not first and line.search(output):
                first = time.monotonic() - began
                if stop:
                    child.send_signal(signal.SIGINT)
            if time.monotonic() - began > PATIENCE:
                child.kill()
        status = child.wait()
    if not first or (status and not stop):
        sys.exit(f"{command} ended with {status}:\n{output[-2000:].decode(errors='replace')}")
    return Watched(first, time.monotonic() - began, peak)


def _peak_mib(pid: int) -> float:
    """Return the largest resident size that a process has had (proc(5), VmHWM)."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def edited_root(root: Path, checkout: Path, number: int) -> Path:
    """Make ``root`` a root for the toolkit with a checkout's files, and one line changed."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("kselftests", "vm-images"):
        with contextlib.suppress(FileExistsError):
            (root / name).symlink_to(checkout / name)
    shutil.rmtree(root / "patches", ignore_errors=True)
    shutil.copytree(checkout / "patches", root / "patches", symlinks=True)
    for path in (root / "patches" / SERIES).rglob("*.patch"):
        text = path.read_text()
        if f"+\t{EDITED}," in text:
            path.write_text(text.replace(f"+\t{EDITED},", f"+\t{EDITED} + {number},"))
    return root
