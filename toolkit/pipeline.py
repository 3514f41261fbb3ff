"""From a run to its verdict, with the reports in its folder however it ends."""

from __future__ import annotations

import contextlib

from toolkit import report, results
from toolkit.errors import (
    EXIT_INTERRUPTED,
    BootError,
    BuildError,
    InfrastructureError,
    KernelError,
    ToolkitError,
    UserError,
)
from toolkit.model import RunResult, Verdict
from toolkit.run import Run


def build_and_test(run: Run) -> RunResult:
    """Do the whole run and write its reports into its folder, however it ends.

    Errors become part of the result and are raised again for the caller to show.
    """
    result: RunResult | None = None
    try:
        run.test()
        verdict, code = results.verdict(run.leaves)
        result = run.result(verdict, code)
    except KeyboardInterrupt:
        result = run.result(Verdict.INTERRUPTED, EXIT_INTERRUPTED, "interrupted")
        raise
    except ToolkitError as error:
        result = run.result(verdict_of(error), error.exit_code, error.what)
        raise
    except OSError as error:
        result = run.result(Verdict.INFRASTRUCTURE, InfrastructureError.exit_code, str(error))
        raise
    finally:
        if result:
            with contextlib.suppress(OSError):  # a full disk must not hide the first error
                report.write(run.folder, result)
    return result


def verdict_of(error: ToolkitError) -> Verdict:
    """Return the verdict of a run that ended in ``error``."""
    if isinstance(error, BuildError):
        return Verdict.BUILD_BREAK
    if isinstance(error, BootError):
        return Verdict.BOOT_FAILURE
    if isinstance(error, KernelError):
        return Verdict.FAIL
    return Verdict.USER_ERROR if isinstance(error, UserError) else Verdict.INFRASTRUCTURE
