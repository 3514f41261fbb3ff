"""Kernels that are one file of words, and a suite whose cases do what the words say.

A line of ``virt/kvm/eventfd.c`` may be: ``fail CASE``, ``other CASE`` (fails in another way),
``flaky CASE`` (fails in every fifth run), ``skip CASE``, ``gone CASE``, ``warn PROGRAM`` (a
splat), ``bootwarn`` (a splat while booting), ``broken`` (does not compile), ``noboot``, ``comment``
(changes nothing) or ``loud`` (compiles with a warning).
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.fake_tree import edit, make_base, series
from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, BuildError
from toolkit.core.model.kernel import KernelBuild, KernelConfig
from toolkit.core.model.machine import Accelerator, GuestImage, Splat
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite, Leaf, Outcome, RawRun, TestProgram
from toolkit.core.observer import Observer, Silent
from toolkit.host.cache import digest
from toolkit.kernel.kbuild import Builder
from toolkit.testing import guest_program
from toolkit.testing.machines import MakeMachines
from toolkit.testing.result_cache import ResultCache
from toolkit.vm.factory import BootedGuest, MachineFactory
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

if TYPE_CHECKING:
    from toolkit.vm.machine import Machine
    from toolkit.vm.ssh import GuestSession

PROJECT = Path(__file__).parents[2]
FILE = "virt/kvm/eventfd.c"
BASE_LINE = 53
CASES = {"a_test": ("alpha", "beta", "gamma"), "b_test": ("delta",)}
IMAGE = GuestImage("it", "key", None, None, (), 512, 2, "q35", (), "dropbear")
WARNING = Splat("warning", "WARNING: at here", "WARNING: at here …", fatal=False, line=1)


def patches(*words: str, base: Sequence[str] = ()) -> PatchSeries:
    """Return a series whose N-th patch writes the N-th words; "A > B" replaces A by B.

    ``base`` are the words of the unpatched kernel, where one of them is replaced.
    """
    diffs = []
    lines = itertools.count(10, 7)
    where = {word: number for number, word in enumerate(base, BASE_LINE)}
    for word in words:
        old, arrow, new = word.partition(" > ")
        if arrow:
            line = where[old]
            diffs.append(edit(FILE, line, new).replace(f"-line {line}\n", f"-{old}\n"))
            where[new] = line
        else:
            where[word] = next(lines)
            diffs.append(edit(FILE, where[word], word))
    return series(*diffs)


class Watcher(Silent):
    """Remembers the cases that were told and the stages that ended."""

    def __init__(self) -> None:
        self.told: list[Leaf] = []
        self.stages: list[str] = []

    def stage_finished(self, record: Any) -> None:
        self.stages.append(record.name)

    def test_finished(self, leaf: Leaf) -> None:
        self.told.append(leaf)


class Laboratory:
    """A run over such kernels, with ``base`` words in the unpatched one."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *base: str) -> None:
        self.tmp_path = tmp_path
        self.ran: Counter[tuple[str, str]] = Counter()  # kernel's folder and program
        self.booted: Counter[str] = Counter()  # kernel's folder
        self._base = make_base(tmp_path / "tree")
        file = self._base.path / FILE
        text = file.read_text()
        for number, word in enumerate(base, BASE_LINE):
            text = text.replace(f"line {number}\n", f"{word}\n")
        file.write_text(text)
        suite = tmp_path / "suite"
        suite.mkdir()
        for name in CASES:
            (suite / name).write_bytes(b"\x7fELF" + name.encode())
        programs = tuple(TestProgram("kvm", name, 45.0) for name in CASES)
        # None: a run has to build them
        self.suites: tuple[BuiltSuite, ...] | None = (BuiltSuite("kvm", suite, programs),)
        self._lock = threading.Lock()
        laboratory = self

        def build(builder: Builder, tree: PatchedTree, *_: Any) -> tuple[KernelBuild, bool]:
            return laboratory._build(tree, _[-1])

        monkeypatch.setattr(Builder, "build", build)
        monkeypatch.setattr(guest_program, "install", lambda *_: None)
        monkeypatch.setattr(guest_program, "run_program", self._program)

    def run(
        self,
        patched: PatchSeries | None,
        *,
        result_cache: ResultCache | None = None,
        make_pool: MakeMachines | None = None,
        observer: Observer | None = None,
        **request: Any,
    ) -> Run:
        """Return a run whose suites are built, but whose kernel is not."""
        folder = self.tmp_path / f"run{len(list(self.tmp_path.glob('run*')))}"
        folder.mkdir()
        places = replace(
            paths.resolve(PROJECT),
            cache=self.tmp_path / "cache",
            history=self.tmp_path / "history.sqlite",
        )
        return Run(
            Request(patch=None, jobs=1, **request),
            places,
            folder,
            observer or Watcher(),
            reached=Reached(
                base=self._base,
                series=patched,
                config=KernelConfig("CONFIG_KVM=m\n", "config"),
                image=IMAGE,
                accelerator=Accelerator("tcg", "max", "because"),
                built_suites=self.suites,
            ),
            result_cache=result_cache,
            make_pool=make_pool or self._make_pool,
        )

    def _build(self, tree: PatchedTree, log: Path) -> tuple[KernelBuild, bool]:
        patched = tree.files.get(FILE)
        content = patched.content if patched else (tree.base.path / FILE).read_bytes()
        assert content is not None
        words = content.decode().splitlines()
        if "broken" in words:
            raise BuildError("the kernel does not build", detail=[f"{FILE}:9: error: broken"])
        log.write_text(f"{FILE}:3:1: warning: loud\n" if "loud" in words else "")
        folder = self.tmp_path / "builds" / tree.key
        folder.mkdir(parents=True, exist_ok=True)
        idle = re.compile(r"comment|loud|fine|line \d+")
        does = "\n".join(word for word in words if not idle.fullmatch(word))
        (folder / "kernel").write_text(does)
        (folder / "config").write_text("CONFIG_KVM=m\n")
        made = KernelBuild(
            path=folder,
            key=tree.key,
            release="6.12.117",
            image=folder / "kernel",
            image_digest=digest(does),
            modules=None,
            headers=folder,
            config=folder / "config",
        )
        return made, False

    def _make_pool(self, *, factory: MachineFactory, **_: Any) -> FakePool:
        return FakePool(factory.kernel, self.booted)

    def _program(self, vm: KernelBuild, session: Any, program: TestProgram, **_: Any) -> RawRun:
        with self._lock:
            self.ran[vm.key, program.name] += 1
            count, total = self.ran[vm.key, program.name], self.ran.total()
        words = vm.image.read_text().splitlines()
        lines, errors = [], []
        cases = [case for case in CASES[program.name] if f"gone {case}" not in words]
        for number, case in enumerate(cases, 1):
            flaky = f"flaky {case}" in words and count % 5 == 1
            bad = flaky or any(f"{word} {case}" in words for word in ("fail", "other"))
            skipped = not bad and f"skip {case}" in words
            skip = "# SKIP wants a feature" if skipped else ""
            lines.append(f"{'not ' if bad else ''}ok {number} {case} {skip}".rstrip())
            if bad:
                kind = "other" if f"other {case}" in words else "fail"
                errors.append(f"# x.c:9:{case}:Expected 0 ({kind}) at 0x{total:x}")
        failed = any(line.startswith("not") for line in lines)
        warned = f"warn {program.name}" in words
        return RawRun(
            suite="kvm",
            program=program.name,
            outcome=Outcome.COMPLETED,
            exit_status=1 if failed else 0,
            signal=None,
            stdout="\n".join(["TAP version 13", f"1..{len(cases)}", *lines, ""]),
            stderr="\n".join(errors),
            seconds=0.5,
            splats=(WARNING,) if warned else (),
        )


class FakePool:
    """Lends machines that are nothing but their kernel; counts its boots in ``booted``."""

    def __init__(self, kernel: KernelBuild, booted: Counter[str]) -> None:
        self.kernel = kernel
        self.boot_splats: tuple[Splat, ...] = ()
        self._booted = booted
        self._prepared = False

    def prepare(self) -> None:
        if self._prepared:
            return
        self._prepared = True
        self._booted[self.kernel.key] += 1
        words = self.kernel.image.read_text().splitlines()
        if "noboot" in words:
            raise BootError("the kernel did not come up")
        if "bootwarn" in words:
            self.boot_splats = (WARNING,)

    start = learn_boot = prepare

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        yield

    def capacity(self) -> int:
        return 2

    def identity(self) -> str:
        return self.kernel.image_digest

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[BootedGuest]:
        self.prepare()
        yield BootedGuest(cast("Machine", self.kernel), cast("GuestSession", None))
