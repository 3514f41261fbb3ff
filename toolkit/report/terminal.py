"""What a run shows on the terminal while it goes on: :class:`~toolkit.core.observer.Observer`.

On a terminal, running stages have a line each that changes in place, and everything that is
finished moves up as plain text. Anywhere else only whole lines are written, in their order.
All text from outside passes :func:`printable`, and none is ever read as markup.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from rich.console import Console
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

from toolkit.core.model.result import StageRecord
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Observer
from toolkit.core.text import printable
from toolkit.report.wording import duration

MAX_FAILURES = 50  # shown in the summary; the rest is in result.json
MAX_MESSAGE_LINES = 12
MAX_UNRUN = 60  # lines of hunks
_STEPS = 10  # a stage tells so often how far it is where lines cannot change
_QUIET = 25.0  # seconds without a line after which there is a sign of life
_TICK = 1.0  # seconds
_REFRESH = 4  # times a second; drawing must not take time from the build

_STYLES = {Status.PASS: "green", Status.SKIP: "yellow", Status.XFAIL: "yellow"}


@contextlib.contextmanager
def open_display(stream: IO[str]) -> Iterator[Observer]:
    """Give an observer that writes to ``stream`` until the block ends.

    It changes lines in place only on a terminal, and never where CI or NO_COLOR is set or
    TERM is ``dumb``. What it began, such as a hidden cursor, is undone however the block ends.
    """
    if is_terminal(stream):
        live = _Live(stream)
        try:
            yield live
        finally:
            live.close()
        return
    plain = _Plain(stream)
    try:
        with _signs_of_life(plain):
            yield plain
    finally:
        plain.close()


@contextlib.contextmanager
def _signs_of_life(display: _Plain) -> Iterator[None]:
    """Let a thread look after ``display`` until the block ends."""
    ended = threading.Event()

    def look() -> None:
        # Whoever reads along may have gone: the next line that matters says so.
        with contextlib.suppress(OSError, ValueError):
            while not ended.wait(_TICK):
                display.sign_of_life()

    thread = threading.Thread(target=look, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a stream may have colours and lines that change in place."""
    if os.environ.get("CI") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


# --- what both kinds of display say ----------------------------------------------------------


def _test_line(leaf: Leaf) -> str:
    line = f"{leaf.status.value.upper():<7} {printable(leaf.id)}"
    if leaf.seconds is not None:
        line += f" ({duration(leaf.seconds)})"
    reason = leaf.known or leaf.message.split("\n")[0]
    if reason and leaf.status is not Status.PASS:
        line += f": {printable(reason)}"
    return line


def _stage_line(record: StageRecord) -> str:
    how = "found in the cache" if record.cached else "done"
    detail = f": {printable(record.detail)}" if record.detail else ""
    return f"{printable(record.name)}: {how}, {duration(record.seconds)}{detail}"


# --- lines only ----------------------------------------------------------------------------


def print_plain(stream: IO[str], text: str) -> None:
    """Write a line, with escapes for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text.rstrip() + "\n")


@dataclass(slots=True)
class _Stage:
    """A stage that runs: when it began, the last tenth of it that was written, how far it is."""

    began: float
    written: int = 0
    so_far: str = ""


class _Plain:
    """Writes whole lines, for files and for machines that read along.

    While something runs, :meth:`sign_of_life` writes a line where there was none for a while.
    """

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, _Stage] = {}
        self._waits: dict[str, tuple[float, str]] = {}  # for what: since when, for whom
        self._tested = False
        self._said = clock()

    def _say(self, text: str) -> None:
        self._said = self._clock()
        print_plain(self._stream, text)
        self._stream.flush()

    def sign_of_life(self) -> None:
        """Write what is going on if something is, and nothing was written for a while."""
        with self._lock:
            if self._clock() - self._said < _QUIET:
                return
            now = self._clock()
            lines = [
                f"waiting for {what}, held by {whom}: {duration(now - since)}"
                for what, (since, whom) in self._waits.items()
            ] or [
                f"{name}: {stage.so_far or 'running'}, {duration(now - stage.began)} so far"
                for name, stage in self._running.items()
            ]
            for line in lines:
                self._say(printable(line))

    def notice(self, text: str) -> None:
        """Write it."""
        with self._lock:
            for line in text.split("\n"):
                self._say(printable(line))

    def waiting(self, what: str, whom: str) -> None:
        """Write it; the end of a wait shows in what comes next."""
        with self._lock:
            if whom:
                since, _ = self._waits.get(what, (self._clock(), ""))
                self._waits[what] = (since, whom)
                self._say(printable(f"waiting for {what}, held by {whom}"))
            else:
                self._waits.pop(what, None)

    def stage_started(self, name: str) -> None:
        """Write that it began."""
        with self._lock:
            self._running[name] = _Stage(self._clock())
            self._say(f"{printable(name)} ...")

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Write how far it is, once in every tenth of the way, unless test lines show it."""
        with self._lock:
            stage = self._running.setdefault(name, _Stage(self._clock()))
            count = f"{done}/{total}" if total else f"{done}" * bool(done)
            stage.so_far = f"{count} {text}".strip()
            step = min(_STEPS, done * _STEPS // total) if total else 0
            if stage.written < step < _STEPS and not self._tested:
                stage.written = step
                self._say(printable(f"{name}: {stage.so_far}"))

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
            stage = self._running.pop(name)
            self._say(f"{printable(name)}: stopped, {duration(self._clock() - stage.began)}")

    def close(self) -> None:
        """Write what was still running: it did not end well."""
        with self._lock:
            for name in list(self._running):
                self._stopped(name)


# --- a terminal ----------------------------------------------------------------------------


def open_console(stream: IO[str]) -> Console:
    """Return a console in which no text is markup."""
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def styled(text: str, style: str, encoding: str) -> Text:
    """Return a line for a console, with escapes for what the encoding lacks."""
    return Text(text.encode(encoding, "backslashreplace").decode(encoding), style=style)


class _Live:
    """Shows the running stages at the foot of a terminal.

    The foot is there only while a stage runs, so that whoever takes over the terminal in
    between, such as an interactive shell in the guest, has it alone.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._console = open_console(stream)
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}

    def _say(self, text: str, style: str = "", *, word: int = 0) -> None:
        """Write a line, cut at the right edge; only its first ``word`` characters have style."""
        shown = styled(text, "" if word else style, self._console.encoding)
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
                shown = styled(printable(line), "bold", self._console.encoding)
                self._console.print(shown, soft_wrap=True)

    def waiting(self, what: str, whom: str) -> None:
        """Write it whole, above what is running."""
        if whom:
            self.notice(f"waiting for {what}, held by {whom}")

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
