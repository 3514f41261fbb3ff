"""``report.html``: one file that needs nothing else, for a person with a browser.

What a guest, a patch or a test printed is hostile. Three things keep it harmless: every word from
outside passes :func:`~toolkit.core.text.visible`, Jinja2 escapes it, and the page's own policy lets
nothing run but the script that came with the toolkit, by its digest.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Blame
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import visible
from toolkit.report import html_comparison, html_coverage, wording
from toolkit.report.html_comparison import tone
from toolkit.report.wording import Program, duration
from toolkit.testing import leaf_ids, verdicts

if TYPE_CHECKING:
    from jinja2 import Template

MAX_FAILURES = 200  # shown in full
MAX_ROWS = 20_000
MAX_SPLATS = 50
MAX_SPLAT = 20_000  # characters of one
MAX_ROW_MESSAGE = 160
MAX_BARS = 12
_LOGS = "tests/"  # where what the programs wrote lies
_TEMPLATES = Path(__file__).parent / "templates"


def render(result: RunResult, files: Sequence[str] = ()) -> bytes:
    """Return the page; ``files`` are what lies beside it, as paths relative to it."""
    return _template().render(_names(result, files)).encode()


@functools.cache
def _template() -> Template:
    import jinja2  # noqa: PLC0415 - slow to import, and needed at the end of a run only
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        return value if isinstance(value, Markup) else visible(str(value), keep="\n\t")

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    for kind, name in (("style", "report.css"), ("script", "report.js")):
        text = (_TEMPLATES / name).read_text("utf-8")
        environment.globals[kind] = Markup(text)  # noqa: S704 - a file of the toolkit's own
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        environment.globals[f"{kind}_hash"] = f"sha256-{hashed}"
    return environment.get_template("report.html.j2")


# --- what the template sees ----------------------------------------------------------------


def _names(result: RunResult, files: Sequence[str]) -> dict[str, Any]:
    bad = wording.failures(result)
    anchors = {leaf.id: number for number, leaf in enumerate(bad[:MAX_FAILURES], 1)}
    programs = sorted(wording.programs(result.leaves), key=lambda program: not program.bad)
    counts = verdicts.counts(result.leaves)
    none_ran = result.verdict is Verdict.NO_TESTS
    names = {
        "word": result.verdict.value.replace("-", " "),
        "tone": "good" if result.verdict is Verdict.PASS else "bad",
        "subject": wording.subject(result),
        "why": wording.why(result),
        "tally": wording.tally(counts),
        "strip": _strip(result.leaves),
        "leaves": len(result.leaves),
        "facts": _facts(result),
        "evidence_title": "Where it broke" if result.blames else "Evidence",
        "blames": [_blame(blame) for blame in result.blames],
        "detail": "\n".join(result.detail),
        "failures": [
            {**_failure(result, program, anchors), "logs": _logs(program, files)}
            for program in wording.failed_programs(result, MAX_FAILURES)
        ],
        "failure_count": len(bad),
        "failures_left": max(0, len(bad) - MAX_FAILURES),
        "splats": [_splat(splat) for splat in wording.stray_splats(result)[:MAX_SPLATS]],
        "reasons": _reasons(result.leaves) if none_ran else [],
        "statuses": [{"value": s.value, "number": n} for s, n in counts.items() if n],
        "programs": list(_programs(programs, anchors)),
        "rows_left": max(0, len(result.leaves) - MAX_ROWS),
        "coverage": html_coverage.names(result.coverage) if result.coverage else None,
        "charts": _charts(result, programs),
        "patches": result.patches,
        **html_comparison.names(result),
        "environment": list(_environment(result)),
        "command": wording.command(result),
        "files": [name for name in files if not name.startswith(_LOGS)],
    }
    return {**names, "sections": list(_sections(names))}


def _sections(names: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the sections there are, and what leads to them."""
    if names["comparison"]:
        yield "base", "Beside the base"
    if names["steps"]:
        yield "each", "Patch by patch"
    if names["blames"] or names["detail"]:
        yield "evidence", names["evidence_title"]
    if names["failures"]:
        yield "failures", f"Failures ({names['failure_count']})"
    if names["splats"]:
        yield "kernel", "What the kernel said"
    if names["reasons"]:
        yield "reasons", "Why nothing ran"
    if names["programs"]:
        yield "cases", f"Cases ({names['leaves']})"
    if names["coverage"]:
        yield "coverage", "Coverage"
    if names["charts"]:
        yield "timings", "Timings"
    if names["patches"]:
        yield "patches", f"Patches ({len(names['patches'])})"
    yield "environment", "Environment"


def _facts(result: RunResult) -> str:
    facts = [
        result.started.replace("T", " ").replace("+00:00", " UTC"),
        f"took {duration(result.seconds)}",
        result.accelerator.upper(),
        f"exit code {result.exit_code}",
    ]
    return " · ".join(filter(None, facts))


def _strip(leaves: Iterable[Leaf]) -> list[dict[str, Any]]:
    """Return the parts of the bar over all leaves; what failed is never too thin to be seen."""
    tones = Counter(tone(leaf.status) for leaf in leaves)
    total, parts, x = sum(tones.values()), [], 0.0
    for each in ("bad", "warn", "still", "good"):
        if number := tones[each]:
            width = min(1000 - x, max(6.0, 1000 * number / total))
            parts.append({"tone": each, "x": round(x, 1), "width": round(width, 1)})
            x += width
    return parts


