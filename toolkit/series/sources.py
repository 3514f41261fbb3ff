"""Finds the files that a series lies in: a folder, a quilt series, a Maildir, a mailbox, a pipe.

Or has them made: out of commits, or out of a public archive.
"""

from __future__ import annotations

import codecs
import difflib
import functools
import gzip
import io
import itertools
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TextIO

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.files import content
from toolkit.series import QUILT, STDIN, commits, lore
from toolkit.series.gitmail import MailFile
from toolkit.series.place import Commits, Message, Place
from toolkit.series.scratch import MAX_BYTES

QUILT_CONTEXT = 1  # git quiltimport's -C1
MAX_FILES = 5000
MAX_LIST = 1 << 20  # characters of a quilt series' own file
MAX_NOTICES = 10

_PATCHES = (".patch", ".diff")
_MAILS = (".eml", ".mbox", ".mbx", ".cover", ".mail", ".txt")  # b4 am writes .mbx and .cover
_NUMBERED = re.compile(r"(?:v(\d{1,3})-)?(\d{4,})(?:-.*|\..*)?|(\d{1,5})")  # format-patch's names
_LEFT_BEHIND = re.compile(r"\..*|.*~|#.*#|.*\.(?:orig|rej|bak|sw[op])")  # by an editor, or hidden
_GZIP = b"\x1f\x8b"


class Kind(Enum):
    """How the mails of a source belong together."""

    THREAD = "thread"  # a series is to be picked out of whatever is there
    FOLDER = "folder"  # every file counts, in order
    QUILT = "quilt"  # as its series file says


@dataclass(frozen=True, slots=True)
class Source:
    """Files in order, and what is left to say of them."""

    kind: Kind
    files: tuple[MailFile, ...]
    notices: tuple[str, ...] = ()
    base_commit: str = ""  # what the series was made on, where that is certain


def find(
    place: Place, order: Sequence[str] = (), version: int | None = None, *, deadline: Deadline
) -> Source:
    """Return what lies at ``place``; ``order`` names the files of a folder, all of them.

    Of a folder that holds several versions of a series, by its files' names, the newest or
    ``version`` is taken. Raises :class:`UserError` where nothing is that could be read, and
    :class:`InfrastructureError` for an archive that cannot be reached.
    """
    if isinstance(place, Message):
        return Source(Kind.THREAD, (MailFile(place.name, lore.thread(place)),))
    if isinstance(place, Commits):
        files, base, notices = commits.read(place, deadline)
        return Source(Kind.FOLDER, tuple(files), notices, base)
    try:
        return _find(place, order, version)
    except OSError as error:
        hint = "name what is there and what you may read"
        raise UserError(f"cannot read {place}: {error.strerror}", hint=hint) from error


def _find(path: Path, order: Sequence[str], version: int | None) -> Source:
    if str(path) == STDIN:
        return Source(Kind.THREAD, (MailFile("standard input", standard_input()),))
    if path.name == QUILT and path.is_file():
        path = path.parent
    if not path.is_dir():
        return Source(Kind.THREAD, (MailFile(_plain(path.name), read_file(path), path),))
    if order:
        _check_order(path, _of_folder(path, version), order)
        return Source(Kind.FOLDER, tuple(_files(path, order)))
    if (path / QUILT).is_file():
        return _quilt(path)
    if maildir := _maildir(path):
        return Source(Kind.THREAD, tuple(_files(path, maildir)))
    names = _of_folder(path, version)
    if names:
        return Source(Kind.FOLDER, tuple(_files(path, [*_covers(path, version), *names])))
    mails = [name for name in _regular(path) if _plain(name).lower().endswith(_MAILS)]
    if not mails:
        inner = sorted(each.name for each in path.iterdir() if each.is_dir() and _any(each))
        hint = (
            f"did you mean one of its folders: {', '.join(inner)}?"
            if inner
            else ("it takes *.patch, *.diff, *.eml or *.mbox files, a quilt series, or a Maildir")
        )
        raise UserError(f"{path} has no patch in it", hint=hint)
    return Source(Kind.THREAD, tuple(_files(path, mails)))


