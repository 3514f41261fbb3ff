"""Every command against every kind of bad end, cold and warm: the table in docs/verdict-table.md.

Machines and kernels are fakes (:mod:`tests.unit.fake_kernels`); what is between them and the exit
code is the toolkit's own. ``TOOLKIT_UPDATE_DOCS=1`` writes the table anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.fake_kernels import PROJECT, FakePool, Laboratory, patches
from toolkit.core.deadline import Deadline
from toolkit.core.errors import EXIT_OK, MachineLostError, ToolkitError
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import Outcome, RawRun, TestProgram
from toolkit.core.observer import Silent
from toolkit.core.paths import Paths
from toolkit.report import artifacts, b4
from toolkit.testing.result_cache import ResultCache
from toolkit.vm import coldplug
from toolkit.vm.factory import BootedGuest, MachineFactory
from toolkit.workflow import bisect_judge, pipeline
from toolkit.workflow.bisect_judge import Judge, Question
from toolkit.workflow.bisect_state import Judgement
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

if TYPE_CHECKING:
    from toolkit.vm.machine import Machine
    from toolkit.vm.ssh import GuestSession

TABLE = PROJECT / "docs/verdict-table.md"
PANIC = Splat("panic", "Kernel panic - not syncing: x", "Kernel panic …", fatal=True, line=1)
LEAK = Splat("kmemleak", "kmemleak: 1 new suspected memory leaks", "…", fatal=False, line=1)

# What the kernel under test does, in the words of the fake: how it is called in the table.
ENDS = {
    "": "nothing bad",
    "fail alpha": "a case fails",
    "crash a_test": "the program gets SIGSEGV",
    "hang a_test": "the program does not end",
    "silent a_test": "the program reports nothing",
    "bootwarn": "a splat at boot or while modules load",
    "warn a_test": "a splat in a test, or after the last one",
    "leak a_test": "a leak that kmemleak finds",
    "panic a_test": "a panic in a test",
    "noboot": "the kernel does not come up",
    "broken": "the kernel does not compile",
    "lost a_test": "QEMU is killed",
}


class _Pool(FakePool):
    """Lends machines that have a console with what their kernel said while booting."""

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[BootedGuest]:
        with super().boot(deadline):
            machine = SimpleNamespace(
                image=self.kernel.image, key=self.kernel.key, splats=lambda: self.boot_splats
            )
            yield BootedGuest(cast("Machine", machine), cast("GuestSession", None))


class Worse(Laboratory):
    """Kernels whose programs also crash, hang, say nothing, leak, panic and lose their machine."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(tmp_path, monkeypatch)
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(coldplug, "synchronise", lambda *_: None)

    def _make_pool(self, *, factory: MachineFactory, **_: Any) -> FakePool:
        return _Pool(factory.kernel, self.booted)

    def like(
        self, run: Run, reached: Reached, *, request: Request | None = None, **more: Any
    ) -> Run:
        """Return a run in the place of ``run`` whose stages have come to ``reached``."""
        make_pool = self._make_pool
        given = (request or run.request, run.paths, run.folder, Silent())
        return Run(*given, reached=reached, make_pool=make_pool, **more)

    def _program(self, vm: Any, session: Any, program: TestProgram, **more: Any) -> RawRun:
        raw = super()._program(vm, session, program, **more)
        words = vm.image.read_text().splitlines()
        ends: dict[str, dict[str, Any]] = {
            "crash": {"signal": "SEGV", "exit_status": None, "stdout": "TAP version 13\n1..3\n"},
            "hang": {
                "outcome": Outcome.TIMED_OUT,
                "exit_status": None,
                "stdout": "TAP version 13\n1..3\nok 1 alpha\n",
                "note": "did not end within 45 s",
            },
            "silent": {"stdout": ""},
            "leak": {"splats": (LEAK,)},
            "panic": {
                "outcome": Outcome.PANICKED,
                "exit_status": None,
                "stdout": "TAP version 13\n1..3\nok 1 alpha\n",
                "splats": (PANIC,),
                "note": PANIC.title,
            },
        }
        if f"lost {program.name}" in words:
            raise MachineLostError("QEMU was killed by signal 9")
        for word, fields in ends.items():
            if f"{word} {program.name}" in words:
                return dataclasses.replace(raw, **fields)
        return raw


@dataclasses.dataclass(frozen=True)
class End:
    """How a command ended: its exit code, and its verdict in a word."""

    code: int
    word: str

    def __str__(self) -> str:
        return f"{self.code} {self.word}"


Command = Callable[[Worse, str], list[End]]


