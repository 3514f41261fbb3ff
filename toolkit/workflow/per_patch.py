"""A series patch by patch: which patch changed which leaf, and how."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from toolkit.core.errors import BootError, BuildError, UserError
from toolkit.core.model.comparison import LeafChange, PatchStep, StepState
from toolkit.core.model.series import PatchSeries
from toolkit.core.model.testing import Leaf, Status
from toolkit.formats.compiler_log import diagnostics
from toolkit.kernel import build_identity
from toolkit.report import comparison_view
from toolkit.series import catalog as series_
from toolkit.testing import classify, verdicts
from toolkit.testing.classify import Side
from toolkit.testing.leaf_ids import OF_PATCH
from toolkit.testing.result_cache import DiskResultCache
from toolkit.testing.retest import Question
from toolkit.workflow import baseline
from toolkit.workflow.run import Run


@dataclass(slots=True)
class _Step:
    """One kernel on the way: the base, or the series up to a patch."""

    patch: int
    subject: str
    run: Run
    state: StepState = StepState.UNTESTED
    identity: str = ""
    warnings: tuple[str, ...] = ()
    message: str = ""
    seconds: float = 0.0
    changes: list[LeafChange] = field(default_factory=list)
    tested: _Step | None = None  # whose results stand for this one; itself where it was tested

    @property
    def side(self) -> Side:
        """What was seen on this kernel."""
        assert self.tested is not None
        return baseline.side(self.tested.run)


def test(run: Run) -> None:
    """Build and test the base and each prefix of the series, and say which patch changed what.

    The run's leaves become what differs from the base, and one for each patch that does not
    build, does not boot, or breaks what a later patch mends. Raises :class:`BuildError` when the
    whole series does not build, with the first such patch in it.
    """
    steps = _steps(run)
    try:
        _build(run, steps)
        base = _test(run, steps)
        baseline.conclude(run, base.run)
    finally:
        run.steps = [_record(step) for step in steps if step.identity or step.message]
    run.leaves += [*_broken_steps(steps), *_mended_later(run, steps)]


def _steps(run: Run) -> list[_Step]:
    whole = run.series
    if whole is None:
        raise UserError("--each goes through a series", hint="name one with --patch")
    found = [_Step(0, "", run.beside(baseline.BASE, None))]
    prefixes: Sequence[PatchSeries] = series_.prefixes(whole)
    for number, prefix in enumerate(prefixes, 1):
        last = number == len(prefixes)
        own = run if last else run.beside(f"{OF_PATCH}{number}", prefix)
        found.append(_Step(number, whole.patches[number - 1].subject, own))
    return found


# --- builds --------------------------------------------------------------------------------


def _build(run: Run, steps: Sequence[_Step]) -> None:
    """Build every kernel; a patch that does not build is remembered, the whole series raises."""
    said: Counter[str] = Counter()
    for step in steps:
        began = time.monotonic()
        try:
            kernel = step.run.kernel
        except BuildError as error:
            step.state = StepState.BUILD_BREAK
            step.message = "\n".join((error.what, *error.detail))
            if not step.patch:
                raise baseline.no_baseline(error) from error
            if step.run is run:
                first = next(each for each in steps if each.state is StepState.BUILD_BREAK)
                raise BuildError(
                    f"{error.what} from patch {first.patch} on: {first.subject}",
                    hint=error.hint,
                    detail=error.detail,
                    log=error.log,
                ) from error
            continue
        finally:
            step.seconds += time.monotonic() - began
        step.identity = build_identity.identity(kernel, run.deadline)
        log = step.run.folder / "build.log"
        now = Counter(diagnostics(log.read_text(errors="replace").splitlines()))
        # Only what is compiled again speaks again, so what was said before stays known.
        step.warnings = tuple((now - said).elements()) if step.patch else ()
        said |= now


# --- tests ---------------------------------------------------------------------------------


def _test(run: Run, steps: Sequence[_Step]) -> _Step:
    """Test every kernel that was built and is not the one before; return the base's step."""
    base, *patches = steps
    base.run = baseline.test_base(run, base.run)
    base.state, base.tested = StepState.TESTED, base
    last = base
    for step in patches:
        if step.state is StepState.BUILD_BREAK:
            continue
        began = time.monotonic()
        if step.identity == last.identity:
            step.state, step.tested = StepState.SAME, last.tested
            if step.run is run:
                _take_over(run, last.side)
        else:
            _test_one(run, step, last)
        step.seconds += time.monotonic() - began
        if step.state is not StepState.BOOT_FAILURE:
            last = step
    return base


