"""The test programs of a run: which ones, on which machines, and what became of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit import results, schedule, selftests
from toolkit.cache import digest
from toolkit.deadline import Deadline
from toolkit.errors import UserError
from toolkit.model import (
    BuiltSuite,
    KnownFailure,
    Leaf,
    Observer,
    Outcome,
    RawRun,
    Splat,
    TestProgram,
)
from toolkit.schedule import Isolation
from toolkit.testbed import Lent, Testbed

_LEAKS = "CONFIG_DEBUG_KMEMLEAK=y"


@dataclass(slots=True)
class Memory:
    """What programs gave in earlier runs; it stands while what they were run on does."""

    kept: dict[str, RawRun] = field(default_factory=dict)


@dataclass(slots=True)
class Trial:
    """What a run's tests need and what they gave: leaves and splats grow while it goes on."""

    testbed: Testbed
    suites: Sequence[BuiltSuite]
    folder: Path
    observer: Observer
    deadline: Deadline
    environment: Mapping[str, str]
    known: Sequence[KnownFailure]
    isolation: Isolation
    machines: int  # that work at a time; 0: as many as there is room for
    leaves: list[Leaf]
    splats: list[Splat]
    memory: Memory | None = None

    def select(self, globs: Sequence[str]) -> tuple[TestProgram, ...]:
        """Return the programs whose name matches, all without a glob.

        Raises :class:`UserError` when a glob matches none.
        """
        every = [program for suite in self.suites for program in suite.programs]
        for glob in globs:
            if not any(fnmatch.fnmatchcase(program.name, glob) for program in every):
                raise UserError(
                    f"no test program is called {glob!r}",
                    hint=f"there is: {', '.join(program.name for program in every) or 'none'}",
                )
        return tuple(
            program
            for program in every
            if not globs or any(fnmatch.fnmatchcase(program.name, glob) for glob in globs)
        )

    def run(self, programs: Sequence[TestProgram]) -> int:
        """Run the programs and judge them; return how many of them memory could answer for."""
        prints: dict[TestProgram, str] = {}
        if self.memory:
            machine = self.testbed.identity()
            prints = {program: self._fingerprint(program, machine) for program in programs}
        kept = self.memory.kept if self.memory else {}
        known = {program: kept[mark] for program, mark in prints.items() if mark in kept}
        found: dict[TestProgram, tuple[Leaf, ...]] = {}
        before = list(self.leaves)
        try:
            for program, raw in known.items():
                found[program] = self._keep(raw)
            rest = [program for program in programs if program not in known]
            for raw in self._raw_runs(rest, len(programs), lambda: len(found)):
                program = next(each for each in rest if _gave(each, raw))
                found[program] = self._keep(raw)
                if self.memory and raw.outcome is Outcome.COMPLETED:
                    self.memory.kept[prints[program]] = raw
        finally:
            # Programs end in any order; a result has them in the suite's.
            ordered = [leaf for program in programs for leaf in found.get(program, ())]
            self.leaves[:] = [*before, *ordered]
        return len(known)

    def _fingerprint(self, program: TestProgram, machine: str) -> str:
        """Return a digest of all that a program's result depends on."""
        built = next(each for each in self.suites if each.name == program.suite)
        files = {
            path.name: digest(path.read_bytes())
            for path in selftests.files(built, program)
            if path.is_file()
        }
        return digest(program.name, files, dict(self.environment), machine)

    def _raw_runs(
        self, programs: Sequence[TestProgram], total: int, done: Callable[[], int]
    ) -> Iterator[RawRun]:
        """Run programs on machines, and yield what each gave as it ends."""
        if not programs:
            return iter(())
        limit = self.deadline.cancellable()
        suite_of = {built.name: built for built in self.suites}
        leaks = _LEAKS in self.testbed.kernel.config.read_text().splitlines()

        def one(lent: Lent, program: TestProgram, on_line: selftests.OnLine) -> RawRun:
            vm, session = lent
            selftests.install(session, suite_of[program.suite], program, limit)
            return selftests.run_program(
                vm,
                session,
                program,
                environment=self.environment,
                deadline=limit,
                on_line=on_line,
                leaks=leaks,
            )

        def progress(program: TestProgram, line: str) -> None:
            self.observer.stage_progress("test", done(), total, f"{program.name}: {line}")

        self.testbed.prepare()
        return schedule.run(
            schedule.batches(programs, self.isolation),
            lambda: self.testbed.boot(limit),
            one,
            machines=self.machines or self.testbed.room(),
            deadline=limit,
            on_line=progress,
        )

    def _keep(self, raw: RawRun) -> tuple[Leaf, ...]:
        """Write a program's logs, and return and tell its leaves."""
        logs = self.folder / "tests" / raw.suite
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"{raw.program}.log").write_text(raw.stdout)
        if raw.stderr:
            (logs / f"{raw.program}.stderr.log").write_text(raw.stderr)
        if raw.console:
            (logs / f"{raw.program}.console.log").write_text(raw.console)
        self.splats += [replace(each, during=f"{raw.suite}/{raw.program}") for each in raw.splats]
        leaves = results.judge(raw, self.known)
        for leaf in leaves:
            self.leaves.append(leaf)
            self.observer.test_finished(leaf)
        return leaves


def _gave(program: TestProgram, raw: RawRun) -> bool:
    return (program.suite, program.name) == (raw.suite, raw.program)
