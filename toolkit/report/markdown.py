"""``summary.md``: what a CI page shows of a run, in GitHub's Markdown.

Words from outside stand in code spans and code blocks alone, whose fences are longer than any run
of backticks in them, so they cannot end one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from toolkit.core.model.comparison import Comparison, PatchStep
from toolkit.core.model.coverage import Coverage
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Blame
from toolkit.core.model.testing import Leaf
from toolkit.core.text import visible
from toolkit.report import comparison_text, coverage_text, wording
from toolkit.report.wording import duration
from toolkit.testing import leaf_ids, verdicts

MAX_FAILURES = 30
MAX_PROGRAMS = 100
MAX_LINES = 20  # of one message or report
MAX_LINE = 300
_VERDICT_MARKS = {Verdict.PASS: "✅"}


def render(result: RunResult) -> bytes:
    """Return the summary; it is bounded, since CI pages refuse what is too long."""
    return ("\n".join(_lines(result)) + "\n").encode(errors="replace")


def _lines(result: RunResult) -> Iterator[str]:
    mark = _VERDICT_MARKS.get(result.verdict, "❌")
    word = result.verdict.value.replace("-", " ").upper()
    yield f"### {mark} {word}: {_span(wording.subject(result))}"
    yield ""
    tally = wording.tally(verdicts.counts(result.leaves))
    facts = [tally, result.accelerator.upper(), duration(result.seconds)]
    yield ", ".join(filter(None, facts)) + "."
    if why := wording.why(result):
        yield ""
        yield from _block(why)
    if result.comparison:
        yield from _comparison(result.comparison)
    if result.steps:
        yield from _steps(result.steps)
    for blame in result.blames:
        yield from _blame(blame)
    if result.detail and not result.blames:
        yield from _block("\n".join(result.detail))
    yield from _failures(result)
    yield from _programs(result)
    if result.coverage:
        yield from _coverage(result.coverage)
    if result.command:
        yield ""
        yield "Repeat it:"
        yield ""
        yield from _block(wording.command(result), "sh")


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield ""
    yield f"Beside {_span(comparison.base)}: {comparison_text.tally(comparison)}."
    points = comparison_text.notable(comparison)
    if points:
        yield ""
        yield "| case | standing | |"
        yield "|---|---|---|"
    for point in points[:MAX_FAILURES]:
        yield f"| {_cell(point.id)} | {point.leaf_class.value} | {comparison_text.told(point)} |"


def _steps(steps: Sequence[PatchStep]) -> Iterator[str]:
    yield ""
    yield "| | patch | result | changed |"
    yield "|---|---|---|---|"
    for step in steps:
        subject = _cell(step.subject or "the unpatched kernel")
        outcome, changed = comparison_text.outcome(step), comparison_text.summary_of(step)
        yield f"| {comparison_text.label(step)} | {subject} | {outcome} | {changed} |"
    for step in steps:
        for change in comparison_text.broken(step)[:MAX_FAILURES]:
            yield ""
            how = comparison_text.how_broken(change)
            yield f"Patch {step.patch} broke {_span(change.id)}: {how}."


def _blame(blame: Blame) -> Iterator[str]:
    yield ""
    yield f"Patch {blame.patch}, {_span(blame.subject)}:"
    yield ""
    yield from _block(blame.said)
    yield from _block("\n".join(blame.hunk), "diff")


def _failures(result: RunResult) -> Iterator[str]:
    for program in wording.failed_programs(result, MAX_FAILURES):
        splats = wording.splats_during(result, program)
        title = f"{program.id}: {wording.tally(program.counts)}"
        yield ""
        yield f"<details><summary>{_html(title)}</summary>"
        yield ""
        said = "\n".join(_said(leaf, splats) for leaf in program.leaves)
        yield from _block(said)
        for splat in splats:
            yield from _block(splat.decoded or splat.text)
        yield "Repeat this program alone:"
        yield ""
        yield from _block(wording.repeat(result, program.leaves[0].id), "sh")
        yield ""
        yield "</details>"
    if (left := len(wording.failures(result)) - MAX_FAILURES) > 0:
        yield ""
        yield f"… and {left} more failures."


def _said(leaf: Leaf, splats: Sequence[Splat]) -> str:
    message = wording.said_besides(leaf, splats)
    name = f"{leaf.status.value.upper()} {leaf_ids.case_name(leaf.id)}"
    return f"{name}: {message}" if message else name


def _programs(result: RunResult) -> Iterator[str]:
    programs = wording.programs(result.leaves)
    if not programs:
        return
    yield ""
    yield "| program | result | time |"
    yield "|---|---|---:|"
    for program in sorted(programs, key=lambda each: not each.bad)[:MAX_PROGRAMS]:
        took = duration(program.seconds) if program.seconds else ""
        yield f"| {_cell(program.id)} | {wording.tally(program.counts)} | {took} |"
    if len(programs) > MAX_PROGRAMS:
        yield f"| … and {len(programs) - MAX_PROGRAMS} more | | |"


def _coverage(found: Coverage) -> Iterator[str]:
    yield ""
    yield f"Coverage: {coverage_text.headline(found)}."
    yield ""
    yield "| patch | run | lines | with explained |"
    yield "|---|---:|---:|---:|"
    for row in found.patches[:MAX_PROGRAMS]:
        both = coverage_text.percent(coverage_text.share(row, explained=True))
        numbers = (
            f"{coverage_text.percent(coverage_text.share(row))} | {row.ran}/{row.lines} | {both}"
        )
        yield f"| {row.patch}: {_cell(row.subject)} | {numbers} |"


# --- Markdown ----------------------------------------------------------------------------


def _span(text: str) -> str:
    """Return ``text`` as a code span of one line."""
    text = visible(text)[:MAX_LINE]
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{pad}{text or ' '}{pad}{fence}"


def _cell(text: str) -> str:
    return _span(text).replace("|", "\\|")


def _block(text: str, language: str = "") -> Iterator[str]:
    shown = _bounded(text.split("\n"))
    fence = "`" * max(3, _longest_run("\n".join(shown)) + 1)
    yield fence + language
    yield from shown
    yield fence


def _bounded(lines: Sequence[str]) -> list[str]:
    shown = [visible(line, keep="\t")[:MAX_LINE] for line in lines[:MAX_LINES]]
    return [*shown, f"… {len(lines) - MAX_LINES} more lines"] if len(lines) > MAX_LINES else shown


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _html(text: str) -> str:
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~:@#!])", lambda match: f"&#{ord(match[1])};", text)
