"""Picks a series out of a mailbox: one version, in order, without talk, replies and fixups.

Where there is nothing to choose the mails are the series. Else b4 is asked, which maintainers
trust with it: for partial rerolls, for cover letters without a number, and for the trailers that
replies give. What it takes wrongly is sorted out before: a posting sent again, a patch without a
number beside numbered ones, a mail that cannot be read.
"""

from __future__ import annotations

import email.utils
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.series import Trailer
from toolkit.series import scratch
from toolkit.series.gitmail import Mail

_HINT = "save the series alone, as `b4 am` or `git format-patch --stdout` writes it"
_VERSION_HINT = "name one with --version"
MAX_NOTICES = 10
# As git format-patch, git send-email and b4 make them.
_TOGETHER = re.compile(
    r"[^.]+(\.\d{9,}\.git\..+)|((?:\d{14}\.|\d{9,}-)\d+-)\d+(-.+)"
    r"|(\d{8}-.+-v\d+-)\d+(-[0-9a-f]+@.+)"
)
_B4 = Path(__file__).with_name("b4_thread.py")


@dataclass(frozen=True, slots=True)
class Choice:
    """A series as it was picked."""

    patches: tuple[Mail, ...]
    cover: Mail | None
    version: int
    trailers: tuple[Trailer, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, order=True, slots=True)
class _Version:
    number: int
    minor: int = 0

    def __str__(self) -> str:
        return f"v{self.number}" + (f".{self.minor}" if self.minor else "")


def choose(mails: Sequence[Mail], version: int | None, origin: str, deadline: Deadline) -> Choice:
    """Return the series in ``mails``; ``version`` None takes the newest.

    ``origin`` stands for the mails in errors. Raises :class:`UserError` when no patch is there, or
    when it cannot be told which of several series is meant.
    """
    readable = _once(mail for mail in mails if not mail.problem)
    posted = _posted(readable)
    if not posted:
        raise _nothing(mails, origin)
    wanted, branches = _wanted(posted, version, origin)
    group = [mail for mail in posted if _version(mail, branches) == wanted]
    notices: list[str] = []
    patches = [mail for mail in group if _number(mail) != 0]
    covers = [mail for mail in readable if _number(mail) == 0 and not mail.headers.tags.reply]
    cover = next((mail for mail in reversed(covers) if _version(mail, branches) == wanted), None)
    if any(_number(mail) for mail in patches):
        patches, cover = _numbered(patches, covers, cover, origin, notices)
    else:
        patches = _unnumbered(patches, notices)
    picked: _Picked | None = None
    if len(readable) > len(patches) + bool(cover):
        dropped = [mail for mail in group if mail not in patches and _number(mail) != 0]
        rest = _without_circles([mail for mail in readable if mail not in dropped])
        try:
            picked = _ask_b4(rest, branches, wanted, origin, deadline)
        except _B4Error as error:
            notices.append(f"what replies give is not shown, for b4 {error}")
        patches, cover = _merged(patches, cover, picked)
    notices += _gaps(patches, readable)
    trailers = _trailers(patches, cover, picked)
    if unreadable := [mail for mail in mails if mail.problem]:
        first = unreadable[0]
        notices.append(f"{first.name} cannot be read and is left out: {first.problem}")
    return Choice(tuple(patches), cover, wanted.number, trailers, tuple(notices[:MAX_NOTICES]))


# --- which mails come into question ---------------------------------------------------------------


def _once(mails: Iterable[Mail]) -> list[Mail]:
    """Return each mail once, though several lists may have carried it."""
    unique: dict[object, Mail] = {}
    for number, mail in enumerate(mails):
        unique.setdefault(mail.headers.message_id or number, mail)
    return list(unique.values())


def _number(mail: Mail) -> int | None:
    return mail.headers.tags.number


def _posted(mails: Sequence[Mail]) -> list[Mail]:
    """Return the patches, without those that a reply suggests unless there are no others."""
    patches = [mail for mail in mails if mail.is_patch and _number(mail) != 0]
    return (
        [mail for mail in patches if not mail.headers.tags.reply]
        or patches
        or [mail for mail in mails if mail.is_patch]
    )


def _nothing(mails: Sequence[Mail], origin: str) -> UserError:
    broken = next((mail for mail in mails if mail.problem), None)
    if broken and len(mails) == 1:
        return UserError(f"{broken.name} is no patch: {broken.problem}", hint=_HINT)
    if broken:
        return UserError(
            f"{origin} holds no patch",
            hint=_HINT,
            detail=[f"{mail.name}: {mail.problem}" for mail in mails if mail.problem][:5],
        )
    empty = next((mail for mail in mails if _number(mail)), None)
    if empty:
        return UserError(f"{empty.name} changes no file", hint=_HINT)
    return UserError(f"{origin} holds no patch", hint=_HINT)


