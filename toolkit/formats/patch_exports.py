"""Turns what `hg export` and `stg export` write into mails, as `git am` does (builtin/am.c)."""

from __future__ import annotations

import datetime
import email.utils
import re

_HG = b"# HG changeset patch"
_HG_DATE = re.compile(r"# Date +(\d{1,12})(?: +(-?\d{1,6}))?")
_STGIT_HEADERS = (b"From:", b"Author:", b"Date:")


def to_mail(data: bytes) -> bytes:
    """Return a patch as a mail where another program than git exported it, else ``data``."""
    start = data.lstrip(b"\n")
    if start.startswith(_HG):
        return _of_hg(start)
    first, second, third, *_ = (*start[:4096].split(b"\n", 3), b"", b"", b"")
    if (
        first.strip()
        and not first.startswith((b"From ", b"From:", b"diff ", b"--- ", b"Index:"))
        and not second.strip()
        and third.startswith(_STGIT_HEADERS)
    ):
        return _of_stgit(start)
    return data


def _of_hg(data: bytes) -> bytes:
    """Return a changeset of Mercurial as a mail: comments are its headers."""
    headers: list[bytes] = []
    lines = data.split(b"\n")
    at = 0
    while at < len(lines) and lines[at].startswith(b"#"):
        text = lines[at].decode(errors="replace")
        if text.startswith("# User "):
            headers.append(b"From: " + lines[at][7:].strip())
        elif match := _HG_DATE.match(text):
            # Mercurial's offset is in seconds, and what is east of Greenwich is negative.
            offset = datetime.timedelta(seconds=-int(match[2] or 0))
            headers += _date(int(match[1]), offset)
        at += 1
    return b"\n".join([*headers, b"", *lines[at:]])


def _date(seconds: int, offset: datetime.timedelta) -> list[bytes]:
    try:
        zone = datetime.timezone(offset)
        moment = datetime.datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return []
    return [b"Date: " + email.utils.format_datetime(moment).encode()]


def _of_stgit(data: bytes) -> bytes:
    """Return a patch of StGit as a mail: its first line is the subject, headers follow below."""
    first, _, rest = data.partition(b"\n")
    headers = [b"Subject: " + first.strip()]
    lines = rest.lstrip(b"\n").split(b"\n")
    at = 0
    while at < len(lines) and lines[at].startswith(_STGIT_HEADERS):
        headers.append(re.sub(rb"^Author:", b"From:", lines[at]))
        at += 1
    return b"\n".join([*headers, b"", *lines[at:]])
