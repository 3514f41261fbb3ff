"""What a worker is asked to do: one of the toolkit's own commands, and what that needs of a host.

A job is a child process, so that it can be stopped, and whatever it does to itself the worker lives
on. Its command has places for what only the worker knows: :data:`~toolkit.matrix.inputs.PLACE`,
:data:`FOLDER` and :data:`BUNDLE`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from toolkit.core.arch import X86_64
from toolkit.core.model.matrix import AXES, Cell
from toolkit.host.cache import digest
from toolkit.matrix import inputs, values

FOLDER, BUNDLE = "{folder}", "{bundle}"
RUN, SAVED = "run", "bundle"  # in FOLDER: what a command writes its results into, and its build
_FETCH_SECONDS = 3600.0
_DEADLINE = 7200.0  # of the commands, by default
_NAME = 60  # characters of a cell's name

# What a worker offers and a job takes of it; but for the last two, each for one architecture.
VM, KVM, BUILD, TOOLCHAIN = "VM", "KVM", "build", "toolchain"
SOURCES, MEMORY = "kernel sources", "memory in MiB"


class Kind(StrEnum):
    """The kinds of job, in the order in which a cell needs them."""

    FETCH = "fetch"
    BUILD = "build"
    TEST = "test"
    WHOLE = "build and test"  # on one host, and so of use to nobody else


@dataclass(frozen=True, slots=True)
class Job:
    """One command for a worker. ``needs`` is what it takes of a worker's offers, by name.

    ``number`` is that of a shard, counted from 1. What the command leaves goes into ``folder``,
    relative to the matrix's; nowhere if it is empty.
    """

    run: str  # of the matrix
    name: str  # unique in it
    kind: Kind
    title: str
    words: tuple[str, ...]
    needs: tuple[tuple[str, float], ...]
    seconds: float  # that it may take
    folder: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell with its name, which is part of paths; ``inner`` has values that a worker knows."""

    name: str
    cell: Cell
    inner: Cell


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that one build serves: they differ in their suite, and in how they are tested."""

    name: str
    cells: tuple[Planned, ...]

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites that are built, none of them where the series says which."""
        return tuple(dict.fromkeys(filter(None, (each.inner.suite for each in self.cells))))

    def apart(self) -> list[Group]:
        """Return a group for each suite, for a build that fails with all of them."""
        return [
            _group([each for each in self.cells if each.inner.suite == suite])
            for suite in self.suites
        ]


Subject = Group | Planned | str  # what a job is for: a build, a cell's tests, a kernel


def planned(cells: Sequence[Cell], inner: Sequence[Cell]) -> list[Planned]:
    """Return the cells with their names."""
    return [Planned(_name(cell), cell, its) for cell, its in zip(cells, inner, strict=True)]


def groups(cells: Iterable[Planned]) -> list[Group]:
    """Return the cells by the build that they need; a baseline's are built where they are tested.

    Cells for the suites that the series names do not join others, of which nobody knows more.
    """
    sharing: dict[tuple[str, ...], list[Planned]] = {}
    for each in cells:
        inner = each.inner
        own = (inner.suite and "named", each.name * inner.baseline)
        key = (*(getattr(inner, axis) for axis in AXES if axis != "suite"), *own)
        sharing.setdefault(key, []).append(each)
    return [_group(members) for members in sharing.values()]


def _group(cells: Sequence[Planned]) -> Group:
    return Group(digest(*(each.name for each in cells))[:12], tuple(cells))


def _name(cell: Cell) -> str:
    plain = "-".join(filter(None, (cell.series or "base", cell.kernel, cell.profile, cell.suite)))
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", plain).strip("-.").lower()[:_NAME]
    return f"{plain}-{digest(cell.axes)[:6]}"


# --- the commands ----------------------------------------------------------------------------


def fetch(run: str, kernel: str) -> Job:
    """Return the job that brings a kernel's source to a host."""
    return Job(
        run,
        f"fetch-{digest(kernel)[:12]}",
        Kind.FETCH,
        f"fetch {kernel}",
        (*_root(), Kind.FETCH.value, "--kernel", kernel),
        ((SOURCES, 1),),
        _FETCH_SECONDS,
    )


def build(run: str, group: Group) -> Job:
    """Return the job that builds what the cells of a group are tested with."""
    inner = group.cells[0].inner
    words = [*_root(), "build", *_arch(inner), *_building(inner, group.suites)]
    return Job(
        run,
        f"build-{group.name}",
        Kind.BUILD,
        f"build {_subject(group.cells[0].cell)}",
        (*words, "--save", f"{FOLDER}/{SAVED}", *_run_dir()),
        _compiler(inner),
        max(each.cell.seconds for each in group.cells),
        f"builds/{group.name}",
    )


