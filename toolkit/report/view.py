"""What the reports show of a result, worked out once; each report only gives it a form.

Pure. Text from outside passes :func:`~toolkit.core.text.visible` where a report is rendered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import visible
from toolkit.report import comparison_view, coverage_view, wording
from toolkit.report.comparison_view import ComparisonView, MatrixRow, StepView
from toolkit.report.coverage_view import CoverageView
from toolkit.testing import leaf_ids, verdicts

_ORDER = {status: number for number, status in enumerate(Status)}
_DMESG = "dmesg"
# What a suite's program lacks on this host: a library, or its header. Headers of the kernel's own
# are the series' business; for the kernel's build, toolkit.kernel.build_failure decides.
_HOST_LACKS = re.compile(
    r"cannot find -l\S+"
    r"|\b(?:tools/testing|kselftests)/\S+ fatal error: "
    r"(?!(?:linux|asm|asm-generic|uapi|generated)/|\.\.?/)\S+ No such file or directory"
)
_NO_RESULT = "the output holds no test result"  # how toolkit.formats.ktap begins such a message


class _Group:
    """What can be said of some leaves together."""

    __slots__ = ()
    leaves: tuple[Leaf, ...]

    @property
    def tally(self) -> str:
        """How many of its leaves have each status, in words."""
        return wording.tally(verdicts.counts(self.leaves))

    @property
    def seconds(self) -> float:
        """What its leaves took, as far as that is known."""
        return sum(leaf.seconds or 0.0 for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class Program(_Group):
    """Leaves of one test program, or of a boot, in the order in which they came."""

    suite: str
    name: str  # "" for leaves that belong to no program
    leaves: tuple[Leaf, ...]
    splats: tuple[Splat, ...] = ()  # that the kernel printed while it ran

    @property
    def id(self) -> str:
        """``suite/program``."""
        return f"{self.suite}/{self.name}" if self.name else self.suite

    @property
    def bad(self) -> int:
        """How many of its leaves fail the run."""
        return sum(leaf.status.bad for leaf in self.leaves)

    @property
    def worst(self) -> Status:
        """The status of its worst leaf."""
        return min((leaf.status for leaf in self.leaves), key=_ORDER.__getitem__)

    def message(self, leaf: Leaf) -> str:
        """Return a leaf's message, or nothing where it only names the program's splats."""
        titles = {visible(splat.title) for splat in self.splats}
        return "" if set(leaf.message.split("\n")) <= titles else leaf.message


@dataclass(frozen=True, slots=True)
class SuiteTotal(_Group):
    """All leaves of one suite."""

    name: str
    programs: int
    leaves: tuple[Leaf, ...]

    @property
    def reason(self) -> str:
        """Why most of those were skipped that were, and how many for that reason; "" for none."""
        reasons = skip_reasons(leaf for leaf in self.leaves if leaf.status is Status.SKIP)
        return f"{reasons[0][0]} ({reasons[0][1]})" if reasons else ""


@dataclass(frozen=True, slots=True)
class ReportView:
    """A result as its readers see it."""

    result: RunResult
    subject: str  # what was tested
    why: str  # what the verdict rests on, where it is not the tests
    counts: Mapping[Status, int]
    programs: tuple[Program, ...]  # in the order in which they ran
    failures: tuple[Leaf, ...]  # the leaves that fail the run
    stray_splats: tuple[Splat, ...]  # those that belong to no program with a failure
    skip_reasons: tuple[tuple[str, int], ...]  # where no test ran; the most frequent first
    comparison: ComparisonView | None
    steps: tuple[StepView, ...]
    matrix: tuple[MatrixRow, ...]
    coverage: CoverageView | None
    environment: tuple[tuple[str, str], ...]
    command: str  # repeats the run

    @property
    def passed(self) -> bool:
        """Whether the verdict is a pass."""
        return self.result.verdict is Verdict.PASS

    @property
    def tally(self) -> str:
        """How many leaves have each status, in words."""
        return wording.tally(self.counts)

    @property
    def host_at_fault(self) -> bool:
        """Whether the run ended for want of something on this host, such as a library."""
        if self.result.verdict is Verdict.BUILD_BREAK and not self.result.blames:
            return any(map(_HOST_LACKS.search, self.result.detail))
        return self.result.verdict is Verdict.INFRASTRUCTURE

    @property
    def programs_bad_first(self) -> list[Program]:
        """The programs, those with failures first."""
        return sorted(self.programs, key=lambda program: not program.bad)

    @property
    def suites(self) -> list[SuiteTotal]:
        """The suites in the order in which they ran, without what is no suite's, such as a boot."""
        by_name: dict[str, list[Program]] = {}
        for program in self.programs:
            if program.name and program.name != _DMESG:
                by_name.setdefault(program.suite, []).append(program)
        return [
            SuiteTotal(name, len(group), tuple(leaf for each in group for leaf in each.leaves))
            for name, group in by_name.items()
        ]

    def failed_programs(self, limit: int) -> list[Program]:
        """Return the first ``limit`` failures by program, without its other leaves."""
        return programs(self.failures[:limit], self.result.splats)

    def splats_of(self, leaf: Leaf) -> tuple[Splat, ...]:
        """Return the splats that a leaf stands for: a program's are those of its dmesg leaf."""
        if not leaf.status.bad or leaf_ids.split(leaf.id)[2] != _DMESG:
            return ()
        return programs([leaf], self.result.splats)[0].splats

    def repeat(self, leaf: Leaf) -> str:
        """Return the command that repeats a leaf's program and nothing else."""
        return wording.repeat(self.result, leaf.id)