# --- folders -----------------------------------------------------------------------------------


def _regular(folder: Path) -> list[str]:
    """Return the names of the files in a folder that somebody means to be seen."""
    names = [
        each.name
        for each in folder.iterdir()
        if not _LEFT_BEHIND.fullmatch(each.name) and each.is_file()
    ]
    if len(names) > MAX_FILES:
        raise UserError(f"{folder} has {len(names)} files", hint="name the folder of one series")
    return sorted(names)


def _any(folder: Path) -> bool:
    return (folder / QUILT).is_file() or any(
        _plain(each.name).lower().endswith(_PATCHES) for each in folder.iterdir()
    )


def _of_folder(folder: Path, version: int | None) -> list[str]:
    """Return the names of a folder's patches, without the cover letter, in order."""
    names = _candidates(folder)
    versions = {version_of(name) for name in names}
    if len(versions) > 1:
        newest = max(versions) if version is None else version
        if newest not in versions:
            raise no_version(str(folder), newest, versions)
        names = [name for name in names if version_of(name) == newest]
    names = [name for name in names if not is_cover(name)]
    if all(_NUMBERED.fullmatch(name) for name in names):
        names.sort(key=_number)
    return names


def _covers(folder: Path, version: int | None) -> list[str]:
    names = [name for name in _candidates(folder) if is_cover(name)]
    newest = version or max((version_of(name) for name in _candidates(folder)), default=1)
    return [name for name in names if len(names) == 1 or version_of(name) == newest]


def _candidates(folder: Path) -> list[str]:
    names = _regular(folder)
    for suffix in _PATCHES:
        if patches := [name for name in names if _plain(name).lower().endswith(suffix)]:
            return patches
    # `git format-patch --suffix` and `--numbered-files` end them otherwise.
    return [name for name in names if _NUMBERED.fullmatch(name)]


def no_version(origin: str, version: int, there: Iterable[int]) -> UserError:
    """Return the error for a version that is not among those that are there."""
    listed = ", ".join(f"v{number}" for number in sorted(there))
    return UserError(f"{origin} holds no version {version}", hint=f"there is: {listed}")


def version_of(name: str) -> int:
    """Return the version in the name that git format-patch gives a file; 1 for any other name."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1] or 1) if match else 1


def _number(name: str) -> tuple[int, str]:
    match = _NUMBERED.fullmatch(name)
    assert match is not None  # its caller has looked
    return int(match[2] or match[3]), name


def is_cover(name: str) -> bool:
    """Return whether git format-patch calls a cover letter's file so."""
    match = _NUMBERED.fullmatch(name)
    return match is not None and int(match[2] or match[3]) == 0


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


def _maildir(folder: Path) -> list[str]:
    """Return the mails of a Maildir as git mailsplit sorts them; none where it is none."""
    if not ((folder / "cur").is_dir() and (folder / "new").is_dir()):
        return []
    names = [f"{inner}/{name}" for inner in ("cur", "new") for name in _regular(folder / inner)]
    return sorted(
        names,
        key=lambda name: [
            (0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"(\d+)", name)
            if part
        ],
    )


# --- quilt -------------------------------------------------------------------------------------