def _test_one(run: Run, step: _Step, last: _Step) -> None:
    """Test one kernel and settle what it changed; the whole series raises when it does not boot.

    Only the whole series is on trial each time; what a kernel before it gave is kept.
    """
    if step.run is not run:
        baseline.equip(run, step.run)
        step.run.memory = DiskResultCache(run.cache, run.deadline)
    try:
        step.run.testbed.prepare()  # memory knows programs, not what a kernel says while booting
        step.run.test()
    except BootError as error:
        if step.run is run:
            raise
        step.state = StepState.BOOT_FAILURE
        step.message = "\n".join((error.what, *error.detail))
        return
    step.state, step.tested = StepState.TESTED, step
    step.changes = _settled(run, step, last)


def _take_over(run: Run, side: Side) -> None:
    """Let the run have the results of the patch before: its kernel is the same."""
    run.trial.observed.update({name: list(seen) for name, seen in side.programs.items()})
    names = [name for name in baseline.programs_of(run.trial) if name in side.programs]
    leaves = [leaf for name in names for leaf in classify.merged(side.programs[name])]
    run.leaves += verdicts.mark_known([*side.boot, *leaves], run.trial.known)
    for leaf in run.leaves:
        run.observer.test_finished(leaf)


def _settled(run: Run, step: _Step, last: _Step) -> list[LeafChange]:
    """Return what a patch changed, with what was bad because of it seen again and again."""
    assert last.tested is not None
    found = classify.changes(last.side, step.side)
    programs = baseline.programs_of(step.run.trial)
    worst = step.side.worst()
    questions = [
        Question(
            change.id,
            programs[classify.program_of(change.id)],
            functools.partial(_same_way, classify.signature(worst.get(change.id))),
        )
        for change in found
        if classify.change_needs_repeating(change)
    ]
    answers = baseline.ask(run, questions, last.tested.run.trial, step.run.trial)
    return [replace(change, repeats=answers.get(change.id)) for change in found]


def _same_way(seen: tuple[str, str], leaf: Leaf | None) -> bool:
    return classify.signature(leaf) == seen


# --- what came of it -----------------------------------------------------------------------


def _record(step: _Step) -> PatchStep:
    counts = verdicts.counts(step.side.worst().values()) if step.tested else {}
    return PatchStep(
        patch=step.patch,
        subject=step.subject,
        state=step.state,
        seconds=round(step.seconds, 3),
        counts={status: number for status, number in counts.items() if number},
        changes=tuple(step.changes),
        warnings=step.warnings,
        message=step.message,
    )


def _broken_steps(steps: Iterable[_Step]) -> list[Leaf]:
    """Return a failing leaf for each patch whose own kernel does not build or boot.

    Who bisects later stops there, and cannot go on.
    """
    names = {StepState.BUILD_BREAK: "build", StepState.BOOT_FAILURE: "boot"}
    return [
        Leaf(f"{OF_PATCH}{step.patch}/{names[step.state]}", Status.FAIL, step.message)
        for step in steps
        if step.state in names
    ]


def _mended_later(run: Run, steps: Sequence[_Step]) -> list[Leaf]:
    """Return a failing leaf for each break that a later patch mends, so no other leaf shows it."""
    now = {leaf.id: leaf for leaf in run.leaves}
    base = steps[0].side.worst()
    found = []
    for step in steps[1:]:
        for change in comparison_view.broken(_record(step)):
            was, final = base.get(change.id), now.get(change.id)
            shown = final is not None and (final.status.bad or final.status is Status.XFAIL)
            if shown or (was and was.status is not Status.PASS):
                continue
            said = f"patch {step.patch} breaks it, and a later one mends it\n{change.message}"
            found.append(Leaf(f"{OF_PATCH}{step.patch}/{change.id}", Status.FAIL, said.rstrip()))
    return found