def of(result: RunResult) -> ReportView:
    """Return what reports show of ``result``."""
    failures = tuple(leaf for leaf in result.leaves if leaf.status.bad)
    failed = {program.id for program in programs(failures)}
    none_ran = result.verdict is Verdict.NO_TESTS
    return ReportView(
        result=result,
        subject=wording.subject(result),
        why=wording.why(result),
        counts=verdicts.counts(result.leaves),
        programs=tuple(programs(result.leaves, result.splats)),
        failures=failures,
        stray_splats=tuple(splat for splat in result.splats if splat.during not in failed),
        skip_reasons=tuple(skip_reasons(result.leaves)) if none_ran else (),
        comparison=(
            comparison_view.of_comparison(result.comparison) if result.comparison else None
        ),
        steps=tuple(map(comparison_view.of_step, result.steps)),
        matrix=tuple(comparison_view.matrix(result.steps)),
        coverage=coverage_view.of(result.coverage) if result.coverage else None,
        environment=tuple((name, value) for name, value in _environment(result) if value),
        command=wording.command(result),
    )


def programs(leaves: Iterable[Leaf], splats: Iterable[Splat] = ()) -> list[Program]:
    """Return leaves by program, programs in the order of their first leaves."""
    during: dict[str, list[Splat]] = {}
    for splat in splats:
        during.setdefault(splat.during, []).append(splat)
    by_name: dict[tuple[str, str], list[Leaf]] = {}
    for leaf in leaves:
        suite, name, _ = leaf_ids.split(leaf.id)
        by_name.setdefault((suite, name), []).append(leaf)
    return [
        Program(
            suite, name, tuple(group), tuple(during.get(f"{suite}/{name}" if name else suite, ()))
        )
        for (suite, name), group in by_name.items()
    ]


def skip_reasons(leaves: Iterable[Leaf]) -> list[tuple[str, int]]:
    """Return why leaves were skipped and how many for each reason, the most frequent first."""
    return Counter(map(_skip_reason, leaves)).most_common()


def _skip_reason(leaf: Leaf) -> str:
    """Return why a leaf was skipped: of a program that prints no TAP, what it printed instead."""
    lines = [line for line in leaf.message.split("\n") if line.strip()]
    if lines[1:] and lines[0] == _NO_RESULT:
        return lines[1]
    return lines[0] if lines else "no reason given"


def _environment(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield where and with what the run was made; a value that is not known is empty."""
    environment = result.environment
    memory = f"{environment.memory_mib / 1024:.1f} GiB" if environment.memory_mib else ""
    cpus = f"{environment.cpus} CPUs" if environment.cpus else ""
    yield "Kernel", ", ".join(dict.fromkeys(filter(None, (result.kernel, result.release))))
    yield "Configuration", " ".join(filter(None, (environment.start, environment.config)))
    yield "Build", environment.build
    yield "Package", environment.package
    yield "Compiler", environment.compiler
    yield "Image", environment.image
    yield "Machine", environment.machine
    yield "QEMU", result.qemu
    yield "Accelerator", result.accelerator and f"{result.accelerator}: {result.accelerator_reason}"
    yield "Host", environment.host
    yield "Sandbox", environment.sandbox
    yield "Processor", ", ".join(filter(None, (environment.processor, cpus, memory)))
    python = f"Python {environment.python}" if environment.python else ""
    yield "Toolkit", ", ".join(filter(None, (result.toolkit, python)))
