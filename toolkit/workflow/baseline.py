"""What a series changed: the same test programs on the unpatched base and on the patched kernel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from toolkit.core.errors import BootError, BuildError, KernelError, UserError
from toolkit.core.model.comparison import Comparison, LeafClass, Repeats
from toolkit.core.model.testing import BuiltSuite, Leaf, Status, TestProgram
from toolkit.testing import classify, leaf_ids, retest, verdicts
from toolkit.testing.classify import Side
from toolkit.testing.result_cache import DiskResultCache
from toolkit.testing.retest import Question
from toolkit.testing.runner import Runner
from toolkit.workflow.run import Run

BASE = "base"
_LEAST_LIMIT = 20.0  # seconds: no program gets less time because the base was quick
_SLOWER = 10.0  # times what it took on the base


def test(run: Run) -> None:
    """Run the tests on the base and with the series; the run's leaves become what differs.

    What the base gave is kept in the cache. A leaf that differs is repeated in fresh machines on
    both kernels, until the difference is established or it is called flaky. Raises
    :class:`UserError` where the base gives nothing to compare with.
    """
    prepare(run)
    base = test_base(run, run.beside(BASE, None))
    run.built_suites = learned(run.built_suites, base.trial)
    run.test()
    conclude(run, base)


def prepare(run: Run) -> None:
    """Take the run's stages up to its machines, so that one beside it can share them."""
    if run.series is None:
        raise UserError(
            "a baseline is there to be compared with a series", hint="name one with --patch"
        )
    # A series that does not build or fit its suites ends here, before the base costs anything.
    _ = run.built_suites, run.image, run.accelerator


def test_base(run: Run, base: Run) -> Run:
    """Return ``base``, the run of the unpatched base, with its tests done or found in the cache."""
    try:
        _ = base.kernel
        prepare(run)
        equip(run, base)
        base.memory = DiskResultCache(run.cache, run.deadline)
        base.test()
    except (BuildError, BootError) as error:
        raise no_baseline(error) from error
    run.stages += [replace(each, name=f"{BASE}: {each.name}") for each in base.stages]
    return base


def no_baseline(error: KernelError) -> UserError:
    """Return the error for a base that does not build or boot."""
    return UserError(
        f"the unpatched base gives no baseline: {error.what}",
        hint="run without --baseline and --each, or take another base with --kernel",
        detail=error.detail,
    )


def equip(run: Run, other: Run) -> None:
    """Give the run of another kernel what this run's tests have: image, machines, programs."""
    other.image = run.image
    # What a series may have kept from building is nothing that the other kernel has, too.
    other.built_suites = tuple(
        replace(suite, programs=tuple(p for p in suite.programs if not p.unbuilt))
        if suite.touched
        else suite
        for suite in run.built_suites
    )
    other.accelerator, other.qemu_version = run.accelerator, run.qemu_version


def learned(suites: Sequence[BuiltSuite], base: Runner) -> tuple[BuiltSuite, ...]:
    """Return the suites with time-outs learned from what each program took on the base.

    Only where everything in it ran there: a program that skips is quick.
    """

    def limit(program: TestProgram) -> TestProgram:
        seen = base.observed.get(f"{program.suite}/{program.name}", [])
        took = base.seconds.get(f"{program.suite}/{program.name}")
        ran = all(leaf.status is Status.PASS for leaves in seen for leaf in leaves)
        if not ran or not seen or took is None:
            return program
        return replace(program, timeout=min(program.timeout, max(_LEAST_LIMIT, _SLOWER * took)))

    return tuple(
        replace(suite, programs=tuple(limit(program) for program in suite.programs))
        for suite in suites
    )


def side(run: Run) -> Side:
    """Return what was seen on a run's kernel."""
    boot = tuple(leaf for leaf in run.leaves if not leaf_ids.split(leaf.id)[1])
    return Side(run.trial.observed, boot)


def conclude(run: Run, base: Run) -> None:
    """Compare the run with its base, settle what differs, and judge its leaves by that."""
    if any(leaf.status.bad for leaf in side(run).boot):
        base.testbed.prepare()  # does the base complain as well? memory does not know
    run.leaves[:] = _judged(run, side(base))
    points = classify.compare(side(base), side(run), run.leaves)
    programs = programs_of(run.trial)
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
    answers = ask(run, questions, base.trial, run.trial)
    points = [
        classify.with_repeats(point, answers[point.id]) if point.id in answers else point
        for point in points
    ]
    run.comparison = Comparison(
        base=f"unpatched {run.base.name}, Linux {base.kernel.release}",
        confidence=run.request.confidence,
        leaves=tuple(points),
    )
    run.leaves[:] = classify.judged(run.leaves, points)


def _judged(run: Run, base: Side) -> list[Leaf]:
    """Return the run's leaves; what is merely allowed may not fail if the base's passes."""
    good = {name for name, leaf in base.worst().items() if leaf.status is Status.PASS}
    own = side(run).worst()
    return [
        own.get(leaf.id, leaf)
        if leaf.id in good and verdicts.merely_allowed(leaf, run.trial.known)
        else leaf
        for leaf in run.leaves
    ]


def programs_of(trial: Runner) -> dict[str, TestProgram]:
    """Return a trial's programs by ``suite/program``."""
    return {f"{each.suite}/{each.name}": each for suite in trial.suites for each in suite.programs}


def ask(
    run: Run, questions: Sequence[Question], before: Runner, after: Runner
) -> dict[str, Repeats]:
    """Settle questions as a stage of the run; nothing happens where there is none."""
    if not questions:
        return {}

    def progress(done: int, total: int, said: str) -> None:
        run.observer.stage_progress("repeat", done, total, said)

    def work() -> tuple[dict[str, Repeats], bool, str]:
        found = retest.settle(
            questions, before, after, confidence=run.request.confidence, progress=progress
        )
        sure = sum(each.established for each in found.values())
        return found, False, f"{len(found)} cases differ, {sure} of them for certain"

    return run.stage("repeat", work)