def _finished(run: Run) -> End:
    """Take a run to its verdict, as the command line does."""
    try:
        result = pipeline.build_and_test(run)
    except ToolkitError as error:
        written = artifacts.read_result(run.folder)
        assert written.exit_code == error.exit_code
        return End(error.exit_code, pipeline.verdict_of(error).value)
    assert artifacts.read_result(run.folder) == result
    return End(result.exit_code, result.verdict.value)


def _series(word: str) -> Any:
    return patches(*filter(None, ["comment", word]))


def build_and_test(laboratory: Worse, word: str) -> list[End]:
    return [_finished(laboratory.run(_series(word))) for _ in range(2)]


def saved_build(laboratory: Worse, word: str) -> list[End]:
    """``toolkit test --from``: there is a kernel, and no tree that it was built from."""
    built = laboratory.run(_series(word))
    try:
        kernel = built.kernel
    except ToolkitError:
        return []  # nothing to save
    reached = dataclasses.replace(built.reached, tree=None, config=None, kernel=kernel)
    return [_finished(laboratory.like(laboratory.run(None), reached)) for _ in range(2)]


def watch(laboratory: Worse, word: str) -> list[End]:
    """One edit after another, the second of which changes nothing."""
    results = ResultCache()
    return [_finished(laboratory.run(_series(word), result_cache=results)) for _ in range(2)]


def baseline(laboratory: Worse, word: str) -> list[End]:
    return [_finished(laboratory.run(_series(word), baseline=True)) for _ in range(2)]


def each(laboratory: Worse, word: str) -> list[End]:
    return [_finished(laboratory.run(_series(word), each=True)) for _ in range(2)]


def b4_check(laboratory: Worse, word: str) -> list[End]:
    """The worst status among the answers; b4 reads that, and not an exit code."""
    ends = []
    for _ in range(2):
        run = laboratory.run(_series(word))
        _finished(run)
        answers = b4.of_result(artifacts.read_result(run.folder), run.folder)
        worst = min((answer.status for answer in answers), key=["fail", "warn", "pass"].index)
        ends.append(End(EXIT_OK, worst))
    return ends


def _bisection(leaf: str) -> Command:
    """``toolkit bisect`` as a step of git's own, with its exit codes."""
    codes = {Judgement.GOOD: 0, Judgement.BAD: 1, Judgement.SKIP: 125}

    def bisect(laboratory: Worse, word: str) -> list[End]:
        like = laboratory.run(_series(word))
        judge = Judge(Question(leaf, ("kvm",)), like)

        def run(request: Request, _paths: Paths, *_: object, **more: Any) -> Run:
            again = laboratory.run(None)
            return laboratory.like(again, like.reached, request=request, **more)

        laboratory.monkeypatch.setattr(bisect_judge, "Run", run)
        ends = []
        for _ in range(2):
            try:
                judgement, _reason = judge("tree:fake", laboratory.tmp_path, Silent())
            except ToolkitError:
                ends.append(End(128, "git stops"))
            else:
                ends.append(End(codes[judgement], judgement.value))
        return ends

    return bisect


COMMANDS: dict[str, Command] = {
    "build-and-test": build_and_test,
    "test --from": saved_build,
    "watch": watch,
    "build-and-test --baseline": baseline,
    "build-and-test --each": each,
    "b4-check series": b4_check,
    "bisect --leaf kvm/a_test": _bisection("kvm/a_test"),
    "bisect --leaf kvm/a_test/dmesg": _bisection("kvm/a_test/dmesg"),
    "bisect --leaf boot/dmesg": _bisection("boot/dmesg"),
}


HEAD = """# What each command makes of each bad end

A row is what the kernel under test does, a column is a command; a cell has the exit code and the
verdict. Each was run twice, with a cold cache and with a warm one, and gave the same both times.
Machines and kernels are fakes here; the way from them to the exit code is the toolkit's own
(`tests/unit/test_sweep.py` writes this page). `b4-check` answers in JSON and exits with 0;
its cells have the worst of its answers. `bisect` is a step for `git bisect run`, with git's codes.
"""


def test_every_command_against_every_end(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for word, end in ENDS.items():
        cells = []
        for command in COMMANDS.values():
            laboratory = Worse(tmp_path_factory.mktemp("sweep"), monkeypatch)
            ends = command(laboratory, word)
            assert len(set(ends)) <= 1, f"{end}: cold and warm differ: {ends}"
            cells.append(str(ends[0]) if ends else "-")
        rows.append(f"| {end} | {' | '.join(cells)} |")
    names = "".join(f" `{name}` |" for name in COMMANDS)
    table = [f"| |{names}", f"|---{'|---' * len(COMMANDS)}|", *rows]
    page = "\n".join([HEAD, *table, ""])
    if os.environ.get("TOOLKIT_UPDATE_DOCS"):
        TABLE.write_text(page)
    assert TABLE.read_text() == page