def _failure(result: RunResult, program: Program, anchors: dict[str, int]) -> dict[str, Any]:
    splats = wording.splats_during(result, program)[:MAX_SPLATS]
    cases = [
        {
            "status": leaf.status.value,
            "name": leaf_ids.split(leaf.id)[2],
            "known": leaf.known,
            "message": wording.said_besides(leaf, splats),
            "anchor": anchors[leaf.id],
        }
        for leaf in program.leaves
    ]
    return {
        "suite": program.suite,
        "program": program.name,
        "cases": cases,
        "splats": [_splat(splat) for splat in splats],
        "what": "this program alone" if program.name else "the boot alone",
        "repeat": wording.repeat(result, program.leaves[0].id),
    }


def _logs(program: Program, files: Iterable[str]) -> list[dict[str, str]]:
    """Return where what a program wrote lies, as links relative to the page."""
    start = f"{_LOGS}{program.id}."
    return [
        {"href": quote(name), "name": name.removeprefix(f"{_LOGS}{program.suite}/")}
        for name in files
        if name.startswith(start)
    ]


def _splat(splat: Splat) -> dict[str, Any]:
    text = splat.decoded or splat.text
    cut = text if len(text) <= MAX_SPLAT else text[:MAX_SPLAT] + "\n…"
    return {
        "title": splat.title,
        "shown": cut,
        "line": splat.line,
        "during": splat.during,
        "undecoded": not splat.decoded and "+0x" in splat.text,
    }


_KINDS = {"+": "add", "-": "del", "@": "head"}


def _blame(blame: Blame) -> dict[str, Any]:
    lines = [
        {"text": text, "kind": _KINDS.get(text[:1], "same"), "here": index == blame.at}
        for index, text in enumerate(blame.hunk)
    ]
    return {"patch": blame.patch, "subject": blame.subject, "said": blame.said, "lines": lines}


def _reasons(leaves: Iterable[Leaf]) -> list[tuple[str, int]]:
    counted = Counter(leaf.message.split("\n")[0] or "no reason given" for leaf in leaves)
    return counted.most_common(MAX_BARS)


def _programs(programs: Sequence[Program], anchors: dict[str, int]) -> Iterable[dict[str, Any]]:
    left = MAX_ROWS
    for program in programs:
        rows = [_row(leaf, anchors) for leaf in sorted(program.leaves, key=_bad_first)[:left]]
        left -= len(rows)
        yield {
            "suite": program.suite,
            "name": program.name,
            "bad": program.bad,
            "tone": tone(program.worst),
            "tally": wording.tally(program.counts),
            "took": duration(program.seconds) if program.seconds else "",
            "rows": rows,
        }


def _bad_first(leaf: Leaf) -> bool:
    return not leaf.status.bad


def _row(leaf: Leaf, anchors: dict[str, int]) -> dict[str, Any]:
    said = leaf.known or leaf.message.partition("\n")[0]
    if leaf.status is Status.PASS:
        said = ""
    return {
        "status": leaf.status.value,
        "name": leaf_ids.case_name(leaf.id),
        "took": duration(leaf.seconds) if leaf.seconds is not None else "",
        "said": said if len(said) <= MAX_ROW_MESSAGE else said[: MAX_ROW_MESSAGE - 1] + "…",
        "anchor": anchors.get(leaf.id),
    }


def _charts(result: RunResult, programs: Iterable[Program]) -> Iterable[dict[str, Any]]:
    charts = []
    if result.stages:
        bars = [(stage.name, stage.seconds, stage.cached, stage.detail) for stage in result.stages]
        charts.append({"title": "Stages, in their order", "bars": _bars(bars), "explained": True})
    slow = sorted(programs, key=lambda program: -program.seconds)[:MAX_BARS]
    timed = [(each.id, each.seconds, False, "") for each in slow if each.seconds]
    if len(timed) > 1:
        title = "Test programs, the slowest first" if len(timed) == MAX_BARS else "Test programs"
        charts.append({"title": title, "bars": _bars(timed), "explained": False})
    return charts


def _bars(rows: Sequence[tuple[str, float, bool, str]]) -> list[dict[str, Any]]:
    longest = max((seconds for _, seconds, _, _ in rows), default=0.0) or 1.0
    return [
        {
            "name": name,
            "width": round(max(2.0, 1000 * seconds / longest), 1),
            "tone": "found" if cached else "done",
            "took": duration(seconds),
            "how": ", ".join(filter(None, ("found in the cache" if cached else "", detail))),
        }
        for name, seconds, cached, detail in rows
    ]


def _environment(result: RunResult) -> Iterable[tuple[str, str]]:
    """Yield what is known of where the run was made."""
    made = result.environment
    memory = f"{made.memory_mib / 1024:.1f} GiB" if made.memory_mib else ""
    cpus = f"{made.cpus} CPUs" if made.cpus else ""
    accelerator = result.accelerator and f"{result.accelerator}: {result.accelerator_reason}"
    pairs = (
        ("Kernel", ", ".join(dict.fromkeys(filter(None, (result.kernel, result.release))))),
        ("Configuration", made.config),
        ("Build", made.build),
        ("Compiler", made.compiler),
        ("Image", made.image),
        ("Machine", made.machine),
        ("QEMU", result.qemu),
        ("Accelerator", accelerator),
        ("Host", made.host),
        ("Processor", ", ".join(filter(None, (made.processor, cpus, memory)))),
        ("Toolkit", f"{result.toolkit}, Python {made.python}" if made.python else result.toolkit),
    )
    return ((name, value) for name, value in pairs if value)
