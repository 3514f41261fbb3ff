"""The one way in for patches: reads what they lie in, whatever it is, through git."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.series import Mailing, Patch, Posting, Trailer
from toolkit.formats import patchfile
from toolkit.series import gitmail, sources, thread, versions
from toolkit.series.gitmail import Mail, MailFile
from toolkit.series.place import Place
from toolkit.series.sources import Kind, Source

SECONDS = 120.0  # by the clock, for a host that is busy; scratch bounds what a reader may take
_HINT = "make patches with `git format-patch`, and save mails unchanged"
_BASE = re.compile(r"^base-commit: ([0-9a-f]{7,64})$", re.MULTILINE)
_PREREQUISITE = re.compile(r"^prerequisite-patch-id: ([0-9a-f]{7,64})$", re.MULTILINE)
_CHANGE = re.compile(r"^change-id: (\S{1,250})$", re.MULTILINE | re.IGNORECASE)
_LINK = re.compile(r"^Link: (\S{1,500})", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- \n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PatchFiles:
    """Patches in order, and the cover letter's subject and text where there is one."""

    patches: tuple[Patch, ...]
    title: str
    cover_letter: str = ""
    cover: Mail | None = None
    mailing: Mailing | None = None
    posting: Posting = field(default_factory=Posting)
    notices: tuple[str, ...] = ()
    mails: tuple[Mail, ...] = ()  # of the patches


def read(
    place: Place,
    order: Sequence[str] = (),
    version: int | None = None,
    release: str | None = None,
) -> PatchFiles:
    """Return the series at ``place``.

    That is a folder, a quilt series, a mailbox, a Maildir, ``-``, a mail of a public archive or a
    range of commits. ``order`` names the files of a folder, all of them. Of several versions the
    newest is taken, or ``version``; of a thread's forms for several stable kernels the one for
    ``release`` (6.12.117). Raises :class:`UserError` where no series can be told, for a patch that
    is none and for one that touches what it may not, and :class:`InfrastructureError` for an
    archive that cannot be reached.
    """
    source = sources.find(place, order, version, deadline=Deadline.after(SECONDS))
    origin = str(place) if isinstance(place, Path) else place.name
    return _read(source, origin, version, release)


def read_bytes(
    data: bytes, name: str, version: int | None = None, release: str | None = None
) -> PatchFiles:
    """Return the series in a mailbox that is at hand; ``name`` stands for it in errors.

    Raises the same errors as :func:`read`.
    """
    return _read(Source(Kind.THREAD, (MailFile(name, data),)), name, version, release)


def with_cover(files: PatchFiles, path: Path) -> PatchFiles:
    """Return a series with the cover letter that lies beside it, as `b4 am` writes it."""
    (mail, *_) = gitmail.read(
        [MailFile(path.name, sources.read_file(path), raw=True)], Deadline.after(SECONDS)
    )
    if mail.problem or not mail.subject:
        return files
    return replace(
        files,
        title=mail.subject,
        cover_letter=_text(mail),
        cover=mail,
        mailing=mail.headers.mailing() or files.mailing,
    )


def read_mail(data: bytes, name: str) -> Mail:
    """Return a single mail, which may be a patch; raise :class:`UserError` when it is none."""
    (mail, *_) = gitmail.read([MailFile(name, data, raw=True)], Deadline.after(SECONDS))
    if mail.problem or not mail.headers.sender:
        raise UserError(f"{name} is no mail: {mail.problem or 'nobody sent it'}", hint=_HINT)
    return mail