def _quilt(folder: Path) -> Source:
    """Return the patches of a quilt series as git quiltimport takes them."""
    text = read_file(folder / QUILT).decode(errors="replace")
    if len(text) > MAX_LIST:
        raise UserError(
            f"{folder / QUILT} is larger than {MAX_LIST >> 20} MiB: that is no list of patches",
            hint="split the series",
        )
    files: list[MailFile] = []
    notices: list[str] = []
    total = names = 0
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{folder / QUILT}:{number}"
        words = itertools.takewhile(lambda word: not word.startswith("#"), line.split())
        name, level, garbage, *_ = (*words, "", "", "")
        if not name:
            continue
        names += 1
        if names > MAX_FILES:
            raise UserError(f"{where}: more than {MAX_FILES} patches", hint="split the series")
        if "-R" in (level, garbage):
            raise UserError(
                f"{where}: -R takes {name} back, and patches are only applied",
                hint="put the reversed patch in its place: interdiff -q FILE /dev/null",
            )
        if garbage:
            raise UserError(
                f"{where}: {garbage!r} follows the patch's level",
                hint="write each line as NAME -pN, and a comment behind #",
            )
        strip = None
        if level.startswith("-p"):
            strip = _level(level, where)
        elif level:
            notices.append(f"{where}: {level!r} is no patch level: passed over")
        path = _inside(folder, name, where)
        if not path.is_file():
            notices.append(f"{where}: there is no {name}: passed over")
            continue
        data = read_file(path)
        total += len(data)
        _check_size(total, str(folder))
        patch = MailFile(name, data, path, raw=True, keep_cr=True, strip=strip)
        files.append(replace(patch, context=QUILT_CONTEXT))
    if not files:
        problem = "names no patch that is there" if notices else "names no patch"
        raise UserError(
            f"{folder / QUILT} {problem}", hint="name one a line", detail=notices[:MAX_NOTICES]
        )
    if more := len(notices) - MAX_NOTICES:
        notices[MAX_NOTICES:] = [f"{folder / QUILT}: and {more} more"] if more > 0 else []
    return Source(Kind.QUILT, tuple(files), tuple(notices))


def _level(word: str, where: str) -> int:
    if not re.fullmatch(r"-p\d{1,2}", word):
        raise UserError(f"{where}: {word!r} is no patch level", hint="write -p0 or -p1")
    return int(word[2:])


def _inside(folder: Path, name: str, where: str) -> Path:
    if not name.isprintable() or len(name) > 4000:
        raise UserError(f"{where}: {name[:100]!a} is no file's name")
    path = folder / name
    top = folder.resolve()
    if ".." in Path(name).parts or not path.resolve().is_relative_to(top):
        raise UserError(
            f"{where}: {name} lies outside {folder}: refused",
            hint="a series file may name patches in its own folder and below it",
        )
    return path


# --- reading -----------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """Return a file's name without the ending of its compression."""
    return re.sub(r"\.gz$", "", name, flags=re.IGNORECASE)


def _files(folder: Path, names: Sequence[str]) -> Iterator[MailFile]:
    total = 0
    for name in names:
        data = read_file(folder / name)
        total += len(data)
        _check_size(total, str(folder))
        yield MailFile(_plain(name), data, folder / name)


def read_file(path: Path) -> bytes:
    """Return what a file holds, unpacked where it is compressed by gzip.

    Raises :class:`UserError` for what :func:`toolkit.core.files.content` does not read, and for
    what is too large when it is unpacked.
    """
    try:
        data = content(path, MAX_BYTES)
    except OSError as error:
        hint = "name a file that you may read, or - and give it on standard input"
        raise UserError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    return _unpacked(data, str(path))


def standard_input() -> bytes:
    """Return what standard input holds, with the bounds of :func:`read_file`."""
    if sys.stdin.isatty():
        raise UserError("no patch comes on standard input", hint="give a file: --patch - <FILE")
    return _unpacked(_whole(sys.stdin), "standard input")


@functools.cache  # it can be read once, and whoever watches or bisects asks again
def _whole(stream: TextIO) -> bytes:
    return stream.buffer.read(MAX_BYTES + 1)


def _unpacked(data: bytes, name: str) -> bytes:
    if data.startswith(_GZIP):
        _check_size(len(data), name)
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            hint = "unpack it by hand, or fetch it again"
            raise UserError(f"{name} is a damaged gzip file: {error}", hint=hint) from error
    _check_size(len(data), name)
    return data.removeprefix(codecs.BOM_UTF8)


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise UserError(
            f"{name} is larger than {MAX_BYTES >> 20} MiB: that is no patch series",
            hint="give the patches alone",
        )
