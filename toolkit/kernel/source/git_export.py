"""The tree of a commit as plain files, made from that of a near commit where there is one.

Either way it is what `git archive` gives, with attributes such as export-ignore and eol, but
without empty folders. With a near commit it takes time and disk space only for what differs.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolFailedError
from toolkit.host import process, unpack
from toolkit.host.cache import Cache
from toolkit.host.git import Change, Repository

Report = Callable[[int, int | None], None]  # bytes unpacked, bytes in all where known

_NOTHING = "000000"  # the mode of what is not there
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True)
class Near:
    """A tree that was exported before, with its files, which must not be written to."""

    tree: str
    path: Path


def export(
    repository: Repository,
    tree: str,
    target: Path,
    *,
    near: Near | None,
    report: Report,
    deadline: Deadline,
) -> None:
    """Make the new folder ``target`` hold the files of ``tree``.

    What ``near`` has with the same content is a hard link to its file. Raises what
    :func:`toolkit.host.unpack.unpack` raises.
    """
    changes = repository.changes(near.tree, tree, deadline) if near else None
    # Attributes reach files that did not change themselves.
    named = {posixpath.basename(change.path) for change in changes or ()}
    if near and changes is not None and _ATTRIBUTES not in named:
        try:
            process.run(["cp", "-al", "--", str(near.path), str(target)], deadline=deadline)
        except ToolFailedError:  # no hard links there, or it was pruned meanwhile
            Cache.remove_tree(target)
        else:
            _mend(repository, tree, target, changes, report=report, deadline=deadline)
            return
    file = target.with_name("archive.tar")
    for archive in repository.archive(tree, file, deadline):
        unpack.unpack(archive, target, report, deadline)
    file.unlink()
    # Where a submodule would be, or nothing but what export-ignore keeps out.
    for folder, _, files in os.walk(target, topdown=False):
        if not files:
            _remove_if_empty(Path(folder))


def _mend(
    repository: Repository,
    tree: str,
    target: Path,
    changes: Sequence[Change],
    *,
    report: Report,
    deadline: Deadline,
) -> None:
    """Bring a linked copy of another tree to what ``tree`` has at the paths that differ."""
    # What goes, goes first: a file may stand where a folder is wanted, and the other way.
    for change in changes:
        if change.before != _NOTHING:
            _remove(target, change.path)
    wanted = [change.path for change in changes if change.after != _NOTHING]
    if not wanted:
        return
    file, fresh = target.with_name("changed.tar"), target.with_name("changed")
    for archive in repository.archive(tree, file, deadline, wanted):
        unpack.unpack(archive, fresh, report, deadline)
        for path in wanted:
            source, place = fresh / path, target / path
            # An archive has one portion of the paths, without what export-ignore keeps out.
            if source.is_symlink() or source.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                source.rename(place)
        Cache.remove_tree(fresh)
    file.unlink()


def _remove(root: Path, path: str) -> None:
    """Remove a file, if export-ignore let it in, and the folders that are empty then."""
    file = root / path
    file.unlink(missing_ok=True)
    for folder in file.parents:
        if folder == root or not _remove_if_empty(folder):
            break


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
