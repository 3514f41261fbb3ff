"""Mutation testing of a series, end to end: from a run's request to what became of its mutants.

The series is tested without a mutant first, in the same run; mutants are then tried in a random
order, and each verdict is stored as it comes. Nothing is run where all verdicts are stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.errors import BootError, BuildError, InfrastructureError, UserError
from toolkit.core.model.mutation import Fate, Mutant, Mutated, Mutation, Verdict
from toolkit.core.model.series import Explained, Patch
from toolkit.core.model.testing import RawRun, Status
from toolkit.core.observer import WithinStage
from toolkit.core.text import visible
from toolkit.host.cache import digest
from toolkit.mutate import explained, faults, mutants, score, selection
from toolkit.mutate.coverage import covered_lines
from toolkit.mutate.crew import Crew, Item, Made
from toolkit.mutate.hunks import survivor_hunks
from toolkit.mutate.lab import MutantLab, booted_snapshot, with_limits
from toolkit.mutate.operators.table import MEANINGS
from toolkit.mutate.order import Order
from toolkit.mutate.selection import Selection
from toolkit.mutate.shift import Shift
from toolkit.mutate.store import FORMAT, WORTH, Store, Tests
from toolkit.mutate.trial import Trial
from toolkit.mutate.workshop import Bench, Workshop
from toolkit.report import history, wording
from toolkit.testing import guest_program
from toolkit.testing.result_cache import DiskResultCache
from toolkit.testing.tested import Tested
from toolkit.workflow.run import Run

BATCH = 24  # mutants that are compiled in one go, for less than half a minute
_STAGE = "mutants"
_POINTS = 500  # runs in which a leaf may have been flaky


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a campaign.

    ``faults`` is a folder with faults that somebody wrote. ``earlier`` is what came of another
    campaign, on another profile above all: only what survived there is tried.
    """

    selected: Selection = field(default_factory=Selection)
    faults: Path | None = None
    sample: int | None = None
    seed: int = 0
    fail_under: float | None = None
    earlier: Mutation | None = None

    def __post_init__(self) -> None:
        if self.earlier and self.sample is not None:
            raise UserError(
                "--survivors are all tried, so there is no sample of them",
                hint="take the sample in the first of the two runs",
            )
        if self.sample is not None and self.sample < 1:
            raise UserError(
                f"a sample of {self.sample} mutants says nothing", hint="--sample takes 1 or more"
            )


