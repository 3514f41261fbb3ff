"""What a series changed: the same test programs on the unpatched base and on the patched kernel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from toolkit.core.errors import BootError, BuildError, KernelError, UserError
from toolkit.core.model.comparison import ComparedLeaf, Comparison, LeafClass, Repeats
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Leaf, Status, TestProgram
from toolkit.core.text import counted
from toolkit.testing import classify, retest, verdicts
from toolkit.testing.classify import Side
from toolkit.testing.result_cache import DiskResultCache
from toolkit.testing.retest import Question
from toolkit.testing.runner import Runner
from toolkit.testing.tested import Tested
from toolkit.workflow.reached import Findings
from toolkit.workflow.run import Run

BASE = "base"
_LEAST_LIMIT = 20.0  # seconds: no program gets less time because the base was quick
_SLOWER = 10.0  # times what it took on the base


def test(run: Run) -> None:
    """Run the tests on the base and with the series, and record what differs.

    What the base gave is kept in the cache. A leaf that differs is repeated in fresh machines on
    both kernels, until the difference is established or it is called flaky. Raises
    :class:`UserError` where the base gives nothing to compare with.
    """
    prepare(run)
    base = sibling(run)
    on_base = test_base(run, base)
    tested = run.test(with_learned_time_outs(run.built_suites, on_base))
    conclude(run, tested, base, on_base)


def require_series(run: Run) -> None:
    """Raise :class:`UserError` where there is nothing to compare the base with."""
    if run.series is None:
        raise UserError(
            "a baseline is there to be compared with a series", hint="name one with --patch"
        )


def prepare(run: Run) -> None:
    """Take the run's stages up to its machines.

    A series that does not build or fit its suites ends here, before the base costs anything.
    """
    require_series(run)
    _ = run.built_suites, run.image, run.accelerator


def sibling(run: Run) -> Run:
    """Return the run of the unpatched base, whose results stay in the cache."""
    return run.sibling(BASE, None, DiskResultCache(run.cache, run.deadline))


def build(run: Run) -> KernelBuild:
    """Return the kernel of the unpatched base, for a series whose own kernel is built.

    Raises :class:`UserError` where the base does not build.
    """
    base = sibling(run)
    try:
        kernel = base.kernel
    except BuildError as error:
        raise no_baseline(error) from error
    run.stages.include(BASE, base.stages.records)
    return kernel


def test_base(run: Run, base: Run) -> Tested:
    """Test the unpatched base, or take its results from the cache."""
    try:
        _ = base.kernel
        prepare(run)
        tested = base.test()
    except (BuildError, BootError) as error:
        raise no_baseline(error) from error
    run.stages.include(BASE, base.stages.records)
    return tested


def no_baseline(error: KernelError) -> UserError:
    """Return the error for a base that does not build or boot."""
    return UserError(
        f"the unpatched base gives no baseline: {error.what}",
        hint="run without --baseline and --each, or take another base with --kernel",
        detail=error.detail,
    )


def with_learned_time_outs(suites: Sequence[BuiltSuite], on_base: Tested) -> tuple[BuiltSuite, ...]:
    """Return the suites with time-outs learned from what each program took on the base.

    Only where everything in it ran there: a program that skips is quick.
    """

    def limit(program: TestProgram) -> TestProgram:
        observations = on_base.observed.get(f"{program.suite}/{program.name}", ())
        took = on_base.seconds.get(f"{program.suite}/{program.name}")
        ran = all(leaf.status is Status.PASS for leaves in observations for leaf in leaves)
        if not ran or not observations or took is None:
            return program
        learned = max(_LEAST_LIMIT, _SLOWER * took)
        return replace(program, timeout=min(program.timeout or learned, learned))

    return tuple(
        replace(suite, programs=tuple(limit(program) for program in suite.programs))
        for suite in suites
    )


def conclude(run: Run, tested: Tested, base: Run, on_base: Tested) -> None:
    """Compare what was tested with the base, repeat what differs, and record what that leaves bad.

    What the tests gave is recorded first, for a run that is interrupted while it repeats them.
    """
    before, after = on_base.side, tested.side
    leaves = _not_merely_allowed(tested, before, run.runner.known)
    findings = Findings(tuple(leaves), tested.splats)
    run.record(findings)
    points = classify.compare(before, after, leaves)
    points = _repeated(run, points, base.runner)
    comparison = Comparison(
        base=f"unpatched {run.base.name}, Linux {base.kernel.release}",
        confidence=run.request.confidence,
        leaves=tuple(points),
    )
    changed = {name for suite in run.built_suites for name in suite.changed}
    judged = tuple(classify.judged(leaves, points, changed))
    run.record(replace(findings, leaves=judged, comparison=comparison))


def _not_merely_allowed(tested: Tested, before: Side, known: Sequence[KnownFailure]) -> list[Leaf]:
    """Return the leaves; what is merely allowed to fail may not where it passes on the base."""
    good = {name for name, leaf in before.worst().items() if leaf.status is Status.PASS}
    own = tested.side.worst()
    return [
        own.get(leaf.id, leaf) if leaf.id in good and verdicts.merely_allowed(leaf, known) else leaf
        for leaf in tested.leaves
    ]


def _repeated(run: Run, points: Sequence[ComparedLeaf], base: Runner) -> list[ComparedLeaf]:
    programs = run.runner.programs
    questions = [
        Question(
            point.id,
            programs[classify.program_of(point.id)],
            functools.partial(classify.symptom, point),
            less=point.leaf_class is LeafClass.FIXED,
        )
        for point in points
        if classify.needs_repeating(point)
    ]
    answers = ask(run, questions, base, run.runner)
    return [
        classify.with_repeats(point, answers[point.id]) if point.id in answers else point
        for point in points
    ]


def ask(
    run: Run, questions: Sequence[Question], before: Runner, after: Runner
) -> dict[str, Repeats]:
    """Settle questions in a stage of the run; nothing happens where there is none."""
    if not questions:
        return {}

    def progress(done: int, total: int, names: str) -> None:
        run.observer.stage_progress("repeat", done, total, names)

    def work() -> tuple[dict[str, Repeats], bool, str]:
        answers = retest.settle(
            questions, before, after, confidence=run.request.confidence, progress=progress
        )
        sure = sum(each.established for each in answers.values())
        verb = "differs" if len(answers) == 1 else "differ"
        return answers, False, f"{counted(len(answers), 'case')} {verb}, {sure} for certain"

    return run.stages.run("repeat", work)
