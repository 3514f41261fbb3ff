"""What a matrix shows on the terminal while it goes on.

On a terminal that is a table at its foot, above which each cell that has ended moves up as a line;
anywhere else lines alone, with a sign of life where nothing ends for a while.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from toolkit.core.errors import EXIT_INFRASTRUCTURE, EXIT_KERNEL, EXIT_OK, EXIT_USER
from toolkit.core.model.matrix import MatrixResult
from toolkit.core.text import printable
from toolkit.report import terminal
from toolkit.report.matrix import view
from toolkit.report.wording import duration

_QUIET = 25.0  # seconds without a line after which there is a sign of life
_REDRAW = 0.5  # seconds
_SHOWN = 50  # cells in the summary
_ROWS = 12  # jobs in the table
_WORDS = {
    EXIT_OK: "passed",
    EXIT_KERNEL: "failed",
    EXIT_USER: "wrong",
    EXIT_INFRASTRUCTURE: "not judged",
}
_STYLES = {EXIT_OK: "green", EXIT_KERNEL: "bold red"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a matrix is."""

    cells: int
    ended: Mapping[int, int]  # cells that have ended, by exit code
    waiting: Mapping[str, int]  # jobs that no worker has, by kind
    unknown: int  # cells of which nobody knows yet what they will need
    running: Mapping[str, str]  # the title of each job that a worker has, and its name
    workers: int

    @property
    def counts(self) -> str:
        """Cells, in words."""
        done = sum(self.ended.values())
        each = ", ".join(
            f"{number} {_WORDS.get(code, code)}" for code, number in sorted(self.ended.items())
        )
        return f"{done} of {self.cells} cells" + (f": {each}" if each else "")

    @property
    def queue(self) -> str:
        """What waits for what, in words."""
        waiting = ", ".join(f"{number} {kind}" for kind, number in self.waiting.items() if number)
        parts = [f"{self.workers} worker{'s' * (self.workers != 1)}"]
        if waiting:
            parts.append(f"waiting: {waiting}")
        if self.unknown:
            parts.append(f"{self.unknown} cell{'s' * (self.unknown != 1)} not built yet")
        return "; ".join(parts)


class Display:
    """Writes lines; :class:`_Live` has a table besides."""

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._said = clock()

    def notice(self, text: str) -> None:
        """Show a line that matters to the reader."""
        for line in text.split("\n"):
            self._say(printable(line), "")

    def job_ended(self, title: str, worker: str, seconds: float, fate: str) -> None:
        """Show that a job ended: where, after how long, and how if not well."""
        where = f" on {worker}" if worker else ""
        self._say(printable(f"{title}{where}: {fate or 'done'}, {duration(seconds)}"), "")

    def cell_ended(self, label: str, exit_code: int, text: str) -> None:
        """Show how a cell ended."""
        self._say(printable(f"{label}: {text}"), _STYLES.get(exit_code, "yellow"))

    def look(self, progress: Progress) -> None:
        """Give a sign of life where nothing ended for a while."""
        if self._clock() - self._said >= _QUIET:
            running = ", ".join(list(progress.running)[:3])
            more = f"; running: {running}" if running else ""
            self._say(printable(f"{progress.counts}; {progress.queue}{more}"), "")

    def _say(self, text: str, style: str) -> None:
        del style  # there is none in a file
        self._said = self._clock()
        terminal.print_plain(self._stream, text)
        self._stream.flush()


class _Live(Display):
    """Shows a table at the foot of a terminal, too."""

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._console = terminal.open_console(stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawn = 0.0
        self._since: dict[str, float] = {}

    def look(self, progress: Progress) -> None:
        """Draw the table."""
        now = self._clock()
        if now - self._drawn < _REDRAW:
            return
        self._drawn = now
        self._since = {title: self._since.get(title, now) for title in progress.running}
        self._live.start()  # does nothing the second time
        self._live.update(self._table(progress, now), refresh=True)

    def _table(self, progress: Progress, now: float) -> RenderableType:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column(no_wrap=True, justify="right")
        jobs = sorted(progress.running.items(), key=lambda job: self._since[job[0]])
        for title, worker in jobs[:_ROWS]:
            took = duration(now - self._since[title])
            table.add_row(*map(self._text, (title, worker, took)))
        if len(jobs) > _ROWS:
            table.add_row(self._text(f"… and {len(jobs) - _ROWS} more"))
        head = self._text(f"{progress.counts}; {progress.queue}")
        head.stylize("bold")
        return Group(head, table)

    def _text(self, text: str) -> Text:
        return terminal.styled(printable(text), "", self._console.encoding)

    def _say(self, text: str, style: str) -> None:
        self._console.print(
            terminal.styled(text, style, self._console.encoding), soft_wrap=not style
        )

    def close(self) -> None:
        """Take the table away."""
        self._live.stop()


@contextlib.contextmanager
def open_display(stream: IO[str]) -> Iterator[Display]:
    """Give a display that writes to ``stream`` until the block ends."""
    if not terminal.is_terminal(stream):
        yield Display(stream)
        return
    live = _Live(stream)
    try:
        yield live
    finally:
        live.close()


def summary(result: MatrixResult, folder: Path, stream: IO[str]) -> None:
    """Print what came out: the cells that did not pass, the counts, and where everything is."""
    bad = [each for each in result.cells if each.exit_code != EXIT_OK]
    lines = [f"{view.full_label(each.cell)}: {view.in_words(each)}" for each in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"… and {len(bad) - _SHOWN} more")
    lines.append(view.headline([each.exit_code for each in result.cells]))
    lines.append(f"report: {folder / 'index.html'}")
    for line in lines:
        terminal.print_plain(stream, printable(line))
    stream.flush()
