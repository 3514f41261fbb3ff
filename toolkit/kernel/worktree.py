"""Keep a tree on disk that kbuild works from: a base with a series laid over it.

It is a hard-linked copy of the pristine base, and lives on from run to run. Only files whose
content changes are touched, so that make's time stamps stay true. A small file beside the tree
says what the overlay is, and what is about to change before it changes, so that a run that is
killed at any moment is repaired by the next. The tree's change log keeps the same for builds.

The caller holds the lock on the tree.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedTree
from toolkit.host import integrity, process
from toolkit.host.cache import Cache
from toolkit.kernel.incremental import ChangeLog

# What a path holds: b"x" or b"-" for the right to execute and then the content, b"l" and then
# where a symbolic link points to, or None for nothing.
_Wanted = bytes | None
_NONE = (0, 0, -1)  # device, inode and size of what is not there


@dataclass
class _State:
    """What the last run left: the base, the overlay's files, and what it had not finished.

    ``position`` is where the change log ended: one that ends elsewhere has missed a change.
    """

    base: str = ""
    files: dict[str, list[Any]] = field(default_factory=dict)  # path: stat, digest
    dirty: list[str] = field(default_factory=list)
    position: str = ""


def materialise(tree: PatchedTree, target: Path, deadline: Deadline) -> list[str]:
    """Make the folder ``target`` hold ``tree``; return the paths that were changed in it.

    ``target`` is made at first use, and must be on the file system of the base. If it held
    another base, only what differs between the two is touched. A file that goes back to the
    base's content gets a new time stamp, since make has to see that. Raises
    :class:`InfrastructureError` when the disk does not allow it.
    """
    try:
        return _Worktree(tree, target, deadline).update()
    except OSError as error:
        raise InfrastructureError(
            f"cannot update the work tree {target}: {error}",
            hint="see whether the disk is full, or remove that folder: it is made again",
        ) from error


def base_removed(base: KernelBase) -> InfrastructureError:
    """Return the error for a base that is no longer where it was found."""
    return InfrastructureError(
        f"the cached source of {base.name} was removed while it was read",
        hint="another run found it damaged or pruned the cache; run again, it is fetched again",
    )


class _Worktree:
    """One update of one work tree."""

    def __init__(self, tree: PatchedTree, target: Path, deadline: Deadline) -> None:
        self.tree = tree
        self.base = tree.base.path
        self.base_id = _identity(tree.base)
        self.target = target
        self.deadline = deadline
        self.log = ChangeLog(target)
        self.state_file = target.with_name(f".{target.name}.overlay.json")
        self.aside = target.with_name(f".{target.name}.new")

    def update(self) -> list[str]:
        if not self.base.is_dir():  # or each file of it would count as removed
            raise base_removed(self.tree.base)
        if not self.target.is_dir():
            self._copy_base()
        state = self._load()
        if state.position != self._position():
            self.log.begin(self.log.tree_id())
        paths = {*self.tree.files, *state.files, *state.dirty}
        if state.base != self.base_id:
            paths |= self._differences()
        now: dict[str, list[Any]] = {}
        changes: dict[str, bool] = {}  # path: whether only its content changes
        for path in sorted(paths):
            wanted = self._wanted(path)
            unchanged = [_digest(wanted), _stamp(self.target / path)]
            if state.files.get(path) != unchanged and (held := _read(self.target / path)) != wanted:
                changes[path] = _kind(held) == _kind(wanted) != b""
            elif path in self.tree.files:
                now[path] = unchanged
        if changes:
            self.log.add(changes)
            self._save(_State(state.base, now, list(changes), self._position()))
            self._change(list(changes))
            for path in self.tree.files.keys() & set(changes):
                now[path] = [_digest(self._wanted(path)), _stamp(self.target / path)]
        final = _State(self.base_id, now, position=self._position())
        if final != state:
            self._save(final)
        return list(changes)

    def _wanted(self, path: str) -> _Wanted:
        file = self.tree.files.get(path)
        if file is None:
            return _read(self.base / path)
        return None if file.content is None else (b"-", b"x")[file.executable] + file.content

    def _change(self, paths: list[str]) -> None:
        self.aside.unlink(missing_ok=True)
        # What goes, goes first: a file may stand where a folder is wanted, and the other way.
        gone = [path for path in paths if self._wanted(path) is None]
        for path in gone:
            self._remove(path)
        for path in sorted(set(paths) - set(gone)):
            self.deadline.check("updating the work tree")
            # Read again rather than kept: another base may differ in most of its files.
            wanted = self._wanted(path)
            assert wanted is not None  # the base does not change
            self._put(path, wanted)

    def _put(self, path: str, wanted: bytes) -> None:
        # Renamed into place, never written to: the old file may be a link to the base's own.
        if wanted.startswith(b"l"):
            self.aside.symlink_to(os.fsdecode(wanted[1:]))
        else:
            self.aside.write_bytes(wanted[1:])
            self.aside.chmod(0o755 if wanted.startswith(b"x") else 0o644)
        (self.target / path).parent.mkdir(parents=True, exist_ok=True)
        self.aside.rename(self.target / path)

    def _remove(self, path: str) -> None:
        file = self.target / path
        if file.is_symlink() or not file.is_dir():
            file.unlink(missing_ok=True)
        for parent in file.parents:
            if parent == self.target:
                break
            try:
                parent.rmdir()
            except OSError:  # not empty, or gone already
                break

    # --- the base ---------------------------------------------------------------------------

    def _copy_base(self) -> None:
        partial = self.target.with_name(f".{self.target.name}.partial")
        Cache.remove_tree(partial)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        argv = ["cp", "-a", "--", str(self.base), str(partial)]
        try:
            process.run([*argv[:1], "-l", *argv[1:]], deadline=self.deadline)
        except ToolFailedError:  # another file system, or one without hard links
            Cache.remove_tree(partial)
            process.run(argv, deadline=self.deadline)
        # Both are true before the tree can be seen.
        self.log.begin()
        self._save(_State(self.base_id, position=self._position()))
        partial.rename(self.target)

    def _differences(self) -> set[str]:
        """Return the paths at which target and base differ; hard links are equal."""
        of_base = dict(_identities(self.base))  # 90,000 files, and the target is not held as well
        different = set()
        for path, (*file, size) in _identities(self.target):
            *base_file, base_size = of_base.pop(path, _NONE)
            if file != base_file:
                self.deadline.check("comparing the work tree with its base")
                if size != base_size or _read(self.target / path) != _read(self.base / path):
                    different.add(path)
        return different | of_base.keys()

    # --- the state --------------------------------------------------------------------------

    def _position(self) -> str:
        return self.log.position() or ""

    def _load(self) -> _State:
        try:
            state = _State(**json.loads(self.state_file.read_text()))
            state.files = dict(state.files)
            state.dirty = list(state.dirty)
        except (OSError, ValueError, TypeError):
            return _State()  # every file is compared then
        return state

    def _save(self, state: _State) -> None:
        temporary = self.state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(vars(state)))
        temporary.rename(self.state_file)


def _identity(base: KernelBase) -> str:
    """Return what another base does not have, nor the same one after it was fetched again.

    Its files may have been damaged then, and so are a work tree's links to them.
    """
    try:
        stamps = base.path.with_name(integrity.STAMPS).stat()
    except FileNotFoundError:
        return base.key
    return f"{base.key} {stamps.st_ino} {stamps.st_mtime_ns}"


def _identities(root: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the path of each file below ``root``, with its device, inode and size."""
    for path, info in integrity.walk(root):
        yield path, (info.st_dev, info.st_ino, info.st_size)


def _read(file: Path) -> _Wanted:
    try:
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            return b"l" + os.fsencode(file.readlink())
        if not stat.S_ISREG(mode):
            return None
        return (b"x" if mode & stat.S_IXUSR else b"-") + file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kind(held: _Wanted) -> bytes:
    return b"" if held is None else held[:1]


def _digest(wanted: _Wanted) -> str | None:
    return None if wanted is None else hashlib.sha256(wanted).hexdigest()


def _stamp(file: Path) -> list[int] | None:
    """Return what of a file's status changes when it is written to."""
    try:
        info = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [info.st_size, info.st_mtime_ns, info.st_ino, info.st_mode]
