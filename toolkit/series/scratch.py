"""Runs git, and b4, on bytes that strangers wrote: in a scratch folder, and within bounds.

Nothing of the caller's plays a part: no repository, settings, hooks, attributes, credentials or
terminal. Bounds are per process, by setrlimit(2), so a machine that is busy changes nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, UserError
from toolkit.host import process

MAX_BYTES = 64 << 20  # of a series: it is text that people read
MAX_MAILS = 3000  # in one thread
SECONDS = 5.0  # of processor time, for one process
SECONDS_A_MAIL = 0.01  # on top of it, for all of them by the clock
MEMORY = 300 << 20  # bytes of one process
_HINT = "split it, or leave out what is no patch"
_LIMITED = {signal.SIGXCPU, signal.SIGKILL, signal.SIGXFSZ}


def environment(folder: Path) -> dict[str, str | None]:
    """Return the environment in which git sees no repository, no settings and no hooks.

    ``folder`` is where it works; the folder above it stands for the home folder.
    """
    home = str(folder.parent)
    inherited = [name for name in os.environ if name.startswith(("GIT_", "B4_", "XDG_"))]
    return {
        **dict.fromkeys(inherited),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": home,
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "XDG_CACHE_HOME": home,
        "XDG_DATA_HOME": home,
    }


def run(
    argv: Sequence[str],
    folder: Path,
    deadline: Deadline,
    *,
    what: str,
    mails: int = 1,
    input: bytes | None = None,
) -> process.Completed:
    """Run ``argv`` in ``folder`` to its end, whatever its exit status, and return what it wrote.

    Raises :class:`UserError`, naming ``what`` was read, when it wants more than the bounds allow.
    """
    seconds = SECONDS * 2 + SECONDS_A_MAIL * mails
    own = deadline.sooner(seconds)
    try:
        done = process.run(
            limited(argv),
            cwd=folder,
            env=environment(folder),
            input=input,
            deadline=own,
            check=False,
        )
    except DeadlineError:
        if deadline.expired():
            raise
        raise UserError(f"reading {what} takes more than {seconds:.0f} s", hint=_HINT) from None
    if done.status == 128 and b"ut of memory" in done.stderr:  # git's die_errno()
        raise UserError(f"reading {what} takes more than {MEMORY >> 20} MiB", hint=_HINT)
    if reached_limit(done):
        raise UserError(
            f"reading {what} takes more than {SECONDS:.0f} s or {MEMORY >> 20} MiB", hint=_HINT
        )
    return done


def limited(argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` within the bounds of a process."""
    limits = [f"--as={MEMORY}", f"--cpu={SECONDS:.0f}", f"--fsize={2 * MAX_BYTES}", "--core=0"]
    return [process.find("prlimit", "util-linux"), *limits, "--", *argv]


def reached_limit(done: process.Completed) -> bool:
    """Return whether a process was ended because it wanted more than the bounds allow."""
    # A shell says of a child that a signal ended it: 128 and the signal's number.
    return bool({-done.status, done.status - 128} & _LIMITED)
