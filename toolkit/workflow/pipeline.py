"""From a run to its verdict, with the reports in its folder however it ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from toolkit.core.errors import (
    EXIT_INTERRUPTED,
    BootError,
    BuildError,
    InfrastructureError,
    KernelError,
    ToolkitError,
    UserError,
)
from toolkit.core.model.coverage import Coverage
from toolkit.core.model.result import RunResult, Verdict
from toolkit.kernel import stacktrace
from toolkit.report import artifacts, coverage_view, history
from toolkit.series import blame
from toolkit.testing import coverage, verdicts
from toolkit.testing.gcda import BOOT, Counters
from toolkit.workflow import baseline, per_patch, reproducer, run_result, saved_build
from toolkit.workflow.reproducer import Kit
from toolkit.workflow.run import Run

_WORK_FOLDER = re.compile(r"/\S*/work/kernel/[0-9a-f]+(?:\.\d+)?/src/")
_DETOUR = re.compile(r"(?<![^/\s\[])[^/\s\[]*[^/\s\[.][^/\s\[]*/\.\./")  # a/../


def build_and_test(run: Run, test: Callable[[Run], object] | None = None) -> RunResult:
    """Do the whole run and write its reports into its folder, however it ends.

    ``test`` does other tests than the request asks for. Errors become part of the result and are
    raised again for the caller to show.
    """
    with _reported(run):
        (test or _test)(run)
        covered = _coverage(run)
        verdict, code = verdicts.verdict(run.findings.leaves)
        short = coverage_view.below(covered) if covered and verdict is Verdict.PASS else ""
        if short:
            verdict, code = Verdict.FAIL, KernelError.exit_code
        message = short or verdicts.reason(run.findings.leaves)
        result = run_result.of(run, verdict, code, message)
        return _concluded(run, replace(result, coverage=covered), may_be_lost=False)


def build(run: Run, folder: Path | None = None) -> None:
    """Build kernel and selftests, and save what testing needs into ``folder``.

    Where the request asks for a baseline, its kernel is built, too; the tree goes along where it
    asks for coverage. Where that fails, the reports of a run are written: a CI shows them in any
    case. The error is raised again.
    """
    with _reported(run):
        if run.request.baseline:
            baseline.require_series(run)  # before the kernel costs anything
        _ = run.kernel, run.built_suites
        base = baseline.build(run) if run.request.baseline else None
        if folder:
            tree = run.tree if run.request.coverage else None
            saved_build.save(replace(run.bundle(), baseline=base), folder, tree)


@contextlib.contextmanager
def _reported(run: Run) -> Iterator[None]:
    """Make a result with its reports of whatever ends a run early, and raise it again."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted = run_result.of(run, Verdict.INTERRUPTED, EXIT_INTERRUPTED, "interrupted")
        _concluded(run, interrupted)
        raise
    except ToolkitError as error:
        detail = [within_tree(line) for line in error.detail]
        result = run_result.of(run, verdict_of(error), error.exit_code, error.what, detail)
        _concluded(run, result)
        raise
    except OSError as error:
        code = InfrastructureError.exit_code
        _concluded(run, run_result.of(run, Verdict.INFRASTRUCTURE, code, str(error)))
        raise


def _test(run: Run) -> None:
    if run.request.each:
        per_patch.test(run)
    elif run.request.baseline:
        baseline.test(run)
    else:
        run.test()


def measure_coverage(run: Run, counters: Counters) -> coverage.Measured:
    """Return what the counters say of the lines that the run's programs and its boot ran."""
    ran = [f"{each.suite}/{each.name}" for suite in run.built_suites for each in suite.programs]
    return coverage.measure(
        run.tree,
        counters.profiled,
        counters.folder,
        programs=[BOOT, *ran],
        lost=counters.lost,
        deadline=run.deadline,
    )


def _coverage(run: Run) -> Coverage | None:
    """Return what the tests ran of the series, where that was asked for."""
    counters = run.counters
    if not counters:
        return None

    def work() -> tuple[coverage.Measured, bool, str]:
        measured = measure_coverage(run, counters)
        return measured, False, coverage_view.headline(measured.coverage)

    measured = run.stages.run("coverage", work)
    if not run.request.partial:
        for entry in measured.stale:
            place = f"{entry.file}: {entry.line or entry.function}"
            run.observer.notice(
                f"{place}: no line that did not run needs this explanation any more"
            )
    return replace(measured.coverage, wanted=run.request.coverage_fail_under)


def _concluded(run: Run, result: RunResult, *, may_be_lost: bool = True) -> RunResult:
    """Return the result with what its evidence points at, and write the reports.

    A full disk must not hide the error that a run ended in: its reports ``may_be_lost``. Nor may it
    let a run pass that left no result; then OSError is raised.
    """
    reached = run.reached
    kernel, base = reached.kernel, reached.base
    if kernel and base and result.splats and result.verdict is not Verdict.INTERRUPTED:
        splats = stacktrace.decode(result.splats, kernel, base, run.observer, run.arch.cross)
        result = replace(result, splats=splats)
    evidence = [
        line for splat in result.splats for line in (splat.decoded or splat.text).split("\n")
    ]
    blames = blame.find([*result.detail, *evidence], reached.tree)
    result = replace(result, blames=blames)
    with contextlib.suppress(OSError) if may_be_lost else contextlib.nullcontext():
        artifacts.write(run.folder, result, run.request.step_summary)
        if reached.testable:
            asked = run.request
            bundle = replace(run.bundle(), suites=tuple(run.runner.suites))
            environment = run.runner.environment
            kit = Kit(bundle, run.accelerator, run.arch.qemu, asked.append, environment)
            reproducer.remember(kit, run.folder)
    try:
        history.record(run.paths.history, result, run.folder)
    except (InfrastructureError, OSError) as error:
        run.observer.notice(f"this run is not in the history: {error}")
    return result


def within_tree(line: str) -> str:
    """Return a compiler's line with the tree's own paths, not those of this host's work folder."""
    line = _WORK_FOLDER.sub("", line)
    while (shorter := _DETOUR.sub("", line)) != line:
        line = shorter
    return line


def verdict_of(error: ToolkitError) -> Verdict:
    """Return the verdict of a run that ended in ``error``."""
    if isinstance(error, BuildError):
        return Verdict.BUILD_BREAK
    if isinstance(error, BootError):
        return Verdict.BOOT_FAILURE
    if isinstance(error, KernelError):
        return Verdict.FAIL
    return Verdict.USER_ERROR if isinstance(error, UserError) else Verdict.INFRASTRUCTURE
