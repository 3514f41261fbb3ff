"""The result of a run, however far it came."""

from __future__ import annotations

import time
from collections.abc import Sequence

import toolkit
from toolkit.core.model.result import RunResult, Verdict
from toolkit.workflow import provenance
from toolkit.workflow.run import Run


def of(
    run: Run, verdict: Verdict, exit_code: int, message: str = "", detail: Sequence[str] = ()
) -> RunResult:
    """Return everything that is known of a run."""
    reached, findings = run.reached, run.findings
    base, series, kernel = reached.base, reached.series, reached.kernel
    accelerator = reached.accelerator
    return RunResult(
        verdict=verdict,
        exit_code=exit_code,
        command=run.request.command,
        started=run.started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - run.began, 3),
        toolkit=toolkit.__version__,
        message=message,
        detail=tuple(detail),
        series=series.name if series else (run.request.patch or ""),
        patches=tuple(patch.subject for patch in series.patches) if series else (),
        kernel=base.name if base else run.request.kernel,
        release=kernel.release if kernel else (base.release if base else ""),
        accelerator=accelerator.name if accelerator else "",
        accelerator_reason=accelerator.reason if accelerator else "",
        qemu=reached.qemu_version,
        stages=run.stages.records,
        leaves=findings.leaves,
        splats=findings.splats,
        mailing=series.mailing if series else None,
        comparison=findings.comparison,
        steps=findings.steps,
        environment=provenance.of(reached, run.request),
    )