def _read(source: Source, origin: str, version: int | None, release: str | None) -> PatchFiles:
    deadline = Deadline.after(SECONDS)
    mails = gitmail.read(source.files, deadline)
    chosen: Sequence[Mail]
    kernels, others = "", tuple[str, ...]()
    if source.kind is Kind.THREAD:
        choice = thread.choose(mails, version, origin, deadline, release)
        kernels = versions.shown(choice.kernels) if choice.kernels else ""
        others = tuple(map(versions.shown, choice.other_kernels))
        patches = [_named(number, mail) for number, mail in enumerate(choice.patches, 1)]
        chosen, cover, trailers = choice.patches, choice.cover, choice.trailers
        notices, number = choice.notices, choice.version
    else:
        patches, chosen, cover = _in_order(mails, source.kind)
        trailers, notices = (), source.notices
        number = _version(cover or chosen[0], version, origin)
    for patch in patches:
        patchfile.sections(patch)
    first = cover or chosen[0]
    posting = _posting(chosen, cover, number, trailers)
    posting = replace(
        posting,
        kernels=kernels,
        other_kernels=others,
        base_commit=source.base_commit or posting.base_commit,
    )
    mailing = first.headers.mailing() if source.kind is not Kind.QUILT else None
    return PatchFiles(
        patches=tuple(patches),
        title=first.subject if cover else patches[0].subject,
        cover_letter=_text(cover) if cover else "",
        cover=cover,
        mailing=mailing and replace(mailing, base_commit=posting.base_commit),
        posting=posting,
        notices=notices,
        mails=tuple(chosen),
    )


def _version(first: Mail, wanted: int | None, origin: str) -> int:
    """Return the version of files that all count, by the first one's subject or file's name."""
    number = max(first.headers.tags.version, sources.version_of(first.file.name))
    if wanted is not None and wanted != number:
        raise sources.no_version(origin, wanted, [number])
    return number


def _in_order(mails: Sequence[Mail], kind: Kind) -> tuple[list[Patch], list[Mail], Mail | None]:
    """Return every patch of files that all count, and the cover letter."""
    covers = [mail for mail in mails if kind is Kind.FOLDER and _is_cover(mail)]
    chosen = [mail for mail in mails if mail not in covers]
    alone = {mail.file.name for mail in chosen if mail.name == mail.file.name}
    patches = []
    for number, mail in enumerate(chosen, 1):
        if mail.problem:
            raise UserError(f"{mail.name} is no patch: {mail.problem}", hint=_HINT)
        if not mail.is_patch:
            raise UserError(f"{mail.name} changes no file", hint=_HINT)
        if mail.file.name in alone:
            patches.append(_titled(mail.patch(mail.file.name)))
        else:
            patches.append(_named(number, mail))
    if not patches:
        raise UserError(f"{mails[0].name} is a cover letter without patches", hint=_HINT)
    return patches, chosen, covers[0] if covers else None


def _is_cover(mail: Mail) -> bool:
    if mail.problem:
        return False
    unnumbered = sources.is_cover(mail.file.name) and not mail.is_patch
    return mail.headers.tags.number == 0 or unnumbered


def _titled(patch: Patch) -> Patch:
    """Return a patch that has a subject, if need be its file's name, as git quiltimport does."""
    name = PurePosixPath(patch.name).name
    return patch if patch.subject else replace(patch, subject=name.removesuffix(".patch"))


def _named(number: int, mail: Mail) -> Patch:
    """Return a patch under the name that git format-patch would give its file."""
    patch = _titled(mail.patch(mail.file.name))
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", patch.subject).strip("-.")[:52]
    return replace(patch, name=f"{number:04}-{slug or 'patch'}.patch")


def _text(cover: Mail) -> str:
    """Return the text of a cover letter, without its headers and git's signature."""
    diff = cover.content[cover.diff_at :].decode(errors="replace")
    whole = f"{cover.message}\n\n{diff}" if diff else cover.message
    return _SIGNATURE.split(whole, maxsplit=1)[0].strip()


def _posting(
    patches: Sequence[Mail], cover: Mail | None, version: int, trailers: tuple[Trailer, ...]
) -> Posting:
    """Return what the series says of itself in the places where format-patch and b4 write it."""
    top = [cover, patches[0]] if cover else [patches[0]]
    # What stands below a diff is read by nobody but git, which puts its base there.
    words = "\n".join(mail.content[-20_000:].decode(errors="replace") for mail in top)
    words += "\n" + "\n".join(_text(mail)[:100_000] for mail in top[:1])
    messages = "\n".join(mail.message for mail in (*top[:1], *patches))
    base, change = _BASE.search(words), _CHANGE.search(words)
    return Posting(
        version=version,
        base_commit=base[1] if base else "",
        prerequisites=tuple(dict.fromkeys(_PREREQUISITE.findall(words))),
        change_id=change[1] if change else "",
        links=tuple(dict.fromkeys(_LINK.findall(messages)))[:50],
        lists=top[0].headers.lists(),
        trailers=trailers,
    )
