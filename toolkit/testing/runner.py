"""The test programs of a run: which ones, on which machines, and what became of them."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Leaf, RawRun, TestProgram
from toolkit.core.observer import Observer
from toolkit.host.cache import digest
from toolkit.testing import classify, guest_program, scheduler, verdicts
from toolkit.testing.classify import Observation
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.scheduler import Isolation
from toolkit.vm.factory import Lent
from toolkit.vm.pool import MachinePool

_LEAKS = "CONFIG_DEBUG_KMEMLEAK=y"


@dataclass(slots=True)
class Runner:
    """What a run's tests need and what they gave: leaves and splats grow while it goes on."""

    testbed: MachinePool
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
    memory: ResultCache | None = None
    repeat: int = 1  # how often each program runs
    named: Sequence[str] = ()  # programs that are run even where the suite says not to
    took: Mapping[str, float] = field(default_factory=dict)  # seconds each took when it last ran
    observed: dict[str, list[Observation]] = field(default_factory=dict)  # by suite/program
    parts: dict[str, dict[str, list[Observation]]] = field(default_factory=dict)  # then by case
    seconds: dict[str, float] = field(default_factory=dict)  # the longest run of each
    runs: int = field(default=0, init=False)  # that machines or memory were asked for
    witness: guest_program.Witness | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)

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
        """Run the programs and judge them; return how many runs memory could answer for."""
        known = 0
        found: dict[TestProgram, tuple[Leaf, ...]] = {}
        before = list(self.leaves)
        rest: list[TestProgram] = []

        def progress(program: TestProgram, line: str) -> None:
            done = self.runs - len(rest)
            self.observer.stage_progress("test", done, self.runs, f"{program.name}: {line}")

        try:
            started = self._told(programs, found)
            if self.isolation is Isolation.CASE:
                started = self._cases(started)
            self.runs = len(started) * self.repeat
            marks = self._marks(started)
            rest = self._recalled(started, marks, found)
            known = self.runs - len(rest)
            for raw in self._raw_runs(self._longest_first(rest), self.isolation, progress):
                program = next(each for each in rest if _gave(each, raw))
                rest.remove(program)
                self._seen(program, raw, found)
                if self.memory and marks[program]:
                    self.memory.keep(marks[program].pop(), raw)
        finally:
            # Programs end in any order; a result has them in the suite's.
            ordered = [leaf for program in programs for leaf in found.get(program, ())]
            self.leaves[:] = [*before, *ordered]
        return known

    def again(self, programs: Sequence[TestProgram]) -> Iterator[tuple[TestProgram, Observation]]:
        """Run programs once more, each as often as it is named, and yield what was seen.

        Nothing of it gets into the run's leaves; the logs of what was bad lie in ``repeats/``.
        """
        for raw in self._raw_runs(programs, Isolation.PROGRAM, lambda *_: None, again=True):
            seen = verdicts.judge(raw)
            if any(leaf.status.bad for leaf in seen):
                self._write_logs(raw, self.folder / "repeats" / str(next(self._numbers)))
            yield next(each for each in programs if _gave(each, raw)), seen

    def _longest_first(self, programs: Sequence[TestProgram]) -> tuple[TestProgram, ...]:
        """Return the programs in the order in which machines take them.

        Longest first, so that in the end no machine works alone; what nobody knows may be long.
        Those that share a machine keep the order that they were given in.
        """
        if self.isolation is Isolation.SUITE:
            return tuple(programs)
        return tuple(
            sorted(
                programs,
                key=lambda each: self.took.get(f"{each.suite}/{each.name}", math.inf),
                reverse=True,
            )
        )

    def _marks(self, programs: Sequence[TestProgram]) -> dict[TestProgram, list[str]]:
        """Return under what the memory knows each run of each program."""
        if not self.memory:
            return {program: [] for program in programs}
        machine = self.testbed.identity()
        return {
            program: [digest(mark, number) for number in range(self.repeat)]
            for program in programs
            for mark in [self._fingerprint(program, machine)]
        }

    def _recalled(
        self,
        programs: Sequence[TestProgram],
        marks: Mapping[TestProgram, list[str]],
        found: dict[TestProgram, tuple[Leaf, ...]],
    ) -> list[TestProgram]:
        """Take what memory has, and return what is left to run; ``marks`` keeps its marks."""
        rest = []
        for program in programs:
            kept = [self.memory.recall(mark) for mark in marks[program]] if self.memory else []
            for raw in filter(None, kept):
                self._seen(program, raw, found)
            marks[program][:] = [
                mark for mark, raw in zip(marks[program], kept, strict=True) if raw is None
            ]
            rest += [program] * (self.repeat - sum(raw is not None for raw in kept))
        return rest

    def _fingerprint(self, program: TestProgram, machine: str) -> str:
        """Return a digest of all that a program's result depends on."""
        built = next(each for each in self.suites if each.name == program.suite)
        files = {
            path.name: digest(path.read_bytes())
            for path in guest_program.files(built, program)
            if path.is_file()
        }
        of_case = [program.case] if program.case else []
        environment = dict(self.environment)
        return digest(program.name, program.timeout, files, environment, machine, *of_case)

    def _raw_runs(
        self,
        programs: Sequence[TestProgram],
        isolation: Isolation,
        progress: scheduler.OnLine,
        *,
        again: bool = False,
    ) -> Iterator[RawRun]:
        """Run programs on machines, and yield what each gave as it ends.

        The first runs of the programs have a witness; what is run ``again`` has none.
        """
        if not programs:
            return iter(())
        limit = self.deadline.cancellable()
        suite_of = {built.name: built for built in self.suites}
        leaks = _LEAKS in self.testbed.kernel.config.read_text().splitlines()

        def one(lent: Lent, program: TestProgram, on_line: guest_program.OnLine) -> RawRun:
            vm, session = lent
            guest_program.install(session, suite_of[program.suite], program, limit)
            return guest_program.run_program(
                vm,
                session,
                program,
                environment=self.environment,
                deadline=limit,
                on_line=on_line,
                leaks=leaks,
                witness=None if again else self.witness,
            )

        if again:
            self.testbed.prepare()
        else:
            self.testbed.start()
        return scheduler.run(
            scheduler.batches(programs, isolation),
            lambda: self.testbed.boot(limit),
            one,
            machines=self.machines or self.testbed.room(),
            deadline=limit,
            on_line=progress,
        )

    def _seen(
        self, program: TestProgram, raw: RawRun, found: dict[TestProgram, tuple[Leaf, ...]]
    ) -> None:
        """Keep what one run of a program gave; its last one has its leaves told."""
        name = f"{raw.suite}/{raw.program}"
        seen = self.observed.setdefault(name, [])
        self.seconds[name] = max(raw.seconds, self.seconds.get(name, 0.0))
        place = self.folder / "tests"
        self._write_logs(raw, place if self.repeat == 1 else place / f"run-{self._turn(raw)}")
        self.splats += [replace(each, during=name) for each in raw.splats]
        whole = replace(program, case="")
        seen += self._whole(name, raw)
        if len(seen) < self.repeat:
            return
        found[whole] = tuple(verdicts.mark_known(classify.merged(seen), self.known))
        for leaf in found[whole]:
            self.leaves.append(leaf)
            self.observer.test_finished(leaf)

    def _turn(self, raw: RawRun) -> int:
        """Return the how-manieth run of its program, or of its case, this is."""
        name = f"{raw.suite}/{raw.program}"
        cases = self.parts.get(name)
        return 1 + len(cases[raw.case] if cases else self.observed[name])

    def _whole(self, name: str, raw: RawRun) -> list[Observation]:
        """Return what one more run of a whole program is now known to have given, if it is.

        Of a program whose cases run one by one, that is what all of them gave.
        """
        cases = self.parts.get(name)
        if cases is None:
            return [verdicts.judge(raw)]
        before = min(map(len, cases.values()))
        cases[raw.case].append(verdicts.judge(raw))
        if min(map(len, cases.values())) == before:
            return []
        return [verdicts.joined(given[before] for given in cases.values())]

    @staticmethod
    def _write_logs(raw: RawRun, place: Path) -> None:
        """Write what a run gave; of a program whose cases run one by one, one behind the other."""
        logs = place / raw.suite
        logs.mkdir(parents=True, exist_ok=True)
        for end, said in (("", raw.stdout), (".stderr", raw.stderr), (".console", raw.console)):
            if said or not end:
                with (logs / f"{raw.program}{end}.log").open("a" if raw.case else "w") as log:
                    log.write(said)

    def _cases(self, programs: Sequence[TestProgram]) -> list[TestProgram]:
        """Return each case of the programs as a program of its own, where one alone can be run."""
        limit = self.deadline.cancellable()
        suite_of = {built.name: built for built in self.suites}
        found: list[TestProgram] = []
        with self.testbed.boot(limit) as (_, session):
            for program in programs:
                built = suite_of[program.suite]
                names = guest_program.cases(session, built, program, limit) or ("",)
                self.parts[f"{program.suite}/{program.name}"] = {name: [] for name in names}
                found += [replace(program, case=name) for name in names]
        return found

    def _told(
        self, programs: Sequence[TestProgram], found: dict[TestProgram, tuple[Leaf, ...]]
    ) -> list[TestProgram]:
        """Tell the leaves of what there is no use in starting, and return the other programs.

        What is asked for by its name is started even where the suite says not to.
        """
        started = []
        for program in programs:
            leaf = verdicts.unstarted(program, self.known)
            if leaf is None or (program.name in self.named and not program.unbuilt):
                started.append(program)
                continue
            found[program] = (leaf,)
            self.observed[f"{program.suite}/{program.name}"] = [found[program]]
            self.leaves.append(leaf)
            self.observer.test_finished(leaf)
        return started


def _gave(program: TestProgram, raw: RawRun) -> bool:
    return (program.suite, program.name, program.case) == (raw.suite, raw.program, raw.case)