class Campaign:
    """The mutants of one run's series. ``run`` has not been started yet."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self.run = run
        self.plan = plan
        self.patches: dict[str, Patch] = {}
        self._began = time.monotonic()
        self._order: list[Mutant] = []
        self._store: Store | None = None
        self._recalled = 0

    # --- what there is to try ------------------------------------------------------------

    def candidates(self) -> list[Mutant]:
        """Return the mutants that are wanted, in the order in which they are tried.

        Raises :class:`UserError` where there are none.
        """
        run = self.run
        if run.series is None:
            raise UserError("mutants are made of a series", hint="name one with --patch")
        own = mutants.of_tree(run.tree)
        self.patches = faults.load(self.plan.faults) if self.plan.faults else {}
        if not own and not self.patches:
            raise UserError(
                f"{run.series.name} writes no line of C in a function of the kernel",
                hint="lines that it removes, documentation, comments, declarations and programs in "
                "tools/ do not count; --faults takes what is written by hand",
            )
        every = [*own, *faults.mutants(self.patches)]
        wanted = selection.chosen(every, self.plan.selected, run.tree, run.deadline)
        if self.plan.earlier:
            wanted = selection.survivors(wanted, every, self.plan.earlier)
        if not wanted and self.plan.selected.since:
            run.observer.notice(f"no line of code has changed since {self.plan.selected.since}")
        elif not wanted and self.plan.earlier:
            run.observer.notice("nothing of what was asked for survived the earlier run")
        elif not wanted:
            raise UserError("no mutant is left of what was asked for", hint="--list shows them all")
        return score.shuffled(wanted, self.plan.seed)

    # --- trying ----------------------------------------------------------------------------

    def test(self, run: Run) -> None:
        """Try the mutants; the run's own leaves are those of the series without a mutant.

        Raises :class:`UserError` where it fails, or does not come to that: no news could follow.
        """
        self._order = self.candidates()
        if not self._order:
            return
        run.build_whole("mutants are made in the build folder of a whole kernel")
        try:
            _ = run.kernel, run.built_suites, run.image, run.accelerator
        except BuildError as error:
            raise UserError(
                f"the series does not build without any mutant: {error.what}",
                hint="mend that first (toolkit build says more)",
                detail=error.detail,
            ) from error
        with run.cache.work(
            "mutate", self._key(), deadline=run.deadline, label="verdicts", worth=WORTH
        ) as folder:
            self._store = Store(folder, self._tests())
            untried = bool(self._untried(self._store))
            self._recalled = sum(self._store.get(each.id) is not None for each in self._order)
            sound = self._tested(run, fresh=untried)
            if untried:
                self._try(run, sound, self._store)

    def _key(self) -> str:
        """Return a digest of all that verdicts depend on, but for the mutant and the tests."""
        run = self.run
        built = [run.tree.key, run.config.key, run.reached.compiler]
        return digest(FORMAT, built, run.pool.identity())

    def _tests(self) -> Tests:
        """Return digests of the tests, as far as they are asked for."""
        request = self.run.request
        asked = [sorted(request.tests), sorted(request.test_environment.items())]
        programs = {
            f"{built.name}/{program.name}": digest(guest_program.digests(built, program), asked)
            for built in self.run.built_suites
            for program in built.programs
            if not program.unbuilt
        }
        return Tests(programs, digest(programs))

    def _untried(self, store: Store) -> list[Item]:
        """Return what is left to try of the order, as far as the sample goes."""
        items, counted = [], 0
        for mutant in self._order:
            verdict = store.get(mutant.id)
            if verdict is None:
                items.append(Item(mutant, counted))
            elif verdict.fate.counts:
                counted += 1
            if self.plan.sample is not None and counted >= self.plan.sample:
                break
        return items

    def _tested(self, run: Run, *, fresh: bool) -> Tested:
        """Test the series without a mutant; what is in the cache will do where nothing is tried."""
        run.result_cache = _Cache(run, recalls=not fresh)
        try:
            tested = run.test()
        except BootError as error:
            raise UserError(
                f"the series does not boot without any mutant: {error.what}",
                hint="mend that first (toolkit build-and-test says more)",
                detail=error.detail,
            ) from error
        if bad := [leaf for leaf in tested.leaves if leaf.status.bad]:
            raise UserError(
                f"{bad[0].id} fails without any mutant, so its failure says nothing of one",
                hint="mend it, or leave it out: --test names the programs that count",
                detail=[f"{leaf.id}: {leaf.status.value}" for leaf in bad[:20]],
            )
        if not any(leaf.status is Status.PASS for leaf in tested.leaves):
            raise UserError(
                "no test passes without a mutant, so none can notice one",
                hint="name a --suite that tests the series",
            )
        return tested

    def _try(self, run: Run, sound: Tested, store: Store) -> None:
        passing = [
            name
            for name, observations in sound.observed.items()
            if any(leaf.status is Status.PASS for leaves in observations for leaf in leaves)
        ]
        covered = covered_lines(run, passing)
        folder = run.folder / "mutants"
        limit = run.deadline.cancellable()
        lab = MutantLab(
            factory=run.factory,
            saved=booted_snapshot(run, folder) if run.request.snapshots else None,
            folder=folder / "machines",
            suites=run.built_suites,
            programs=with_limits(run.runner.programs, sound.seconds),
            environment=run.request.test_environment,
            known=run.runner.known,
            boot_splats=sound.boot_splats,
            deadline=limit,
        )
        workshop = Workshop(
            builder=replace(run.builder, observer=WithinStage(run.observer, _STAGE)),
            tree=run.tree,
            config=run.config,
            kernel=run.kernel,
            folder=folder,
            deadline=limit,
            patches=self.patches,
        )
        trial = Trial(lab, passing, self._is_flaky)

        def work() -> tuple[None, bool, str]:
            # What was taken for a part of a sample may compile to the series' own code after all.
            while items := self._untried(store):
                crew = Crew(
                    workshop=workshop,
                    trial=trial,
                    covered=covered,
                    order=Order(sound.seconds),
                    store=store,
                    progress=self._progress,
                    notice=run.observer.notice,
                    sample=self.plan.sample,
                )
                crew.remember(self._order)
                shift: Shift[Item, Made, Bench] = Shift(crew, BATCH, limit)
                shift.run(items, run.request.machines or lab.factory.capacity())
            return None, False, self._headline()

        run.stages.run(_STAGE, work)

    def _is_flaky(self, leaf: str) -> bool:
        """Return whether a leaf has both passed and failed with this series."""
        assert self.run.series is not None
        try:
            which = history.Which(self.run.series.name, self.run.arch.name)
            database = self.run.paths.history
            points = history.leaf_points(database, leaf, limit=_POINTS, which=which)
        except InfrastructureError:
            return False
        return len({history.bad(point) for point in points}) > 1

    def _progress(self, mutant: Mutant, verdict: Verdict) -> None:
        place = visible(f"{mutant.file}:{mutant.line} {mutant.fault or mutant.operator}")
        what = f"{place}: {verdict.fate.value}" + (f" by {verdict.by}" if verdict.by else "")
        done, total = self._counts()
        self.run.observer.stage_progress(_STAGE, done, total, f"{self._headline()}; {what}")

    def _counts(self) -> tuple[int, int]:
        fates = [verdict.fate for _, verdict in self._tried()]
        if self.plan.sample is None:
            return sum(fate is not Fate.PENDING for fate in fates), len(fates)
        return sum(fate.counts for fate in fates), self.plan.sample

    def _headline(self) -> str:
        fates = [verdict.fate for _, verdict in (*self._tried(), *self._settled())]
        killed, survived = fates.count(Fate.KILLED), fates.count(Fate.SURVIVED)
        share = score.score(killed, survived)
        if share is None:
            return "no score yet"
        return f"score {wording.percent(share)}, {killed} killed, {survived} survived"

    def _tried(self) -> Iterator[tuple[Mutant, Verdict]]:
        """Yield the mutants with their verdicts; of a sample no more than it is to have.

        Several are tried at once, so one more than the sample may have a verdict.
        """
        selected = {mutant.id for mutant in self._order}
        counted = 0
        for mutant in self._order:
            verdict = self._verdict(mutant)
            if verdict.fate is Fate.DUPLICATE and verdict.by not in selected and self._store:
                verdict = self._store.get(verdict.by) or Verdict(Fate.PENDING)
            if self.plan.sample is not None and counted >= self.plan.sample:
                return
            counted += verdict.fate.counts
            yield mutant, verdict

    def _settled(self) -> Iterator[tuple[Mutant, Verdict]]:
        """Yield the mutants of the earlier campaign that are not tried again."""
        again = {mutant.id for mutant in self._order}
        for each in self.plan.earlier.mutants if self.plan.earlier else ():
            if each.mutant.id not in again:
                yield each.mutant, each.verdict

    def _verdict(self, mutant: Mutant) -> Verdict:
        return (self._store and self._store.get(mutant.id)) or Verdict(Fate.PENDING)

    # --- what came of it -----------------------------------------------------------------------

    def has_verdicts(self) -> bool:
        """Return whether a mutant has been killed, or has survived."""
        return any(verdict.fate.counts for _, verdict in self._tried())

    def result(self) -> Mutation:
        """Return what became of the mutants so far; also after an error, or ^C."""
        series = self.run.series
        assert series is not None
        every = (*self._tried(), *self._settled())
        shown = sorted(every, key=lambda each: (each[0].file, each[0].line, each[0].start))
        mutated = [self._mutated(mutant, verdict) for mutant, verdict in shown]
        rows = score.rows(mutated, MEANINGS)
        killed = sum(row.killed for row in rows)
        survived = sum(row.survived for row in rows)
        earlier = self.plan.earlier
        partial = self.plan.sample is not None or any(row.pending for row in rows)
        partial = partial or (earlier is not None and earlier.interval is not None)
        texts = [(each, self._line(each.mutant)) for each in mutated]
        whole = self.plan.selected.whole and not partial and earlier is None
        return Mutation(
            series=series.name,
            mutants=tuple(mutated),
            operators=rows,
            hunks=tuple(survivor_hunks(self.run.tree, mutated)),
            killed=killed,
            survived=survived,
            explained=sum(row.explained for row in rows),
            score=score.score(killed, survived),
            interval=score.interval(killed, killed + survived) if partial else None,
            sample=self.plan.sample,
            seed=self.plan.seed,
            seconds=round(time.monotonic() - self._began, 3),
            recalled=self._recalled,
            wanted=self.plan.fail_under,
            stale=explained.stale(self._explanations(), texts) if whole else (),
        )

    def _explanations(self) -> list[Explained]:
        """Return the explanations of what this campaign may have tried."""
        entries = self.run.series.survives if self.run.series else ()
        return [entry for entry in entries if self.patches or not entry.fault]

    def _line(self, mutant: Mutant) -> str:
        """Return the text of a mutant's line in the series' tree."""
        file = self.run.tree.files.get(mutant.file)
        lines = (file.content or b"").splitlines() if file else []
        if not 1 <= mutant.line <= len(lines):
            return ""
        return lines[mutant.line - 1].decode(errors="replace")

    def _mutated(self, mutant: Mutant, verdict: Verdict) -> Mutated:
        if verdict.fate is not Fate.SURVIVED:
            return Mutated(mutant, verdict)
        entries = self.run.series.survives if self.run.series else ()
        verdict, why = explained.judged(mutant, verdict, self._line(mutant), entries)
        if mutant.fault:
            diff = self.patches[mutant.id].content.decode(errors="replace").splitlines()
        else:
            own = {mutant.file: self.run.tree.files[mutant.file].content or b""}
            changed = {mutant.file: mutants.mutated(own[mutant.file], mutant)}
            diff = mutants.diff(own, changed)
        return Mutated(mutant, verdict, why, tuple(diff))


class _Cache(DiskResultCache):
    """What the series gave without a mutant; it is asked only where no mutant is to be tried."""

    def __init__(self, run: Run, *, recalls: bool) -> None:
        super().__init__(run.cache, run.deadline)
        self._recalls = recalls

    def recall(self, fingerprint: str) -> RawRun | None:
        """Return what a program gave, if that will do."""
        return super().recall(fingerprint) if self._recalls else None
