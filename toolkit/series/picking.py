"""Asks b4 which mails of a thread are a series, and what replies to it give.

b4 runs as a child of its own (:mod:`toolkit.series.b4_thread`), within bounds and without the
network.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.series import scratch, versions
from toolkit.series.gitmail import Mail
from toolkit.series.versions import Version

_PROGRAM = Path(__file__).with_name("b4_thread.py")


class B4Error(Exception):
    """b4 gives no answer, and why."""


@dataclass(frozen=True, slots=True)
class Picked:
    """What b4 answers: mails by their place in the series, the cover letter first."""

    mails: tuple[Mail | None, ...]
    trailers: tuple[tuple[int, str, str], ...]


def pick(
    mails: Sequence[Mail],
    branches: frozenset[int],
    wanted: Version,
    origin: str,
    deadline: Deadline,
) -> Picked:
    """Return the series that b4 finds in ``mails``; raise :class:`B4Error` when it gives none."""
    there = sorted({versions.of(mail, branches) for mail in mails})
    # b4 knows whole numbers alone: with a v7.1 they become places in the row of versions.
    row = any(version.minor for version in there)
    revisions = {each: there.index(each) + 1 if row else each.number for each in there}
    by_id = {
        mail.headers.message_id or f"{number}@toolkit.invalid": mail
        for number, mail in enumerate(mails)
    }
    with tempfile.TemporaryDirectory(prefix="toolkit-thread-") as name:
        folder = Path(name).resolve() / "thread"
        folder.mkdir()
        listed = []
        for number, (identity, mail) in enumerate(by_id.items()):
            file = folder / f"{number:06}"
            file.write_bytes(mail.content)
            subject = _plain_subject(mail, revisions[versions.of(mail, branches)])
            listed.append({"file": str(file), "id": identity, "subject": subject})
        asked = {"revision": revisions.get(wanted, wanted.number), "mails": listed}
        argv = [sys.executable, "-E", "-s", "-P", str(_PROGRAM)]
        words = json.dumps(asked).encode()
        try:
            done = scratch.run(argv, folder, deadline, what=origin, mails=len(listed), input=words)
        except UserError as error:
            raise B4Error(f"fails: {error.what}") from error
    if done.status != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise B4Error(f"fails: {last}")
    answer: dict[str, Any] = json.loads(done.stdout)
    mails_by_place = tuple(by_id.get(each) if each else None for each in answer["ids"])
    trailers = tuple((at, text, identity) for at, text, identity in answer["trailers"])
    return Picked(mails_by_place, trailers)


def without_circles(mails: Sequence[Mail]) -> list[Mail]:
    """Return mails without those that answer each other in a circle, where b4 never ends."""
    above = {mail.headers.message_id: mail.headers.in_reply_to for mail in mails}
    ends: set[str] = {""}  # ids from which the way up comes to an end
    for identity in above:
        way: dict[str, None] = {}
        while identity not in ends and identity not in way:
            way[identity] = None
            identity = above.get(identity, "")  # noqa: PLW2901 - one step up
        if identity in ends:
            ends.update(way)
    return [mail for mail in mails if mail.headers.message_id in ends]


def _plain_subject(mail: Mail, revision: int) -> str:
    """Return a subject as b4 reads it, whatever the lists and the mail programs made of it."""
    tags = mail.headers.tags
    title = re.sub(r"^[\s\[\]:]+", "", mail.subject) or "-"
    if tags.reply or not (mail.is_patch or tags.number is not None):
        return f"Re: {title}" if tags.reply else title
    count = f" {tags.number}/{tags.total}" if tags.number is not None else ""
    version = f" v{revision}" if revision > 1 else ""
    return f"[PATCH{version}{count}] {title}"
