"""What a base's work folder holds: the patched source, and a build folder for each configuration.

Both persist from run to run. Runs that want the same base at one time have work folders of their
own: the sources are hard links to the base's files, which nobody writes to, while objects are never
shared between folders. kbuild writes them in place, and commands that it records hold absolute
paths, so a copy would be compiled again anyway.

What a build runs can leave anything in the folder it builds in, for the next build to take for up
to date. So a series that changes what is run has folders of its own, which only series with the
same changes use again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.host import folders, integrity
from toolkit.kernel import build_rules, gcov_build, worktree
from toolkit.kernel.toolchain import GCC, Toolchain

Materialise = Callable[[PatchedTree, Path, Deadline], object]

NEAR = 40  # lines of .config in which two configurations that share a build folder may differ
STEPS = ".toolkit-steps"  # in a build folder that had a whole build: how many steps that took
_ALIVE = ".toolkit-alive"  # in a build folder: its time is when make there last got on
_SILENT = 300.0  # seconds in which make says nothing, at most: it links vmlinux, and that with LTO
_CONFIG = ".config"
# How many folders stay in a work folder, by their kinds.
_KEPT = {("out", "gcov"): 10, ("packaged",): 3, ("suite",): 12, ("conf",): 5}
_KINDS = {kind for kinds in _KEPT for kind in kinds}


@dataclass(slots=True)
class WorkTree:
    """A base's work folder while its lock is held; the source is patched at first use."""

    folder: Path
    tree: PatchedTree
    materialise: Materialise
    deadline: Deadline
    toolchain: Toolchain = GCC
    rules: str = field(init=False)  # what the tree's series changes of what a build runs
    _base_check: Future[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.rules = build_rules.rules(self.tree)

    def source(self) -> Path:
        """Return the patched source, bringing it up to date first.

        Meanwhile a thread checks that the base is as it was fetched (see :meth:`settle`); if it is
        not, ``deadline`` ends what is being built from it. Raises :class:`InfrastructureError`
        where the base is removed while it is read. Later it may go: its files are linked by then.
        """
        path = self.folder / "src"
        if self._base_check is None:
            pool = ThreadPoolExecutor(1)
            self._base_check = pool.submit(self._check_base)
            pool.shutdown(wait=False)
            inode = _inode(self.tree.base.path)
            try:
                self.materialise(self.tree, path, self.deadline)
            finally:
                # Each file of it that was gone counts as removed.
                if _inode(self.tree.base.path) != inode:
                    folders.remove(path)
                    raise worktree.base_removed(self.tree.base)
        return path

    def _check_base(self) -> str:
        damage = integrity.stamp_damage(self.tree.base.path)
        if damage:
            self.deadline.cancel()
        return damage

    def settle(self) -> None:
        """Raise :class:`InfrastructureError` if a file of the base was written to.

        Base and source share their files, so both are removed then: any build of them is wrong.
        """
        if self._base_check and (damage := self._base_check.result()):
            folders.remove(self.folder / "src")
            folders.remove(self.tree.base.path.parent)
            raise InfrastructureError(
                f"the cached source of {self.tree.base.name} is damaged: {damage}",
                hint="it has been removed; run again, and it is fetched again",
            )

    def place(self, kind: str) -> Path:
        """Return the folder of this ``kind``: each toolchain, and who changes rules, has its own.

        With another compiler every command is another one, and everything would be made again.
        """
        return self.folder / named(kind, self.toolchain, self.rules)

    def output(self, config: KernelConfig) -> Path:
        """Return the build folder for a configuration: a new one, or that of a similar one.

        kbuild tracks each option by itself (scripts/basic/fixdep.c), so where two configurations
        differ in little, going back and forth between them compiles little. The one option that
        makes a kernel count its lines changes every command. A new one has its .config already, by
        which :func:`is_building` knows it.
        """
        output = _near(self.folder, config.text, self.toolchain, self.rules)
        if output is None:
            output = self.place(f"{_kind(config.text)}-{config.key[:16]}")
        output.mkdir(exist_ok=True)
        if not (output / _CONFIG).exists():
            (output / _CONFIG).write_text(config.text)
        (output / _ALIVE).unlink(missing_ok=True)
        (output / _ALIVE).touch(exist_ok=False)
        os.utime(output)
        self._remove_surplus()
        return output

    def suite_objects(self, name: str) -> Path:
        """Return the folder for the objects of a suite, ``name``, from one build to the next."""
        rules = build_rules.rules(self.tree, selftests=True)
        objects = self.folder / named(f"suite-{name}", self.toolchain, rules)
        objects.mkdir(exist_ok=True)
        os.utime(objects)
        self._remove_surplus()
        return objects

    def _remove_surplus(self) -> None:
        """Remove what has not been used for longest."""
        by_kind: dict[str, list[Path]] = {}
        for path in self.folder.iterdir():
            kind = next((word for word in path.name.split("-") if word in _KINDS), "")
            by_kind.setdefault(kind, []).append(path)
        for kinds, most in _KEPT.items():
            places = [path for kind in kinds for path in by_kind.get(kind, ())]
            for path in sorted(places, key=lambda path: path.stat().st_mtime)[:-most]:
                folders.remove(path)


def _inode(path: Path) -> int:
    """Return a folder's inode, 0 where it is not there."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _kind(config: str) -> str:
    return "gcov" if gcov_build.is_on(config) else "out"


def named(kind: str, toolchain: Toolchain, rules: str = "") -> str:
    """Return what the folder of this kind is called in a work folder."""
    return "-".join(filter(None, (rules, "" if toolchain == GCC else toolchain.label, kind)))


def _near(folder: Path, config: str, toolchain: Toolchain, rules: str) -> Path | None:
    """Return the build folder in a work folder whose configuration is nearest, if it is near."""
    options = set(config.splitlines())
    distances: dict[Path, int] = {}
    for other in folder.glob(f"{named(_kind(config), toolchain, rules)}-*/{_CONFIG}"):
        with contextlib.suppress(FileNotFoundError):  # a folder that another run has may change
            distances[other.parent] = len(options ^ set(other.read_text().splitlines()))
    near = min(distances, key=lambda output: (distances[output], output.name), default=None)
    return near if near and distances[near] <= NEAR else None


def has_built(folder: Path, config: str, toolchain: Toolchain, rules: str = "") -> bool:
    """Return whether a near configuration was built in a work folder, so that little is left.

    ``rules`` are those of the series that is to be built (see :func:`build_rules.rules`).
    """
    near = _near(folder, config, toolchain, rules)
    return near is not None and (near / STEPS).exists()


def is_building(folder: Path, config: str, toolchain: Toolchain, rules: str = "") -> bool:
    """Return whether whoever has a work folder is making the first build of a near configuration.

    One that was stopped, or hangs, is none: that make gets on is seen in the build folder (see
    :func:`sign_of_life`). The arguments are those of :func:`has_built`.
    """
    near = _near(folder, config, toolchain, rules)
    if near is None or (near / STEPS).exists():
        return False
    try:
        return abs(time.time() - (near / _ALIVE).lstat().st_mtime) < _SILENT
    except FileNotFoundError:
        return False


def sign_of_life(output: Path) -> None:
    """Note in a build folder that what makes it has just got on.

    What runs there may put a link in the file's place: that is not followed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.utime(output / _ALIVE, follow_symlinks=False)