def test(
    run: str, planned: Planned, shard: tuple[int, int], programs: Sequence[str], memory_mib: int
) -> Job:
    """Return the job that runs some of a cell's programs; all of them where there is one shard."""
    inner, (number, count) = planned.inner, shard
    words = [*_root(), "test", "--from", BUNDLE, *_arch(inner), *_testing(inner)]
    for name in programs if count > 1 else ():
        words += ["--test", glob.escape(name)]
    if inner.suite:
        words += ["--suite", inner.suite]
    part = f" {number}/{count}" if count > 1 else ""
    return Job(
        run,
        f"test-{planned.name}-{number}-of-{count}",
        Kind.TEST,
        f"test {_subject(planned.cell)}, {planned.cell.suite or 'its suites'}{part}",
        (*words, *_run_dir()),
        (*_machine(inner), (MEMORY, memory_mib)),
        inner.seconds,
        _cell_folder(planned) + (f"/shard-{number}" if count > 1 else ""),
        number,
    )


def whole(run: str, planned: Planned) -> Job:
    """Return the job that builds and tests a cell beside its base."""
    inner = planned.inner
    suites = (inner.suite,) if inner.suite else ()
    words = [*_root(), "build-and-test", *_arch(inner), *_building(inner, suites)]
    words += _testing(inner)
    return Job(
        run,
        f"whole-{planned.name}",
        Kind.WHOLE,
        f"test {_subject(planned.cell)} beside its base",
        (*words, "--baseline", *_run_dir()),
        (*_compiler(inner), *_machine(inner)),
        inner.seconds,
        _cell_folder(planned),
    )


def command(cell: Cell) -> tuple[str, ...]:
    """Return the command that repeats a cell by itself."""
    suites = (cell.suite,) if cell.suite else ()
    baseline = ["--baseline"] * cell.baseline
    arch = _arch(cell) if cell.arch != X86_64.name else ()
    words = ("toolkit", "build-and-test", *arch, *_building(cell, suites), *_testing(cell))
    return (*words, *baseline)


def of_arch(kind: str, arch: str) -> str:
    """Return what a worker offers for an architecture: a VM, a build …."""
    return f"{kind} {arch}"


def toolchain(name: str, arch: str) -> str:
    """Return what a worker with a toolchain for an architecture offers."""
    return f"{TOOLCHAIN} {name} {arch}"


def _cell_folder(planned: Planned) -> str:
    return f"cells/{planned.name}"


def _root() -> tuple[str, ...]:
    return ("--root", inputs.PLACE)


def _run_dir() -> tuple[str, ...]:
    return ("--run-dir", f"{FOLDER}/{RUN}")


def _building(cell: Cell, suites: Sequence[str]) -> list[str]:
    words = ["--patch", cell.series] if cell.series else []
    words += ["--kernel", cell.kernel]
    for suite in suites:
        words += ["--suite", suite]
    for option, value, default in (
        ("--config", cell.config, "tiny"),
        ("--toolchain", cell.toolchain, "gcc"),
        ("--image", cell.image, "minimal"),
    ):
        if value != default:
            words += [option, value]
    for profile in values.profiles(cell):
        words += ["--profile", profile]
    return words


def _testing(cell: Cell) -> list[str]:
    words = ["--accel", cell.accel] if cell.accel != "auto" else []
    words += ["--slow"] * cell.slow
    if cell.repeat > 1:
        words += ["--repeat", str(cell.repeat)]
    if cell.seconds != _DEADLINE:
        words += ["--deadline", f"{cell.seconds:g}"]
    return words


def _arch(cell: Cell) -> tuple[str, ...]:
    return ("--arch", cell.arch)


def _machine(cell: Cell) -> tuple[tuple[str, float], ...]:
    kinds = (VM, KVM) if cell.accel == "kvm" else (VM,)
    return tuple((of_arch(kind, cell.arch), 1) for kind in kinds)


def _compiler(cell: Cell) -> tuple[tuple[str, float], ...]:
    return ((of_arch(BUILD, cell.arch), 1), (toolchain(cell.toolchain, cell.arch), 1))


def _subject(cell: Cell) -> str:
    plain = ("", "tiny", "gcc", X86_64.name)
    extras = (cell.arch, cell.profile, cell.config, cell.toolchain)
    words = f"{cell.series or 'the base'} on {cell.kernel}"
    return ", ".join([words, *(each for each in extras if each not in plain)])
