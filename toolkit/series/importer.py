"""Writes a series that was mailed into ``patches/``, and as a mailbox.

Patches keep their message, their trailers and the headers that matter; what mail servers added is
left out. Each is written anew, in git format-patch form and in UTF-8.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.text import visible
from toolkit.formats import mailheaders
from toolkit.series import STDIN, place, reader, scratch
from toolkit.series.catalog import MANIFEST
from toolkit.series.gitmail import Mail
from toolkit.series.reader import PatchFiles

COVER = "0000-cover-letter.patch"
_COVER_SUFFIX = ".cover"  # b4 am puts the cover letter into a file of its own
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*/[A-Za-z0-9][A-Za-z0-9._+-]*")
_MBOXRD = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"  # as public-inbox begins a mail


def read(name: str, version: int | None = None, release: str | None = None) -> PatchFiles:
    """Return the series that lies at the path ``name``, or whatever else that names.

    ``version`` None takes the newest; ``release`` is the kernel that it is for. Raises the errors
    of :func:`toolkit.series.reader.read`.
    """
    mbox = place.parse(name) or paths.expand(name)
    if not isinstance(mbox, Path):
        return reader.read(mbox, version=version, release=release)
    if not paths.exists(mbox) and name != STDIN:
        raise UserError(
            f"there is no file {mbox}",
            hint="name a mailbox, a folder of patches, a message-id or its URL",
        )
    files = reader.read(mbox, version=version, release=release)
    cover = mbox.with_suffix(_COVER_SUFFIX) if mbox.suffix else mbox
    if files.cover is None and cover != mbox and cover.is_file():
        files = reader.with_cover(files, cover)
    return files


def write(
    files: PatchFiles,
    root: Path,
    *,
    name: str,
    base: str,
    suites: Sequence[str],
    trailers: bool = False,
) -> str:
    """Write a series below ``root`` and return its name; "" names it after its title.

    ``trailers`` adds what replies gave to the messages. Raises :class:`UserError` for a name that
    is taken or is none.
    """
    name = name or f"{slug(files.title)}/v{files.posting.version}"
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a series", hint="write it as TOPIC/VERSION")
    target = root / name
    if target.exists():
        raise UserError(f"{target} exists", hint="remove it, or give another name with --name")
    folder = target / base
    folder.mkdir(parents=True)
    added = files.posting.trailers if trailers else ()
    for number, (patch, mail) in enumerate(zip(files.patches, files.mails, strict=True), 1):
        extra = [each.text for each in added if each.patch in (0, number)]
        (folder / patch.name.replace("/", "-")).write_bytes(_form(mail, extra))
    if files.cover:
        (folder / COVER).write_bytes(_form(files.cover))
    text = yaml.safe_dump(
        _manifest(files, base, suites), sort_keys=False, allow_unicode=True, width=100
    )
    (target / MANIFEST).write_text(text)
    return name


def _manifest(files: PatchFiles, base: str, suites: Sequence[str]) -> dict[str, object]:
    # YAML has no way to write some control characters, and none should be in a title.
    manifest: dict[str, object] = {"title": visible(files.title) or "-", "bases": {base: None}}
    if suites:
        manifest["suites"] = list(suites)
    links = [f"Message-Id: {files.mailing.message_id}"] if files.mailing else []
    links += [f"Link: {link}" for link in files.posting.links]
    if links:
        manifest["links"] = [visible(link) for link in links]
    return manifest


def to_mbox(files: PatchFiles) -> bytes:
    """Return a series as an mbox (mboxrd) that ``--patch`` takes."""
    mails = [files.cover, *files.mails] if files.cover else list(files.mails)
    # A line within a message that would begin the next one is quoted, as git mailsplit expects.
    bodies = [re.sub(rb"(?m)^(?=>*From )", b">", _form(mail).partition(b"\n")[2]) for mail in mails]
    return b"".join(_MBOXRD + body.rstrip(b"\n") + b"\n\n" for body in bodies)


def _form(mail: Mail, trailers: Iterable[str] = ()) -> bytes:
    """Return a mail in git format-patch form, with the headers that say who wrote what when."""
    message = mail.message
    if added := [each for each in trailers if each not in message]:
        message = _with_trailers(f"{mail.subject}\n\n{message}", added)
    head = mailheaders.compose(mail.headers, mail.author, mail.date, mail.subject, message)
    return head + mail.content[mail.diff_at :]


def _with_trailers(message: str, trailers: Iterable[str]) -> str:
    """Return a commit's message below its subject, with trailers where git puts them."""
    words = [word for each in trailers for word in ("--trailer", each)]
    argv = ["git", "interpret-trailers", "--if-exists=addIfDifferent", *words]
    with tempfile.TemporaryDirectory(prefix="toolkit-trailers-") as name:
        folder = Path(name).resolve() / "here"
        folder.mkdir()
        done = scratch.run(
            argv, folder, Deadline.after(60), what="trailers", input=message.encode() + b"\n"
        )
    return done.text.partition("\n\n")[2].rstrip("\n")


def slug(title: str) -> str:
    """Return a title as a part of a file's name."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].rstrip("-") or "series"
