"""What all kernel sources have in common: their place in the cache, their release, progress."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host import integrity
from toolkit.host.cache import Cache

KIND = "source"  # of cache entries
STAGE = "fetch"  # under which progress is reported

_RELEASE = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.M)
_HEAD = 4096  # bytes of a Makefile that have these
_MIB = 1 << 20


class Provider(Protocol):
    """Knows how to get one kernel source."""

    @property
    def spec(self) -> str:
        """What the caller named it by."""

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """Return the base, and whether the cache had it.

        Raises :class:`UserError` for a source that does not exist or is no kernel, and
        :class:`InfrastructureError` when it cannot be brought here.
        """


def release(tree: Path) -> str:
    """Return a kernel tree's version, 6.12.117, from its Makefile.

    Raises :class:`UserError` when ``tree`` is no kernel.
    """
    try:
        with (tree / "Makefile").open("rb") as file:
            text = file.read(_HEAD).decode(errors="replace")
    except OSError:
        text = ""
    try:
        return release_of(text)
    except ValueError as error:
        raise UserError(
            f"{tree} holds no Linux kernel: {error}",
            hint="give the folder or archive whose top has the kernel's Makefile",
        ) from error


def release_of(makefile: str) -> str:
    """Return the version that the text of a kernel's Makefile gives.

    Raises :class:`ValueError` for any other Makefile.
    """
    numbers: dict[str, str] = {}
    for name, value in _RELEASE.findall(makefile[:_HEAD]):
        numbers.setdefault(name, value)
    if not all(numbers.get(name, "").isdecimal() for name in ("VERSION", "PATCHLEVEL")):
        raise ValueError("its Makefile gives no VERSION and PATCHLEVEL")
    version = f"{numbers['VERSION']}.{numbers['PATCHLEVEL']}.{numbers.get('SUBLEVEL') or 0}"
    return version + numbers.get("EXTRAVERSION", "")


def store(
    spec: str, key: str, fill: Callable[[Path], None], cache: Cache, deadline: Deadline
) -> tuple[KernelBase, bool]:
    """Return the source with this key, and whether the cache had it; else ``fill`` makes it."""

    def fill_entry(folder: Path) -> None:
        fill(folder / "tree")
        (folder / "release").write_text(_release_of(spec, folder / "tree"))
        integrity.remember_stamps(folder / "tree")

    folder, cached = cache.make(KIND, key, fill_entry, deadline=deadline, label=spec, checked=False)
    return KernelBase(spec, (folder / "release").read_text(), folder / "tree", key), cached


def _release_of(spec: str, tree: Path) -> str:
    try:
        return release(tree)
    except UserError as error:
        raise UserError(f"{spec} holds no Linux kernel", hint=error.hint) from error


def in_mib(observer: Observer, text: str) -> Callable[[int, int | None], None]:
    """Return what turns counts of bytes into the observer's progress, in MiB."""

    def report(done: int, total: int | None) -> None:
        observer.stage_progress(STAGE, done // _MIB, total // _MIB if total else None, text)

    return report


def save_pointer(pointer: Path, newest: object) -> None:
    """Replace the JSON file ``pointer``, which says what was stored last, in one step."""
    temporary = pointer.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(newest))
    temporary.rename(pointer)


def intact(folder: Path) -> bool:
    """Return whether the files of this entry may become part of another tree."""
    return not integrity.stamp_damage(folder / "tree")
