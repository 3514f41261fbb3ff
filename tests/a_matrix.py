"""A matrix that never was: each verdict, each kind of change, and words of strangers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests import a_result
from toolkit.core.model.matrix import Cell, CellResult, Change, MatrixResult, Part
from toolkit.core.model.result import RunResult, Verdict
from toolkit.report import artifacts
from toolkit.testing import verdicts

BEFORE = "2026-05-27T01:00:00+00:00"


def _cell(series: str, kernel: str, suite: str, profile: str = "") -> Cell:
    return Cell(series, kernel, "tiny", profile, "gcc", "x86_64", "minimal", suite)


def _of(name: str, cell: Cell, result: RunResult, **changes: object) -> CellResult:
    made = CellResult(
        name=name,
        cell=cell,
        verdict=result.verdict,
        exit_code=result.exit_code,
        command=("toolkit", "build-and-test", "--patch", cell.series, "--suite", cell.suite),
        message=result.message,
        release=result.release,
        folder=f"cells/{name}",
        counts={s: n for s, n in verdicts.counts(result.leaves).items() if n},
        bad=tuple(leaf.id for leaf in result.leaves if leaf.status.bad),
        seconds=result.seconds,
        parts=(Part(f"cells/{name}", result.verdict, result.exit_code, result.seconds),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _lost(name: str, cell: Cell, **changes: object) -> CellResult:
    made = CellResult(
        name,
        cell,
        Verdict.INFRASTRUCTURE,
        3,
        ("toolkit", "build-and-test", "--patch", cell.series),
        "the toolkit was killed by signal 9\nno space left on device",
        seconds=3.0,
        parts=(Part("", Verdict.INFRASTRUCTURE, 3, 3.0, 3, "no space left on device"),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


OLD, NEW = "debian:6.1", "git:/srv/linux@v6.13"
# Of cells with a result of their own, by name.
RESULTS = {
    "v4-old-kvm": a_result.passed(leaves=a_result.leaves(2)),
    "v4-new-kvm": a_result.failed(),
    "v5-old-kvm": a_result.broken(),
    "v5-new-net": a_result.without_tests(),
}


def a_matrix() -> MatrixResult:
    return MatrixResult(
        title="Nightly",
        exit_code=1,
        command=("toolkit", "matrix", "nightly.yaml"),
        started="2026-05-28T01:00:00+00:00",
        seconds=5025.0,
        toolkit="0.3",
        cells=(
            _of("v4-old-kvm", _cell("iosignalfd/v4", OLD, "kvm"), RESULTS["v4-old-kvm"],
                change=Change(BEFORE, Verdict.FAIL, (), ("kvm/iosignalfd_args_test/case_03",))),
            _of("v4-new-kvm", _cell("iosignalfd/v4", NEW, "kvm"), RESULTS["v4-new-kvm"],
                change=Change(BEFORE, Verdict.PASS, ("kvm/iosignalfd_args_test/case_03",), ())),
            _lost("v4-new-net", _cell("iosignalfd/v4", NEW, "net")),
            _of("v5-old-kvm", _cell("iosignalfd/v5", OLD, "kvm", "debug"), RESULTS["v5-old-kvm"],
                change=Change(BEFORE, Verdict.BUILD_BREAK)),
            _of("v5-new-net", _cell("iosignalfd/v5", NEW, "net"), RESULTS["v5-new-net"]),
            _lost("v5-new-kvm", _cell("iosignalfd/v5", NEW, "kvm"), verdict=Verdict.USER_ERROR,
                  exit_code=2, message="there is no suite 'kvm'"),
            _lost("base-new-kvm", _cell("", NEW, "kvm"), verdict=Verdict.INTERRUPTED,
                  exit_code=130, message="not run", parts=(), seconds=0.0),
        ),
    )  # fmt: skip


def hostile() -> MatrixResult:
    """Return a matrix whose names and messages are meant to do harm."""
    bad = "</td><script>alert(1)</script>`|**x**\x1b[31m\u202e"
    result = a_result.hostile()
    return replace(
        a_matrix(),
        title=bad,
        cells=(
            _of("h", _cell(bad, bad, bad), result, message=bad, command=("toolkit", bad)),
            _lost("l", _cell(bad, "k", ""), message=bad, bad=(bad,)),
        ),
    )


def write_cells(root: Path, matrix: MatrixResult) -> None:
    """Write what the cells have in their folders."""
    for cell in matrix.cells:
        if cell.folder:
            (root / cell.folder).mkdir(parents=True)
            artifacts.write(root / cell.folder, RESULTS.get(cell.name, a_result.hostile()))
