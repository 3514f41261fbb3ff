"""Fetches threads from a public archive, such as lore.kernel.org, through b4.

b4 runs as a child of its own (:mod:`toolkit.series.b4_fetch`), within the bounds of
:mod:`toolkit.series.scratch` but with the caller's settings for b4, git and proxies, and with the
network: nothing else that reads patches has that.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, UserError
from toolkit.core.text import visible
from toolkit.host import process
from toolkit.series import scratch
from toolkit.series.place import Message

SECONDS = 120.0  # for an archive to answer, its mirrors included
_PROGRAM = Path(__file__).with_name("b4_fetch.py")
_OFFLINE = (
    "a message-id needs the network; without one, save the thread where there is one "
    "(b4 mbox MESSAGE-ID) and give the file"
)
_UNKNOWN = (
    "check the message-id: a mail takes some minutes to get there; b4.midmask names the archive"
)


@functools.cache  # whoever watches or bisects asks again
def thread(message: Message) -> bytes:
    """Return the thread that a mail is in, as an mbox (mboxrd).

    Raises :class:`UserError` for a message that the archive does not have, or a thread that is too
    large, and :class:`InfrastructureError` where the archive cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="toolkit-lore-") as name:
        folder = Path(name).resolve()
        argv = scratch.limited([sys.executable, "-E", "-s", "-P", str(_PROGRAM), message.name])
        try:
            done = process.run(
                argv, env=_environment(folder), deadline=Deadline.after(SECONDS), check=False
            )
        except DeadlineError as error:
            raise InfrastructureError(
                f"{message.name} did not come within {SECONDS:.0f} s", hint=_OFFLINE
            ) from error
    if scratch.reached_limit(done) or b"MemoryError" in done.stderr:
        raise UserError(
            f"the thread of {message.name} takes more than {scratch.MEMORY >> 20} MiB or "
            f"{scratch.SECONDS:.0f} s of processor time",
            hint="save its series alone, and give the file",
        )
    if done.status != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise InfrastructureError(f"b4 fails on {message.name}: {visible(last)}", hint=_OFFLINE)
    line, _, mailbox = done.stdout.partition(b"\n")
    answer = json.loads(line)
    if "reason" in answer:
        raise _refused(answer)
    return mailbox


def _environment(folder: Path) -> dict[str, str | None]:
    """Return the changes to the caller's environment: b4 leaves nothing in the home folder."""
    places = ("XDG_CACHE_HOME", "XDG_DATA_HOME")
    return {
        **dict.fromkeys(places, str(folder)),
        "GIT_TERMINAL_PROMPT": "0",
        # b4 asks the password database for a name, where it may find none.
        "GIT_COMMITTER_NAME": "toolkit",
        "GIT_COMMITTER_EMAIL": "toolkit@localhost",
    }


def _refused(answer: dict[str, str | int | None]) -> UserError | InfrastructureError:
    host, identity, status = answer["host"], answer["id"], answer["status"]
    reason = visible(str(answer["reason"]))
    if status is None:
        return InfrastructureError(f"cannot reach {host}: {reason}", hint=_OFFLINE)
    if status in (404, 410):
        return UserError(f"{host} has no message {identity}", hint=_UNKNOWN)
    return InfrastructureError(f"{host} does not give {identity}: {reason}", hint=_OFFLINE)
