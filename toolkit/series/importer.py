"""Takes a series out of an mbox into ``patches/``: what b4 am or b4 mbox writes, or any thread.

The newest version is taken, or the one asked for. Patches keep their message, their trailers and
the headers that matter; what mail servers added is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import yaml

from toolkit.core.errors import UserError
from toolkit.core.model.series import Patch
from toolkit.formats import patchfile
from toolkit.series import reader
from toolkit.series.catalog import MANIFEST
from toolkit.series.reader import PatchFiles

COVER = "0000-cover-letter.patch"
_COVER_SUFFIX = ".cover"  # b4 am puts the cover letter into a file of its own
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*/[A-Za-z0-9][A-Za-z0-9._+-]*")
_FROM = b"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n"
_HEADERS = (*patchfile.HEADERS, "In-Reply-To", "MIME-Version", "Content-[A-Za-z-]+")
_KEPT = re.compile(f"(?:{'|'.join(_HEADERS)}):".encode(), re.IGNORECASE)


def read(mbox: Path, version: int | None = None) -> tuple[PatchFiles, int]:
    """Return a series out of an mbox, and its version; None takes the newest.

    Raises :class:`UserError` when the mbox does not hold all of it.
    """
    if not mbox.is_file():
        raise UserError(
            f"there is no file {mbox}",
            hint="save a thread first: b4 mbox MESSAGE-ID, or b4 am MESSAGE-ID",
        )
    mails = reader.read_mails(mbox)
    if not any(mail.number == 0 for mail in mails):
        cover = mbox.with_suffix(_COVER_SUFFIX)
        mails += reader.read_mails(cover) if cover.is_file() else []
    chosen = reader.of_version(mails, version, str(mbox))
    return reader.assemble(chosen, str(mbox)), chosen[0].version


def write(
    files: PatchFiles, version: int, root: Path, *, name: str, base: str, suites: Sequence[str]
) -> str:
    """Write a series below ``root`` and return its name; "" names it after its title.

    Raises :class:`UserError` for a name that is taken or is none.
    """
    name = name or f"{slug(files.title)}/v{version}"
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a series", hint="write it as TOPIC/VERSION")
    target = root / name
    if target.exists():
        raise UserError(f"{target} exists", hint="remove it, or give another name with --name")
    folder = target / base
    folder.mkdir(parents=True)
    for patch in files.patches:
        (folder / patch.name).write_bytes(_tidy(patch))
    if files.cover:
        (folder / COVER).write_bytes(_tidy(files.cover))
    manifest: dict[str, object] = {"title": files.title, "bases": {base: None}}
    if suites:
        manifest["suites"] = list(suites)
    if files.mailing:
        manifest["links"] = [f"Message-Id: {files.mailing.message_id}"]
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)
    (target / MANIFEST).write_text(text)
    return name


def to_mbox(files: PatchFiles) -> bytes:
    """Return a series as an mbox that ``--patch`` takes."""
    found = [files.cover, *files.patches]
    # A line within a message that would begin the next one is quoted, as git mailsplit expects.
    bodies = [
        re.sub(rb"(?m)^(?=>*From )", b">", _tidy(patch)[len(_FROM) :]) for patch in found if patch
    ]
    return b"".join(_FROM + body.rstrip(b"\n") + b"\n\n" for body in bodies)


def _tidy(patch: Patch) -> bytes:
    """Return a patch in git format-patch form, with the headers that say who wrote what when."""
    head, _, body = patch.content.partition(b"\n\n")
    kept, keep = [], False
    for line in head.split(b"\n"):
        if not line.startswith((b" ", b"\t")):
            keep = bool(_KEPT.match(line))
        if keep:
            kept.append(line)
    return _FROM + b"\n".join(kept) + b"\n\n" + body


def slug(title: str) -> str:
    """Return a title as a part of a file's name."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].rstrip("-") or "series"
