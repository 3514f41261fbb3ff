"""Picks a series out of a mailbox: one version, in order, without talk, replies and fixups.

Of forms for several stable kernels it is the one for the kernel at hand.

Where there is nothing to choose the mails are the series. Else b4 is asked, which maintainers
trust with it: for partial rerolls, for cover letters without a number, and for the trailers that
replies give. What it takes wrongly is sorted out before: a posting sent again, a patch without a
number beside numbered ones, a mail that cannot be read.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.series import Trailer
from toolkit.formats.mailheaders import Kernels
from toolkit.series import picking, versions
from toolkit.series.gitmail import Mail
from toolkit.series.picking import B4Error, Picked

_HINT = "save the series alone, as `b4 am` or `git format-patch --stdout` writes it"
MAX_NOTICES = 10
# As git format-patch, git send-email and b4 make them.
_TOGETHER = re.compile(
    r"[^.]+(\.\d{9,}\.git\..+)|((?:\d{14}\.|\d{9,}-)\d+-)\d+(-.+)"
    r"|(\d{8}-.+-v\d+-)\d+(-[0-9a-f]+@.+)"
)
# What the stable tree's maintainer answers with: the upstream commit that does not fit there.
_FAILED = re.compile(r"FAILED: patch ")


@dataclass(frozen=True, slots=True)
class Choice:
    """A series as it was picked."""

    patches: tuple[Mail, ...]
    cover: Mail | None
    version: int
    kernels: Kernels = ()  # the stable kernels that it was posted for
    other_kernels: tuple[Kernels, ...] = ()  # those that the thread has other forms for
    trailers: tuple[Trailer, ...] = ()
    notices: tuple[str, ...] = ()


def choose(
    mails: Sequence[Mail],
    version: int | None,
    origin: str,
    deadline: Deadline,
    release: str | None = None,
) -> Choice:
    """Return the series in ``mails``; ``version`` None takes the newest.

    Where there are forms for several stable kernels ``release`` (6.12.117) chooses. ``origin``
    stands for the mails in errors. Raises :class:`UserError` when no patch is there, or when it
    cannot be told which of several series is meant.
    """
    every = _once(mail for mail in mails if not mail.problem)
    posted = _posted(every)
    if not posted:
        raise _nothing(mails, origin)
    stable = versions.branches(posted)
    form, others = versions.for_release(posted, stable, release, origin)
    readable = every
    if others:
        readable = _of_form(every, posted, stable, form)
        posted = [mail for mail in posted if versions.kernels(mail, stable) == form]
    wanted = versions.wanted(posted, stable, version, origin)
    group = [mail for mail in posted if versions.of(mail, stable) == wanted]
    notices: list[str] = []
    if others:
        rest = ", ".join(map(versions.shown, others))
        notices.append(f"taken: what was posted for Linux {versions.shown(form)}; left out: {rest}")
    # Where nothing else is a patch, it is what somebody answers a cover letter with.
    patches = [mail for mail in group if _number(mail) != 0] or group
    covers = _covers(readable, patches)
    cover = next((mail for mail in reversed(covers) if versions.of(mail, stable) == wanted), None)
    if any(_number(mail) for mail in patches):
        patches, cover = _numbered(patches, covers, cover, origin, notices)
    else:
        patches = _unnumbered(patches, notices)
    picked: Picked | None = None
    if len(readable) > len(patches) + bool(cover):
        dropped = [mail for mail in group if mail not in patches and _number(mail) != 0]
        mails_left = picking.without_circles([mail for mail in readable if mail not in dropped])
        try:
            picked = picking.pick(mails_left, stable, wanted, origin, deadline)
        except B4Error as error:
            notices.append(f"what replies give is not shown, for b4 {error}")
        patches, cover = _merged(patches, cover, picked)
    notices += _gaps(patches, readable)
    trailers = _trailers(patches, cover, picked)
    if unreadable := [mail for mail in mails if mail.problem]:
        first = unreadable[0]
        notices.append(f"{first.name} cannot be read and is left out: {first.problem}")
    return Choice(
        patches=tuple(patches),
        cover=cover,
        version=wanted.number,
        kernels=form,
        other_kernels=tuple(others),
        trailers=trailers,
        notices=tuple(notices[:MAX_NOTICES]),
    )


# --- which mails come into question ---------------------------------------------------------------


def _once(mails: Iterable[Mail]) -> list[Mail]:
    """Return each mail once, though several lists may have carried it."""
    unique: dict[object, Mail] = {}
    for number, mail in enumerate(mails):
        unique.setdefault(mail.headers.message_id or number, mail)
    return list(unique.values())


def _number(mail: Mail) -> int | None:
    return mail.headers.tags.number


def _covers(mails: Sequence[Mail], patches: Sequence[Mail]) -> list[Mail]:
    """Return the cover letters among ``mails``."""
    numbered = (mail for mail in mails if _number(mail) == 0 and mail not in patches)
    return [mail for mail in numbered if not mail.headers.tags.reply]


def _posted(mails: Sequence[Mail]) -> list[Mail]:
    """Return the patches, without those that a reply suggests unless there are no others."""
    patches = [mail for mail in mails if mail.is_patch and _number(mail) != 0]
    return (
        [
            mail
            for mail in patches
            if not (mail.headers.tags.reply or _FAILED.match(mail.headers.subject))
        ]
        or patches
        or [mail for mail in mails if mail.is_patch]
    )


def _of_form(
    mails: Sequence[Mail], posted: Sequence[Mail], stable: frozenset[int], form: Kernels
) -> list[Mail]:
    """Return the mails about one of several forms of a series, and those about none of them."""
    patches = set(posted)
    return [
        mail
        for mail in mails
        if (named := versions.kernels(mail, stable)) == form or not (named or mail in patches)
    ]


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


# --- what b4 adds --------------------------------------------------------------------------------


def _merged(
    patches: list[Mail], cover: Mail | None, picked: Picked | None
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
    patches: Sequence[Mail], cover: Mail | None, picked: Picked | None
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
