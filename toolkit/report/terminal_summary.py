"""What is printed on the terminal when a run ends, or the coverage of several is merged.

A template gives plain lines; it marks those with a style at their beginning. What stands at the
left margin without a style is there to be copied, and is not wrapped. All text from outside passes
:func:`~toolkit.core.text.printable`, so that it can neither mark a line nor end one.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.padding import Padding

from toolkit.core.model.coverage import Coverage
from toolkit.core.model.result import RunResult
from toolkit.core.text import printable, visible
from toolkit.report import coverage_view, templates, terminal, view
from toolkit.report.wording import duration, explanation, percent

if TYPE_CHECKING:
    from jinja2 import Template

LIMITS = {
    "MAX_FAILURES": 50,  # the rest is in result.json
    "MAX_MESSAGE_LINES": 12,
    "MAX_UNRUN": 60,  # lines of hunks
}
_MARK = "\x01"  # around the style of a line; printable text has none
_MAX_INDENT = 9  # more is part of the text


class _Styled(str):
    """A line that has its mark, and passed :func:`printable` already."""

    __slots__ = ()


def summary(result: RunResult, run_dir: Path, stream: IO[str] | None = None) -> None:
    """Print what came out of a run: the verdict first, how to repeat it last."""
    shown = view.of(result)
    messages = "\n".join(leaf.message for leaf in shown.failures)
    text = _template("summary.txt.j2").render(
        view=shown,
        result=result,
        run_dir=run_dir,
        explanation=explanation(result),
        unnamed_splats=[each for each in result.splats if visible(each.title) not in messages],
    )
    _print(text, stream or sys.stdout)


def coverage(merged: Coverage, about: str, stream: IO[str] | None = None) -> None:
    """Print which lines several runs have run together; ``about`` says what was merged."""
    text = _template("merged-coverage.txt.j2").render(
        coverage=coverage_view.of(merged), about=about
    )
    _print(text, stream or sys.stdout)


def _print(text: str, stream: IO[str]) -> None:
    console = terminal.open_console(stream) if terminal.is_terminal(stream) else None
    for line, style, indent in _lines(text):
        if console is None:
            terminal.print_plain(stream, " " * indent + line)
            continue
        shown = terminal.styled(line, style, console.encoding)
        if indent or style:
            console.print(Padding(shown, (0, 0, 0, indent), expand=False))
        else:
            console.print(shown, soft_wrap=True)
    stream.flush()


def _lines(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the text, style and indentation of each line that a template gave."""
    for line in text.rstrip("\n").split("\n"):
        bare = line.lstrip(" ")
        indent = min(len(line) - len(bare), _MAX_INDENT)
        _, style, rest = bare.split(_MARK) if bare.startswith(_MARK) else ("", "", line[indent:])
        yield rest, style, indent


@functools.cache
def _template(name: str) -> Template:
    functions = (style, nonblank, duration, percent)
    helpers = {function.__name__: function for function in functions}
    return templates.load(name, _finalized, {**helpers, **LIMITS})


def _finalized(value: object) -> str:
    return value if isinstance(value, _Styled) else printable(str(value))


def style(text: str, name: str) -> str:
    """Return a line that has a style of rich's."""
    return _Styled(f"{_MARK}{name}{_MARK}{printable(text)}")


def nonblank(text: str) -> list[str]:
    """Return the lines of a text that are not blank."""
    return [line for line in text.split("\n") if line.strip()]