# --- versions -----------------------------------------------------------------------------------


def _wanted(
    posted: Sequence[Mail], version: int | None, origin: str
) -> tuple[_Version, frozenset[int]]:
    """Return the version to take, and the numbers that are the names of stable branches.

    v7.1 is a version where there is a v7, to which it is a correction, and else a kernel.
    """
    tags = [mail.headers.tags for mail in posted]
    whole = {each.version for each in tags if not each.minor}
    branches = frozenset(each.version for each in tags if each.minor and each.version not in whole)
    names = {(each.version, each.minor) for each in tags if each.version in branches}
    if len(names) > 1:
        shown = ", ".join(f"v{major}.{minor}" for major, minor in sorted(names))
        raise UserError(f"{origin} holds patches for several kernels ({shown})", hint=_HINT)
    there = sorted({_version(mail, branches) for mail in posted})
    if version is None:
        return there[-1], branches
    fitting = [each for each in there if each.number == version]
    if not fitting:
        listed = ", ".join(map(str, there))
        raise UserError(f"{origin} holds no version {version}", hint=f"there is: {listed}")
    return fitting[-1], branches


def _version(mail: Mail, branches: frozenset[int]) -> _Version:
    tags = mail.headers.tags
    if tags.minor and tags.version in branches:
        return _Version(1)
    return _Version(tags.version, tags.minor)


# --- within a version -----------------------------------------------------------------------------


def _numbered(
    patches: Sequence[Mail],
    covers: Sequence[Mail],
    cover: Mail | None,
    origin: str,
    notices: list[str],
) -> tuple[list[Mail], Mail | None]:
    """Return the patches by their number, and their cover letter."""
    notices += [
        f"left out, for it has no number: {mail.subject!r}"
        for mail in patches
        if _number(mail) is None
    ]
    numbered = [mail for mail in patches if _number(mail) is not None]
    totals = {mail.headers.tags.total for mail in numbered}
    if len(totals) > 1:
        shown = ", ".join(f"n/{total}" for total in sorted(filter(None, totals)))
        raise UserError(f"{origin} holds parts of several series ({shown})", hint=_HINT)
    kept: dict[int, Mail] = {}
    for mail in numbered:
        number = _number(mail) or 0
        before = kept.get(number)
        kept[number] = _later(before, mail, number, origin) if before else mail
    if cover is not None and cover.headers.tags.total not in totals:
        cover = None
    ordered = [kept[number] for number in sorted(kept)]
    above = ordered[0].headers.in_reply_to  # of a series that was sent again, its own cover letter
    own = [each for each in covers if above and each.headers.message_id == above]
    return ordered, own[-1] if own else cover


def _later(one: Mail, other: Mail, number: int, origin: str) -> Mail:
    """Return the one that takes the other's place: a patch that was sent again."""
    again = one.headers.tags.resend or other.headers.tags.resend
    if not again and one.subject.casefold() != other.subject.casefold():
        raise UserError(f"{origin} holds patch {number} more than once", hint=_HINT)
    if one.headers.tags.resend != other.headers.tags.resend:
        return one if one.headers.tags.resend else other
    return other if _date(other) >= _date(one) else one


def _date(mail: Mail) -> float:
    parsed = email.utils.parsedate_tz(mail.headers.date)
    try:
        return email.utils.mktime_tz(parsed) if parsed else 0.0
    except (OverflowError, ValueError):
        return 0.0


def _unnumbered(patches: Sequence[Mail], notices: list[str]) -> list[Mail]:
    """Return patches without a number in the mailbox' order.

    Of one that its author sent again the later counts; what others answer with is theirs.
    """
    kept: list[Mail] = []
    for mail in patches:
        parent = next((each for each in kept if _answers(mail, each)), None)
        if parent and _posting(mail) and _posting(mail) == _posting(parent):
            kept.append(mail)
            continue
        same = next(
            (each for each in kept if each.subject.casefold() == mail.subject.casefold()), None
        )
        if parent and parent.headers.address != mail.headers.address:
            notices.append(f"left out, for it answers another's patch: {mail.subject!r}")
        elif same and (mail.headers.tags.resend or _answers(mail, same) or _again(mail, same)):
            kept[kept.index(same)] = mail
        else:
            kept.append(mail)
    return kept


