"""What a run shows on the terminal: an :class:`~toolkit.core.observer.Observer`, and the summary.

On a terminal, running stages have a line each that changes in place, and everything that is
finished moves up as plain text. Anywhere else only whole lines are written, in their order.
All words from outside pass :func:`printable`, and none is ever read as markup.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from toolkit.core.model.comparison import Comparison, PatchStep
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Observer
from toolkit.core.text import visible
from toolkit.report import comparison_text, coverage_text
from toolkit.report.wording import VERDICTS, duration, tally
from toolkit.testing import verdicts

MAX_FAILURES = 50  # shown in the summary; the rest is in result.json
MAX_MESSAGE_LINES = 12
MAX_UNRUN = 60  # lines of hunks
_MAX_LINE = 1000
_STEPS = 10  # a stage tells so often how far it is where lines cannot change
_REFRESH = 4  # times a second; drawing must not take time from the build

_STYLES = {Status.PASS: "green", Status.SKIP: "yellow", Status.XFAIL: "yellow"}


def printable(text: str) -> str:
    """Return ``text`` as one line that a terminal shows and never obeys."""
    return visible(text.expandtabs(4))[:_MAX_LINE]


@contextlib.contextmanager
def open_display(stream: IO[str]) -> Iterator[Observer]:
    """Give an observer that writes to ``stream`` until the block ends.

    It changes lines in place only on a terminal, and never where CI or NO_COLOR is set or
    TERM is ``dumb``. What it began, such as a hidden cursor, is undone however the block ends.
    """
    display = _Live(stream) if _is_terminal(stream) else _Plain(stream)
    try:
        yield display
    finally:
        display.close()


def summary(result: RunResult, run_dir: Path, stream: IO[str] | None = None) -> None:
    """Print what came out of a run: the verdict first, how to repeat it last."""
    stream = stream or sys.stdout
    console = _console(stream) if _is_terminal(stream) else None
    for text, style, indent in _summary(result, run_dir):
        if console:
            _print_wrapped(console, text, style, indent)
        else:
            _print_plain(stream, " " * indent + text)
    stream.flush()


def _is_terminal(stream: IO[str]) -> bool:
    if os.environ.get("CI") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


# --- the summary ---------------------------------------------------------------------------

_Line = tuple[str, str, int]  # text, style, indentation
_WHOLE = -1  # as an indentation: left whole, for a copy with the mouse


def _summary(result: RunResult, run_dir: Path) -> Iterator[_Line]:
    good = result.verdict is Verdict.PASS
    style = "bold green" if good else "bold red"
    yield "", "", 0
    what = printable(" on ".join(filter(None, (result.series, result.release or result.kernel))))
    facts = [what, result.accelerator.upper(), duration(result.seconds)]
    yield f"{result.verdict.value.upper()}: {', '.join(filter(None, facts))}", style, 0
    for line in (VERDICTS[result.verdict], *result.message.split("\n")[:MAX_MESSAGE_LINES]):
        if line.strip():
            yield printable(line), "", 2
    if result.leaves:
        yield tally(verdicts.counts(result.leaves)), "", 2
    if result.verdict is Verdict.NO_TESTS:
        yield from _skip_reasons(result.leaves)
    if result.comparison:
        yield from _comparison(result.comparison)
    if result.steps:
        yield from _steps(result.steps)
    bad = [leaf for leaf in result.leaves if leaf.status.bad]
    for leaf in bad[:MAX_FAILURES]:
        yield from _failure(leaf)
    if len(bad) > MAX_FAILURES:
        yield f"… and {len(bad) - MAX_FAILURES} more, all in result.json", "", 2
    told = "\n".join(leaf.message for leaf in bad)
    for splat in result.splats:
        if visible(splat.title) not in told:
            yield "", "", 0
            yield f"KERNEL {printable(splat.title)}", "bold red", 2
            yield f"line {splat.line} of the console", "", 4
    if result.coverage:
        for text, style, indent in coverage_text.told(result.coverage, MAX_UNRUN):
            yield printable(text), style, indent
    yield "", "", 0
    yield f"run folder: {printable(str(run_dir))}", "", _WHOLE
    if result.command:
        yield f"repeat it:  {printable(shlex.join(result.command))}", "", _WHOLE


def _comparison(comparison: Comparison) -> Iterator[_Line]:
    """Say what is different from the base; a failure has a paragraph of its own below."""
    yield f"beside {printable(comparison.base)}: {comparison_text.tally(comparison)}", "", 2
    points = [each for each in comparison_text.notable(comparison) if not each.leaf_class.bad]
    for point in points[:MAX_FAILURES]:
        yield (
            f"{point.leaf_class.value}: {printable(point.id)}: {comparison_text.told(point)}",
            "yellow",
            4,
        )
    if len(points) > MAX_FAILURES:
        yield f"… and {len(points) - MAX_FAILURES} more", "", 4


def _steps(steps: Sequence[PatchStep]) -> Iterator[_Line]:
    """Say of each patch what it changed, and what it broke."""
    yield "", "", 0
    for step in steps:
        subject = printable(step.subject) or "the unpatched kernel"
        yield f"{comparison_text.label(step):>4}  {subject}", "bold", 2
        yield f"{comparison_text.outcome(step)} ({duration(step.seconds)})", "", 8
        if step.changes:
            yield comparison_text.summary_of(step), "", 8
        broken = comparison_text.broken(step)
        for change in broken[:MAX_FAILURES]:
            yield (
                f"BROKE {printable(change.id)}: {comparison_text.how_broken(change)}",
                "bold red",
                8,
            )
        if len(broken) > MAX_FAILURES:
            yield f"… and {len(broken) - MAX_FAILURES} more", "", 8
        for warning in step.warnings[:MAX_MESSAGE_LINES]:
            yield f"warning: {printable(warning)}", "yellow", 8


def _failure(leaf: Leaf) -> Iterator[_Line]:
    yield "", "", 0
    yield f"{leaf.status.value.upper()} {printable(leaf.id)}", "bold red", 2
    if leaf.known:
        yield f"known failure: {printable(leaf.known)}", "", 4
    lines = [line for line in leaf.message.split("\n") if line.strip()]
    for line in lines[:MAX_MESSAGE_LINES]:
        yield printable(line), "", 4
    if len(lines) > MAX_MESSAGE_LINES:
        yield f"… and {len(lines) - MAX_MESSAGE_LINES} more lines", "", 4


def _skip_reasons(leaves: Iterable[Leaf]) -> Iterator[_Line]:
    reasons = Counter(leaf.message.split("\n")[0] or "no reason given" for leaf in leaves)
    for reason, number in reasons.most_common(MAX_MESSAGE_LINES):
        yield f"{number} skipped: {printable(reason)}", "", 2


def _test_line(leaf: Leaf) -> str:
    line = f"{leaf.status.value.upper():<7} {printable(leaf.id)}"
    if leaf.seconds is not None:
        line += f" ({duration(leaf.seconds)})"
    said = leaf.known or leaf.message.split("\n")[0]
    if said and leaf.status is not Status.PASS:
        line += f": {printable(said)}"
    return line


def _stage_line(record: StageRecord) -> str:
    how = "found in the cache" if record.cached else "done"
    detail = f": {printable(record.detail)}" if record.detail else ""
    return f"{printable(record.name)}: {how}, {duration(record.seconds)}{detail}"


# --- lines only ----------------------------------------------------------------------------


def _print_plain(stream: IO[str], text: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text.rstrip() + "\n")


class _Plain:
    """Writes whole lines, for files and for machines that read along."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._running: dict[str, tuple[float, int]] = {}  # when it began, steps already told
        self._tested = False

    def _say(self, text: str) -> None:
        _print_plain(self._stream, text)
        self._stream.flush()

    def notice(self, text: str) -> None:
        """Write it."""
        with self._lock:
            for line in text.split("\n"):
                self._say(printable(line))

    def stage_started(self, name: str) -> None:
        """Write that it began."""
        with self._lock:
            self._running[name] = (time.monotonic(), 0)
            self._say(f"{printable(name)} ...")

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Write how far it is, once in every tenth of the way, where no test lines tell it."""
        with self._lock:
            began, told = self._running.get(name, (time.monotonic(), 0))
            step = min(_STEPS, done * _STEPS // total) if total else 0
            if told < step < _STEPS and not self._tested:
                told = step
                tail = f" {printable(text)}" if text else ""
                self._say(f"{printable(name)}: {done}/{total}{tail}")
            self._running[name] = (began, told)

    def stage_finished(self, record: StageRecord) -> None:
        """Write that it ended."""
        with self._lock:
            self._running.pop(record.name, None)
            self._say(_stage_line(record))

    def test_finished(self, leaf: Leaf) -> None:
        """Write its result."""
        with self._lock:
            self._tested = True
            self._say(_test_line(leaf))

    def stage_failed(self, name: str) -> None:
        """Write that it stopped."""
        with self._lock:
            self._stopped(name)

    def _stopped(self, name: str) -> None:
        if name in self._running:
            began, _ = self._running.pop(name)
            self._say(f"{printable(name)}: stopped, {duration(time.monotonic() - began)}")

    def close(self) -> None:
        """Write what was still running: it did not end well."""
        with self._lock:
            for name in list(self._running):
                self._stopped(name)


# --- a terminal ----------------------------------------------------------------------------


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _text(text: str, style: str, encoding: str) -> Text:
    return Text(text.encode(encoding, "backslashreplace").decode(encoding), style=style)


def _print_wrapped(console: Console, text: str, style: str, indent: int) -> None:
    shown = _text(text, style, console.encoding)
    if indent == _WHOLE or not text:
        console.print(shown, soft_wrap=True)
    else:
        console.print(Padding(shown, (0, 0, 0, indent), expand=False))


class _Live:
    """Shows the running stages at the foot of a terminal.

    The foot is there only while a stage runs, so that whoever takes over the terminal in
    between, such as an interactive shell in the guest, has it alone.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._console = _console(stream)
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}

    def _say(self, text: str, style: str = "", *, word: int = 0) -> None:
        """Write a line, cut at the right edge; only its first ``word`` characters have style."""
        shown = _text(text, "" if word else style, self._console.encoding)
        if word:
            shown.stylize(style, 0, word)
        self._console.print(shown, no_wrap=True, overflow="ellipsis", crop=True)

    def _foot(self) -> Progress:
        if self._progress is None:
            self._progress = _progress(self._console)
            self._progress.start()
        return self._progress

    def notice(self, text: str) -> None:
        """Write it whole, above what is running."""
        with self._lock:
            for line in text.split("\n"):
                shown = _text(printable(line), "bold", self._console.encoding)
                self._console.print(shown, soft_wrap=True)

    def stage_started(self, name: str) -> None:
        """Give it a line at the foot."""
        with self._lock:
            self._began[name] = time.monotonic()
            self._tasks[name] = self._foot().add_task(
                printable(name), total=None, count="", note=""
            )

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Move its bar."""
        with self._lock:
            if name not in self._tasks:
                self.stage_started(name)
            count = f"{done}/{total}" if total else ""
            task, note = self._tasks[name], printable(text)
            self._foot().update(task, completed=done, total=total, count=count, note=note)

    def stage_finished(self, record: StageRecord) -> None:
        """Write it down, and take its line away."""
        with self._lock:
            self._drop(record.name)
            self._say(_stage_line(record), "cyan", word=len(printable(record.name)) + 1)

    def test_finished(self, leaf: Leaf) -> None:
        """Write its result."""
        with self._lock:
            style = _STYLES.get(leaf.status, "bold red")
            self._say(_test_line(leaf), style, word=len(leaf.status.value))

    def _drop(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        self._began.pop(name, None)
        if self._progress is None:
            return
        if task is not None:
            self._progress.remove_task(task)
        if not self._tasks:
            self._progress.stop()
            self._progress = None

    def stage_failed(self, name: str) -> None:
        """Write that it stopped, and take its line away."""
        with self._lock:
            if name in self._began:
                spent = duration(time.monotonic() - self._began[name])
                self._drop(name)
                self._say(f"{printable(name)}: stopped, {spent}", "bold red")

    def close(self) -> None:
        """Clear the foot; what was still running did not end well."""
        with self._lock:
            for name in list(self._began):
                self.stage_failed(name)


def _progress(console: Console) -> Progress:
    def column(form: str, **table: object) -> TextColumn:
        settings = Column(no_wrap=True, overflow="ellipsis", **table)  # type: ignore[arg-type]
        return TextColumn(form, markup=False, table_column=settings)

    return Progress(
        SpinnerColumn("line"),
        column("{task.description}", max_width=24),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        column("{task.fields[count]}"),
        column("{task.fields[note]}", ratio=1),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=_REFRESH,
    )
