"""The test programs of a run: which ones, on which machines, and what became of them."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, MachineLostError, UserError
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, RawRun, TestProgram
from toolkit.core.observer import Observer
from toolkit.host.cache import digest
from toolkit.testing import guest_program, scheduler, verdicts
from toolkit.testing.classify import Observation
from toolkit.testing.machines import Machines
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.scheduler import Isolation, UnusableMachineError
from toolkit.testing.tested import Collector, Tested, write_logs
from toolkit.vm.factory import BootedGuest, merged

_INSTALL_SECONDS = 300.0  # for the largest suite on an emulated guest without a disk for it
_LEAKS = "CONFIG_DEBUG_KMEMLEAK=y"


@dataclass(slots=True)
class Runner:
    """Runs programs on the machines of a pool.

    ``machines`` work at a time, 0: as many as there is capacity for. ``repeat`` is how often each
    program runs. ``took`` has the seconds that programs took in the last run, by suite/program, and
    ``failed`` has those of which a case was bad then.
    """

    pool: Machines
    suites: Sequence[BuiltSuite]
    folder: Path
    observer: Observer
    deadline: Deadline
    environment: Mapping[str, str]
    known: Sequence[KnownFailure]
    isolation: Isolation
    machines: int
    result_cache: ResultCache | None = None
    repeat: int = 1
    named: Sequence[str] = ()  # programs that run even if the suite's allow.yaml keeps them out
    took: Mapping[str, float] = field(default_factory=dict)
    failed: Collection[str] = ()
    witness: guest_program.Witness | None = None
    _collector: Collector = field(init=False)
    _order: tuple[TestProgram, ...] = field(default=(), init=False)
    _runs: int = field(default=0, init=False)
    _recalled: int = field(default=0, init=False)
    _recalled_boot: tuple[Splat, ...] = field(default=(), init=False)
    _boot_announced: bool = field(default=False, init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)

    def __post_init__(self) -> None:
        self._collector = Collector(self.folder, self.known, self.repeat)

    @property
    def programs(self) -> dict[str, TestProgram]:
        """All programs of the suites, by ``suite/program``."""
        return {
            f"{each.suite}/{each.name}": each for suite in self.suites for each in suite.programs
        }

    @property
    def tested(self) -> Tested:
        """What the programs and the kernel's boot have given so far."""
        tested = self._collector.tested(self._order, self._boot_splats())
        return replace(tested, runs=self._runs, recalled=self._recalled)

    def _boot_splats(self) -> tuple[Splat, ...]:
        return merged(self._recalled_boot, self.pool.boot_splats)

    def select(
        self, globs: Sequence[str], shard: tuple[int, int] = (1, 1)
    ) -> tuple[TestProgram, ...]:
        """Return the programs whose name matches, all without a glob; of these a shard: I of N.

        Raises :class:`UserError` when a glob matches none, and when the shard has none.
        """
        every = [program for suite in self.suites for program in suite.programs]
        for glob in globs:
            if not any(fnmatch.fnmatchcase(program.name, glob) for program in every):
                raise UserError(
                    f"no test program is called {glob!r}",
                    hint=f"there is: {', '.join(program.name for program in every) or 'none'}",
                )
        chosen = [
            program
            for program in every
            if not globs or any(fnmatch.fnmatchcase(program.name, glob) for glob in globs)
        ]
        number, shards = shard
        if chosen and number > len(chosen):
            raise UserError(
                f"shard {number} of {shards} has no program: there are {len(chosen)} in all",
                hint=f"have at most {len(chosen)} shards",
            )
        return tuple(chosen[number - 1 :: shards])

    def start(self) -> None:
        """Have machines ready, and announce what their kernel complained of while booting."""
        self.pool.start()
        self._announce_boot()

    def run(self, programs: Sequence[TestProgram]) -> Tested:
        """Run the programs and judge them, within the pool's ``in_use``.

        What the result cache has is not run again. Raises what a lost machine raises;
        :attr:`tested` has what was judged before that.
        """
        self._order = tuple(programs)
        started = self._announce_unstarted(programs)
        if self.isolation is Isolation.CASE:
            started = self._split_into_cases(started)
        self._runs = len(started) * self.repeat
        fingerprints = self._fingerprints(started)
        rest = self._recall(started, fingerprints)
        self._recalled = self._runs - len(rest)
        self._recall_boot(needs_machines=bool(rest))

        def progress(program: TestProgram, line: str) -> None:
            done = self._runs - len(rest)
            self.observer.stage_progress("test", done, self._runs, f"{program.name}: {line}")

        for raw in self._raw_runs(self._in_turn(rest), self.isolation, progress):
            program = next(each for each in rest if _is_of(raw, each))
            rest.remove(program)
            self._add(program, raw)
            if self.result_cache and fingerprints[program]:
                self.result_cache.keep(fingerprints[program].pop(), raw)
        return self.tested

    def finish(self) -> Tested:
        """Return all that was seen, once the pool is no longer in use.

        A kernel may complain in a machine that was saved while the programs ran.
        """
        self._announce_boot()
        if self.result_cache:
            self.result_cache.keep_boot(self.pool.identity(), self._boot_splats())
        return self.tested

    def again(self, programs: Sequence[TestProgram]) -> Iterator[tuple[TestProgram, Observation]]:
        """Run programs once more, each as often as it is named, and yield what was seen.

        Nothing of it gets into :attr:`tested`; the logs of what was bad lie in ``repeats/``.
        """
        for raw in self._raw_runs(programs, Isolation.PROGRAM, lambda *_: None, again=True):
            leaves = verdicts.judge(raw)
            if any(leaf.status.bad for leaf in leaves):
                write_logs(raw, self.folder / "repeats" / str(next(self._numbers)))
            yield next(each for each in programs if _is_of(raw, each)), leaves

    # --- what need not run -------------------------------------------------------------

    def _announce_unstarted(self, programs: Sequence[TestProgram]) -> list[TestProgram]:
        """Announce the leaves of programs that cannot work, and return the other programs.

        A program asked for by its name is started even if the suite's allow.yaml keeps it out.
        """
        started = []
        for program in programs:
            leaf = verdicts.unstarted(program, self.known)
            if leaf is None or (program.name in self.named and not program.unbuilt):
                started.append(program)
                continue
            self._collector.add_unstarted(program, leaf)
            self.observer.test_finished(leaf)
        return started

    def _fingerprints(self, programs: Sequence[TestProgram]) -> dict[TestProgram, list[str]]:
        """Return the fingerprints of all runs of each program; none without a result cache."""
        if not self.result_cache:
            return {program: [] for program in programs}
        machine = self.pool.identity()
        return {
            program: [digest(fingerprint, number) for number in range(self.repeat)]
            for program in programs
            for fingerprint in [self._fingerprint(program, machine)]
        }

    def _fingerprint(self, program: TestProgram, machine: str) -> str:
        """Return a digest of all that a program's result depends on."""
        built = next(each for each in self.suites if each.name == program.suite)
        files = guest_program.digests(built, program)
        of_case = [program.case] if program.case else []
        environment = {**program.environment, **self.environment}
        return digest(program.name, program.timeout, files, environment, machine, *of_case)

    def _recall(
        self, programs: Sequence[TestProgram], fingerprints: Mapping[TestProgram, list[str]]
    ) -> list[TestProgram]:
        """Add what the result cache has, and return the programs that are left to run.

        Only their ``fingerprints`` are kept.
        """
        rest = []
        for program in programs:
            missing = []
            for fingerprint in fingerprints[program]:
                raw = self.result_cache.recall(fingerprint) if self.result_cache else None
                if raw is None:
                    missing.append(fingerprint)
                else:
                    self._add(program, raw)
            recalled = len(fingerprints[program]) - len(missing)
            fingerprints[program][:] = missing
            rest += [program] * (self.repeat - recalled)
        return rest

    def _recall_boot(self, *, needs_machines: bool) -> None:
        """Learn what the kernel complained of while booting before.

        A verdict is on the boot as well: where no program needs a machine and the result cache
        knows of no boot, a machine is asked.
        """
        recalled = None
        if self.result_cache:
            recalled = self.result_cache.recall_boot(self.pool.identity())
        self._recalled_boot = recalled or ()
        if recalled is None and not needs_machines:
            self.pool.learn_boot()
        self._announce_boot()

    # --- on machines -------------------------------------------------------------------

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
        leaks = _LEAKS in self.pool.kernel.config.read_text().splitlines()

        def one(guest: BootedGuest, program: TestProgram, on_line: guest_program.OnLine) -> RawRun:
            _install(guest, suite_of[program.suite], program, limit)
            raw = guest_program.run_program(
                guest.machine,
                guest.session,
                program,
                environment=self.environment,
                deadline=limit,
                on_line=on_line,
                leaks=leaks,
                witness=None if again else self.witness,
            )
            return _without_boot(raw, guest)

        if again:
            self.pool.prepare()
        else:
            self.start()
        return scheduler.run(
            scheduler.batches(programs, isolation),
            lambda: self.pool.boot(limit),
            one,
            machines=self.machines or self.pool.capacity(),
            deadline=limit,
            on_line=progress,
        )

    def _in_turn(self, programs: Sequence[TestProgram]) -> tuple[TestProgram, ...]:
        """Return the programs in the order in which machines take them.

        First what was bad last time, which is what somebody waits for, and what the series
        changes. Then the longest, so that no machine works alone in the end; a program without a
        time may be long. Those that share a machine keep their order.
        """
        if self.isolation is Isolation.SUITE:
            return tuple(programs)

        def key(program: TestProgram) -> tuple[bool, bool, float]:
            name = f"{program.suite}/{program.name}"
            return name in self.failed, program.touched, self.took.get(name, math.inf)

        return tuple(sorted(programs, key=key, reverse=True))

    def _split_into_cases(self, programs: Sequence[TestProgram]) -> list[TestProgram]:
        """Return each case of the programs as a program of its own, where one alone can be run."""
        limit = self.deadline.cancellable()
        suite_of = {built.name: built for built in self.suites}
        cases: list[TestProgram] = []
        with self.pool.boot(limit) as guest:
            for program in programs:
                built = suite_of[program.suite]
                names = guest_program.cases(guest.session, built, program, limit) or ("",)
                self._collector.expect_cases(program, names)
                cases += [replace(program, case=name) for name in names]
        return cases

    # --- what they gave ----------------------------------------------------------------

    def _add(self, program: TestProgram, raw: RawRun) -> None:
        for leaf in self._collector.add(program, raw):
            self.observer.test_finished(leaf)

    def _announce_boot(self) -> None:
        """Announce the leaf of a kernel that complained while booting, once."""
        if not self._boot_announced:
            for leaf in Tested(self._boot_splats()).boot:
                self._boot_announced = True
                self.observer.test_finished(leaf)


def _install(
    guest: BootedGuest, built: BuiltSuite, program: TestProgram, deadline: Deadline
) -> None:
    """Copy a program into its guest, or say that the guest is not fit for that any more."""
    try:
        guest_program.install(guest.session, built, program, deadline.sooner(_INSTALL_SECONDS))
    except MachineLostError:
        raise
    except InfrastructureError as error:
        deadline.check("copying a program into its guest")
        raise UnusableMachineError from error


def _is_of(raw: RawRun, program: TestProgram) -> bool:
    return (program.suite, program.name, program.case) == (raw.suite, raw.program, raw.case)


def _without_boot(raw: RawRun, guest: BootedGuest) -> RawRun:
    """Return a run without what its machine's kernel had complained of before.

    That has a leaf of its own (:attr:`Tested.boot`), whether the machine was booted for this
    program or restored from one that was booted once.
    """
    before = {splat.line for splat in guest.boot_splats}
    return replace(raw, splats=tuple(each for each in raw.splats if each.line not in before))
