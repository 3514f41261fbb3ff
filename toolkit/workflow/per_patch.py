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
from toolkit.series import catalog
from toolkit.testing import classify, verdicts
from toolkit.testing.leaf_ids import OF_PATCH
from toolkit.testing.result_cache import DiskResultCache
from toolkit.testing.retest import Question
from toolkit.testing.runner import Runner
from toolkit.testing.tested import Tested
from toolkit.workflow import baseline
from toolkit.workflow.run import Run


@dataclass(slots=True)
class _Step:
    """One kernel on the way: the base, or the series up to a patch.

    ``tested`` is what was seen on it; where it is the same kernel as that of the step before, the
    two share it, and the ``runner`` that repeats a program on it.
    """

    patch: int
    subject: str
    run: Run
    state: StepState = StepState.UNTESTED
    identity: str = ""
    warnings: tuple[str, ...] = ()
    message: str = ""
    seconds: float = 0.0
    changes: list[LeafChange] = field(default_factory=list)
    tested: Tested = field(default_factory=Tested)
    runner: Runner | None = None


def test(run: Run) -> None:
    """Build and test the base and each prefix of the series, and record which patch changed what.

    The leaves are what differs from the base, and one for each patch that does not build, does not
    boot, or breaks what a later patch mends. Raises :class:`BuildError` when the whole series does
    not build, with the first such patch in it.
    """
    steps = _steps(run)
    try:
        _build(run, steps)
        _test(run, steps)
        base, whole = steps[0], steps[-1]
        baseline.conclude(run, whole.tested, base.run, base.tested)
    finally:
        records = tuple(_record(step) for step in steps if step.identity or step.message)
        run.record(replace(run.findings, steps=records))
    findings = run.findings
    more = (*_broken_steps(steps), *_mended_later(findings.leaves, steps))
    run.record(replace(findings, leaves=(*findings.leaves, *more)))


def _steps(run: Run) -> list[_Step]:
    whole = run.series
    if whole is None:
        raise UserError("--each goes through a series", hint="name one with --patch")
    steps = [_Step(0, "", baseline.sibling(run))]
    prefixes: Sequence[PatchSeries] = catalog.prefixes(whole)
    for number, prefix in enumerate(prefixes, 1):
        own = run
        if number < len(prefixes):
            result_cache = DiskResultCache(run.cache, run.deadline)
            own = run.sibling(f"{OF_PATCH}{number}", prefix, result_cache)
        steps.append(_Step(number, whole.patches[number - 1].subject, own))
    return steps


# --- builds --------------------------------------------------------------------------------


def _build(run: Run, steps: Sequence[_Step]) -> None:
    """Build every kernel; a patch that does not build is remembered, the whole series raises."""
    earlier: Counter[str] = Counter()
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
        step.identity = build_identity.identity(kernel, run.builder.toolchain, run.deadline)
        log = step.run.folder / "build.log"
        now = Counter(diagnostics(log.read_text(errors="replace").splitlines()))
        # Only what is compiled again warns again, so what a step before warned of stays known.
        step.warnings = tuple((now - earlier).elements()) if step.patch else ()
        earlier |= now


# --- tests ---------------------------------------------------------------------------------


def _test(run: Run, steps: Sequence[_Step]) -> None:
    """Test every kernel that was built and is not the same as the one before."""
    last, *patches = steps
    last.tested, last.runner = baseline.test_base(run, last.run), last.run.runner
    last.state = StepState.TESTED
    for step in patches:
        if step.state is StepState.BUILD_BREAK:
            continue
        began = time.monotonic()
        if step.identity == last.identity:
            step.state, step.runner = StepState.SAME, last.runner
            step.tested = _taken_over(run, last.tested) if step.run is run else last.tested
        else:
            _test_one(run, step, last)
        step.seconds += time.monotonic() - began
        if step.state is not StepState.BOOT_FAILURE:
            last = step


def _test_one(run: Run, step: _Step, last: _Step) -> None:
    """Test one kernel and settle what it changed; the whole series raises when it does not boot.

    Only the whole series runs anew each time; what a kernel before it gave stays in the cache.
    """
    try:
        step.tested, step.runner = step.run.test(), step.run.runner
    except BootError as error:
        if step.run is run:
            raise
        step.state = StepState.BOOT_FAILURE
        step.message = "\n".join((error.what, *error.detail))
        return
    step.state = StepState.TESTED
    step.changes = _settled(run, step, last)


def _taken_over(run: Run, before: Tested) -> Tested:
    """Return the results of the patch before as the run's own, whose kernel is the same.

    Its known failures are, which a prefix of the series does not have.
    """
    names = [name for name in run.runner.programs if name in before.observed]
    leaves = [leaf for name in names for leaf in classify.merged(before.observed[name])]
    tested = replace(before, programs=tuple(verdicts.mark_known(leaves, run.runner.known)))
    for leaf in tested.leaves:
        run.observer.test_finished(leaf)
    return tested


def _settled(run: Run, step: _Step, last: _Step) -> list[LeafChange]:
    """Return what a patch changed; what it broke is repeated until that is certain."""
    assert last.runner is not None
    assert step.runner is not None
    side = step.tested.side
    changes = classify.changes(last.tested.side, side)
    programs, worst = step.runner.programs, side.worst()
    questions = [
        Question(
            change.id,
            programs[classify.program_of(change.id)],
            functools.partial(_same_way, classify.signature(worst.get(change.id))),
        )
        for change in changes
        if classify.change_needs_repeating(change)
    ]
    answers = baseline.ask(run, questions, last.runner, step.runner)
    return [replace(change, repeats=answers.get(change.id)) for change in changes]


def _same_way(signature: tuple[str, str], leaf: Leaf | None) -> bool:
    return classify.signature(leaf) == signature


# --- what came of it -----------------------------------------------------------------------


def _record(step: _Step) -> PatchStep:
    counts = verdicts.counts(step.tested.side.worst().values())
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

    A later bisection stops there and cannot go on.
    """
    names = {StepState.BUILD_BREAK: "build", StepState.BOOT_FAILURE: "boot"}
    return [
        Leaf(f"{OF_PATCH}{step.patch}/{names[step.state]}", Status.FAIL, step.message)
        for step in steps
        if step.state in names
    ]


def _mended_later(leaves: Iterable[Leaf], steps: Sequence[_Step]) -> list[Leaf]:
    """Return a failing leaf for each break that a later patch mends, so no other leaf shows it."""
    now = {leaf.id: leaf for leaf in leaves}
    base = steps[0].tested.side.worst()
    mended = []
    for step in steps[1:]:
        for change in comparison_view.broken(_record(step)):
            was, final = base.get(change.id), now.get(change.id)
            shown = final is not None and (final.status.bad or final.status is Status.XFAIL)
            if shown or (was and was.status is not Status.PASS):
                continue
            message = f"patch {step.patch} breaks it, and a later one mends it\n{change.message}"
            leaf_id = f"{OF_PATCH}{step.patch}/{change.id}"
            mended.append(Leaf(leaf_id, Status.FAIL, message.rstrip()))
    return mended
