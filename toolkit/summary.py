"""``summary.md``: what a CI page shows of a run, in GitHub's Markdown.

Words from outside stand in code spans and code blocks alone, whose fences are longer than any run
of backticks in them, so they cannot end one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from toolkit import beside, outline, results, unrun
from toolkit.evidence import Blame, Comparison, Coverage, PatchStep
from toolkit.model import Leaf, RunResult, Splat, Verdict
from toolkit.outline import duration
from toolkit.text import visible

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
    yield f"### {mark} {word}: {_span(outline.subject(result))}"
    yield ""
    tally = outline.tally(results.counts(result.leaves))
    facts = [tally, result.accelerator.upper(), duration(result.seconds)]
    yield ", ".join(filter(None, facts)) + "."
    if why := outline.why(result):
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
        yield from _block(outline.command(result), "sh")


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield ""
    yield f"Beside {_span(comparison.base)}: {beside.tally(comparison)}."
    points = beside.notable(comparison)
    if points:
        yield ""
        yield "| case | standing | |"
        yield "|---|---|---|"
    for point in points[:MAX_FAILURES]:
        yield f"| {_cell(point.id)} | {point.standing.value} | {beside.told(point)} |"


def _steps(steps: Sequence[PatchStep]) -> Iterator[str]:
    yield ""
    yield "| | patch | result | changed |"
    yield "|---|---|---|---|"
    for step in steps:
        subject = _cell(step.subject or "the unpatched kernel")
        outcome, changed = beside.outcome(step), beside.summary_of(step)
        yield f"| {beside.label(step)} | {subject} | {outcome} | {changed} |"
    for step in steps:
        for change in beside.broken(step)[:MAX_FAILURES]:
            yield ""
            yield f"Patch {step.patch} broke {_span(change.id)}: {beside.how_broken(change)}."


def _blame(blame: Blame) -> Iterator[str]:
    yield ""
    yield f"Patch {blame.patch}, {_span(blame.subject)}:"
    yield ""
    yield from _block(blame.said)
    yield from _block("\n".join(blame.hunk), "diff")


def _failures(result: RunResult) -> Iterator[str]:
    for program in outline.failed_programs(result, MAX_FAILURES):
        splats = outline.splats_during(result, program)
        title = f"{program.id}: {outline.tally(program.counts)}"
        yield ""
        yield f"<details><summary>{_html(title)}</summary>"
        yield ""
        said = "\n".join(_said(leaf, splats) for leaf in program.leaves)
        yield from _block(said)
        for splat in splats:
            yield from _block(splat.decoded or splat.text)
        yield "Repeat this program alone:"
        yield ""
        yield from _block(outline.repeat(result, program.leaves[0].id), "sh")
        yield ""
        yield "</details>"
    if (left := len(outline.failures(result)) - MAX_FAILURES) > 0:
        yield ""
        yield f"… and {left} more failures."


def _said(leaf: Leaf, splats: Sequence[Splat]) -> str:
    message = outline.said_besides(leaf, splats)
    name = f"{leaf.status.value.upper()} {outline.case_name(leaf.id)}"
    return f"{name}: {message}" if message else name


def _programs(result: RunResult) -> Iterator[str]:
    programs = outline.programs(result.leaves)
    if not programs:
        return
    yield ""
    yield "| program | result | time |"
    yield "|---|---|---:|"
    for program in sorted(programs, key=lambda each: not each.bad)[:MAX_PROGRAMS]:
        took = duration(program.seconds) if program.seconds else ""
        yield f"| {_cell(program.id)} | {outline.tally(program.counts)} | {took} |"
    if len(programs) > MAX_PROGRAMS:
        yield f"| … and {len(programs) - MAX_PROGRAMS} more | | |"


def _coverage(found: Coverage) -> Iterator[str]:
    yield ""
    yield f"Coverage: {unrun.headline(found)}."
    yield ""
    yield "| patch | run | lines | with explained |"
    yield "|---|---:|---:|---:|"
    for row in found.patches[:MAX_PROGRAMS]:
        both = unrun.percent(unrun.share(row, explained=True))
        numbers = f"{unrun.percent(unrun.share(row))} | {row.ran}/{row.lines} | {both}"
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