def _posting(mail: Mail) -> tuple[str, ...]:
    """Return what the ids of mails that were sent together have in common; nothing for others."""
    match = _TOGETHER.fullmatch(mail.headers.message_id)
    return tuple(filter(None, match.groups())) if match else ()


def _again(mail: Mail, before: Mail) -> bool:
    """Whether an author sent a patch of the same name at another time."""
    one, other = _posting(mail), _posting(before)
    return bool(one and other and one != other and mail.headers.address == before.headers.address)


def _answers(mail: Mail, other: Mail) -> bool:
    return bool(other.headers.message_id) and other.headers.message_id in (
        mail.headers.in_reply_to,
        *mail.headers.references,
    )


def _gaps(patches: Sequence[Mail], readable: Sequence[Mail]) -> list[str]:
    """Return what to say of patches that are missing; refuse those that are there and empty."""
    numbers = {_number(mail) for mail in patches}
    totals = [mail.headers.tags.total or 0 for mail in patches]
    missing = [number for number in range(1, max(totals) + 1) if number not in numbers]
    if not missing or None in numbers:
        return []
    for mail in readable:
        if _number(mail) in missing and not mail.is_patch and not mail.headers.tags.reply:
            raise UserError(f"{mail.name} changes no file", hint=_HINT)
    shown = ", ".join(map(str, missing[:20]))
    return [f"the series is not whole: patch {shown} of {max(totals)} is missing"]


# --- b4 -------------------------------------------------------------------------------------------


class _B4Error(Exception):
    """b4 gives no answer, and why."""


@dataclass(frozen=True, slots=True)
class _Picked:
    """What b4 answers: mails by their place in the series, the cover letter first."""

    mails: tuple[Mail | None, ...]
    trailers: tuple[tuple[int, str, str], ...]


def _ask_b4(
    mails: Sequence[Mail],
    branches: frozenset[int],
    wanted: _Version,
    origin: str,
    deadline: Deadline,
) -> _Picked:
    """Return the series that b4 finds in ``mails``; raise :class:`_B4Error` when it gives none."""
    versions = sorted({_version(mail, branches) for mail in mails})
    # b4 knows whole numbers alone: with a v7.1 they become places in the row of versions.
    row = any(version.minor for version in versions)
    revisions = {each: versions.index(each) + 1 if row else each.number for each in versions}
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
            subject = _plain_subject(mail, revisions[_version(mail, branches)])
            listed.append({"file": str(file), "id": identity, "subject": subject})
        asked = {"revision": revisions.get(wanted, wanted.number), "mails": listed}
        argv = [sys.executable, "-E", "-s", "-P", str(_B4)]
        words = json.dumps(asked).encode()
        try:
            done = scratch.run(argv, folder, deadline, what=origin, mails=len(listed), input=words)
        except UserError as error:
            raise _B4Error(f"fails: {error.what}") from error
    if done.status != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _B4Error(f"fails: {last}")
    answer: dict[str, Any] = json.loads(done.stdout)
    mails_by_place = tuple(by_id.get(each) if each else None for each in answer["ids"])
    trailers = tuple((at, text, identity) for at, text, identity in answer["trailers"])
    return _Picked(mails_by_place, trailers)


def _without_circles(mails: Sequence[Mail]) -> list[Mail]:
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


def _merged(
    patches: list[Mail], cover: Mail | None, picked: _Picked | None
) -> tuple[list[Mail], Mail | None]:
    """Return the patches, completed by b4 where they are not whole, and its cover letter."""
    if picked is None or not picked.mails:
        return patches, cover
    cover = cover or picked.mails[0]
    totals = {mail.headers.tags.total for mail in patches}
    complete = [mail for mail in picked.mails[1:] if mail]
    whole = len(complete) == len(picked.mails) - 1 and len(complete) in totals
    if len(patches) < (max(filter(None, totals), default=0)) and whole:
        return complete, cover
    return patches, cover


def _trailers(
    patches: Sequence[Mail], cover: Mail | None, picked: _Picked | None
) -> tuple[Trailer, ...]:
    """Return what replies give, by the patch's place in the series."""
    trailers = []
    for at, text, identity in picked.trailers if picked else ():
        mail = picked.mails[at] if picked else None
        if mail is not None and mail in patches:
            trailers.append(Trailer(patches.index(mail) + 1, text, identity))
        elif mail is not None and mail is cover:
            trailers.append(Trailer(0, text, identity))
    return tuple(dict.fromkeys(trailers))
