"""Reads the patches of a series from a folder or from an mbox, in their order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.errors import UserError
from toolkit.core.model.series import Mailing, Patch
from toolkit.formats import patchfile
from toolkit.formats.patchfile import Mail

MAX_BYTES = 64 << 20  # a series is text that people read
_COVER = "0000-"
_MBOX_HINT = (
    "give one version of one series, as `b4 am` or `git format-patch --stdout` writes it, or take "
    "one out of a thread with `toolkit series import`"
)


@dataclass(frozen=True, slots=True)
class PatchFiles:
    """Patches in order, and the cover letter's subject and text where there is one."""

    patches: tuple[Patch, ...]
    title: str
    cover_letter: str = ""
    cover: Patch | None = None
    mailing: Mailing | None = None


def read_folder(folder: Path, order: Sequence[str] = ()) -> PatchFiles:
    """Return the ``*.patch`` files of ``folder``: sorted, or as ``order`` says.

    ``0000-*`` is the cover letter. Raises :class:`UserError` for a folder without patches, an
    order that does not name each of them once, and a file that is no patch.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    names = sorted(path.name for path in folder.glob("*.patch"))
    covers = [name for name in names if name.startswith(_COVER)]
    names = [name for name in names if name not in covers]
    if not names:
        inner = sorted(path.name for path in folder.iterdir() if any(path.glob("*.patch")))
        hint = f"did you mean one of its folders: {', '.join(inner)}?" if inner else ""
        raise UserError(f"{folder} has no *.patch file", hint=hint)
    if order:
        _check_order(folder, names, order)
    found = [_read(folder / name) for name in order or names]
    patches = [replace(mail.patch, path=folder / mail.patch.name) for mail in found]
    for patch in patches:
        patchfile.sections(patch)
    return _files(patches, _read(folder / covers[0]) if covers else None, found[0])


def _files(patches: Sequence[Patch], cover: Mail | None, first: Mail) -> PatchFiles:
    """Return the patches with what the cover letter says, or else the first patch."""
    if cover is None:
        return PatchFiles(tuple(patches), first.patch.subject, mailing=first.mailing)
    text = patchfile.body_text(cover)
    return PatchFiles(tuple(patches), cover.patch.subject, text, cover.patch, cover.mailing)


def _check_order(folder: Path, names: Sequence[str], order: Sequence[str]) -> None:
    for name in order:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
            raise UserError(f"the order names {name}, which is not in {folder}", hint=hint)
    for name in {*names, *order}:
        if order.count(name) != 1:
            times = "twice" if name in order else "nowhere"
            raise UserError(
                f"the order names {folder / name} {times}", hint="name each patch exactly once"
            )


def _read(path: Path) -> Mail:
    return patchfile.read_mail(_bytes(path), path.name)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MiB: that is no patch series")
    return data


# --- mbox --------------------------------------------------------------------------------


def read_mbox(path: Path) -> PatchFiles:
    """Return the patches of an mbox by their number; replies and other talk are left out.

    Raises :class:`UserError` for a gap, a number that comes twice, and several versions or
    series in one file.
    """
    return assemble(read_mails(path), str(path))


def read_mails(path: Path) -> list[Mail]:
    """Return the patches and cover letters of an mbox, each mail once, in the file's order."""
    data = _bytes(path)
    messages = patchfile.split_mbox(data) or [data]
    if not messages[0].startswith(b"From ") and len(messages) > 1:
        messages = [data]
    found: dict[str, Mail] = {}
    for number, message in enumerate(messages, 1):
        mail = patchfile.read_mail(message, f"{path.name}, mail {number}")
        known = mail.mailing.message_id if mail.mailing else str(number)
        if not mail.reply and (mail.is_patch or mail.number is not None):
            found.setdefault(known, mail)
    return list(found.values())


def of_version(mails: Sequence[Mail], version: int | None, origin: str) -> list[Mail]:
    """Return the mails of one version of a series; ``version`` None means the newest.

    Raises :class:`UserError` when there is no such version.
    """
    there = sorted({mail.version for mail in mails if mail.is_patch})
    if version is None and there:
        version = there[-1]
    if version not in there:
        known = ", ".join(f"v{number}" for number in there) or "none"
        raise UserError(f"{origin} holds no version {version}", hint=f"there is: {known}")
    return [mail for mail in mails if mail.version == version]


def assemble(mails: Sequence[Mail], origin: str) -> PatchFiles:
    """Return the series that ``mails`` are; ``origin`` stands for them in errors.

    Raises the same errors as :func:`read_mbox`.
    """
    cover = next((mail for mail in mails if mail.number == 0), None)
    patches = [mail for mail in mails if mail.number != 0 and (mail.is_patch or mail.number)]
    if not patches:
        raise UserError(f"{origin} holds no patch", hint=_MBOX_HINT)
    patches = _in_order(origin, patches, cover)
    named = [_named(number, mail.patch) for number, mail in enumerate(patches, 1)]
    for patch in named:
        patchfile.sections(patch)
    return _files(named, cover, patches[0])


def _in_order(origin: str, patches: list[Mail], cover: Mail | None) -> list[Mail]:
    numbers = [mail.number for mail in patches if mail.number is not None]
    if not numbers and cover is None:
        return patches  # `git format-patch -N` does not count; the file's order is git's
    everything = [*patches, *([cover] if cover else [])]
    versions = sorted({mail.version for mail in everything})
    totals = {mail.total for mail in everything if mail.total is not None}
    problem = ""
    if len(versions) > 1:
        problem = f"holds versions {', '.join(f'v{number}' for number in versions)}"
    elif len(numbers) != len(patches):
        problem = "holds patches with and without a number"
    elif len(totals) > 1:
        problem = f"holds parts of several series ({', '.join(f'n/{n}' for n in sorted(totals))})"
    elif repeated := sorted({number for number in numbers if numbers.count(number) > 1}):
        problem = f"holds patch {', '.join(map(str, repeated))} more than once"
    else:
        total = max(totals)
        if missing := [str(n) for n in range(1, total + 1) if n not in numbers][:20]:
            problem = f"lacks patch {', '.join(missing)} of {total}"
        elif max(numbers) > total:
            problem = f"holds patch {max(numbers)} of {total}"
    if problem:
        raise UserError(f"{origin} {problem}", hint=_MBOX_HINT)
    return sorted(patches, key=lambda mail: mail.number or 0)


def _named(number: int, patch: Patch) -> Patch:
    """Return ``patch`` under the name that git format-patch would give its file."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", patch.subject).strip("-.")[:52]
    return replace(patch, name=f"{number:04}-{slug or 'patch'}.patch")
