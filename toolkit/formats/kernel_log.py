"""Complaints of the kernel, found on a serial console while it is being written.

:mod:`toolkit.formats.kernel_log_kinds` has the lines that begin a report and those that end it.

Who may speak for the kernel: user space writes to the same console. Once a printk time stamp
was seen, a line without one is no line of the kernel's, so what a program prints with
``echo > /dev/console`` is nothing. What is written to /dev/kmsg does get a stamp; it counts only
if it *begins* like a report, so ``init: Kernel panic`` does not, and a program that imitates
the kernel to the letter is believed: a false alarm is cheaper than a missed panic. A test may have
the kernel leave its stamps out (printk.time). Then the toolkit's own mark has none, and what came
since the last line with a stamp is the kernel's as well.

The kernel also says, without a stamp, how many messages its console has dropped. What was in them
nobody knows, so that is a splat of the kind :data:`LOST`, whoever else may have written the line.

Several CPUs write at once, and nothing keeps the lines of one report together. So a line between
a rule and its title hides neither, and two reports that begin in one another are two.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from toolkit.core.model.machine import Splat
from toolkit.formats.kernel_log_kinds import (
    CUT_HERE,
    DROPPED,
    LOST,
    MAX_TITLE_LINES,
    OOM_KILL,
    RULE,
    UNTITLED,
    WARNING,
    Kind,
    kind_of,
)

# Who writes a line that begins so to /dev/kmsg says that the kernel has said all it had to say.
MARK = "toolkit: mark"
MAX_LINES = 250  # of one report; KASAN's and lockdep's stay below it
MAX_CHARS = 1000  # of one line
MAX_SPLATS = 1000  # kept of one console; only a panic comes in beyond them
MAX_LOST = 10  # of these that stand for dropped messages: a flood has thousands of such lines
MAX_TEXT = 4 << 20  # characters of all reports together; beyond it a report is its title alone
PAUSE = 5.0  # a report is printed in one go; this many seconds of guest time end it
_UNTITLED_LINES = 40  # a WARN's own message may have several lines before "WARNING:"
_RULE_LINES = 4  # a rule, what other CPUs print below it, and the title
_MAX_UNSTAMPED = 2000  # lines kept that are the kernel's only if it has stopped stamping them
_MAX_PARTIAL = 1 << 16
_MAX_RAW = 8 << 10  # bytes looked at of one line, stamp and escape sequences included

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x00")
_STAMP = re.compile(
    r"(?:<[0-9]{1,2}>)?\[ *([0-9]+\.[0-9]{6})\](?:\[ *[TC][0-9]+\])?(?: +(?===|BUG: )| ?)"
)


@dataclass(slots=True)
class _Report:
    """A report while its lines come in."""

    kind: Kind
    title: str
    line: int
    lines: list[str]
    named_at: int  # lines before the one that named it
    title_open: bool = False  # the next line may belong to the title
    unconfirmed: bool = False
    parts: set[int] = field(default_factory=set)  # ids of the kinds whose title came within it
    # Where another "cut here" came whose title did not yet: its place in lines, and its number.
    cut: tuple[int, int] | None = None
    slot: int | None = None  # where in ConsoleScanner.splats it was announced already

    def splat(self) -> Splat:
        fatal = self.kind.name == "panic"
        return Splat(self.kind.name, self.title, "\n".join(self.lines), fatal, self.line)

    def name(self, kind: Kind, text: str) -> None:
        """Take the line that names the report; it is still to be appended."""
        self.kind, self.title, self.named_at = kind, text, len(self.lines)
        self.unconfirmed = kind.confirm is not None
        self.title_open = kind.joined is not None

    def includes(self, kind: Kind) -> bool:
        """Return whether a line that could begin a report of ``kind`` is part of this one."""
        if self.kind.name == "panic" or kind.anywhere:
            return True
        if kind.name == "panic":
            return False
        if not self.kind.name:
            return True
        if kind.renames == self.kind.name and len(self.lines) - self.named_at <= 2:
            return True
        return self.kind.name in kind.after and (kind.repeats or id(kind) not in self.parts)

    def excused(self) -> bool:
        """Return whether it turned out to be no complaint."""
        kind = self.kind
        if self.unconfirmed:
            return True
        if kind.excused_by is None or not any(map(kind.excused_by.match, self.lines)):
            return False
        return kind.convicted_by is None or not any(map(kind.convicted_by.match, self.lines))


class ConsoleScanner:
    """Finds splats in a console that comes in pieces.

    A report is returned once, when it ends: at its own last line, when another one begins,
    after :data:`MAX_LINES`, at a :data:`MARK`, or by :meth:`close`. A fatal one is returned at
    its first line, so that the machine can be stopped; its whole text is in :attr:`splats`
    afterwards. Time is linear in the console's size, and memory is bounded.
    """

    def __init__(self) -> None:
        self._partial = bytearray()
        self._number = 0
        self._stamped = False
        # Lines without a stamp, and their numbers, since the last one that has one.
        self._unstamped: deque[tuple[int, str]] = deque(maxlen=_MAX_UNSTAMPED)
        self._report: _Report | None = None
        self._below_rule: list[str] = []  # the last lines, from a rule that may open a report
        self._rule_number = 0
        self._last_stamp: float | None = None
        self._splats: list[Splat] = []
        self._new: list[Splat] = []
        self._text_left = MAX_TEXT
        self._lost = 0

    @property
    def splats(self) -> tuple[Splat, ...]:
        """Every splat so far, with all of its text that has come in."""
        splats = list(self._splats)
        if self._report and self._report.slot is not None:
            splats[self._report.slot] = self._report.splat()
        return tuple(splats)

    def feed(self, data: bytes) -> list[Splat]:
        """Take the next bytes of the console, cut anywhere; return the splats they complete."""
        self._partial += data
        if b"\n" in data or len(self._partial) > _MAX_PARTIAL:
            *lines, rest = self._partial.split(b"\n")
            if len(rest) > _MAX_PARTIAL:
                lines.append(rest)
                rest = bytearray()
            self._partial = rest
            for line in lines:
                self._line(line)
        return self._take()

    def close(self) -> list[Splat]:
        """End the report that is open, if there is one, and return it.

        For the end of the console, and for a moment at which everything was printed, such as
        the end of a test program; :meth:`feed` may go on afterwards.
        """
        if self._partial:
            self._line(self._partial)
            self._partial = bytearray()
        self._end()
        return self._take()

    def _take(self) -> list[Splat]:
        new, self._new = self._new, []
        return new

    def _line(self, raw: bytearray) -> None:
        self._number += 1
        text = _ESCAPE.sub("", raw[:_MAX_RAW].decode(errors="replace")).replace("\r", "")
        # A program's prompt without a newline may stand before the stamp.
        stamp = _STAMP.search(text)
        if stamp:
            self._stamped = True
            if DROPPED.search(text, 0, stamp.start()):
                self._dropped(text[: stamp.start()].rstrip()[:MAX_CHARS])
            text = text[stamp.end() :]
            self._pause(float(stamp[1]))
            # A message that lost its newline stands before the next one.
            second = _STAMP.search(text)
            if second and self._kind_of(text[second.end() :][:MAX_CHARS]):
                self._message(text[: second.start()], stamped=True)
                text = text[second.end() :]
        self._message(text, stamped=stamp is not None)

    def _message(self, text: str, *, stamped: bool) -> None:
        """Take one message without its stamp, or a line that has none."""
        text = text.rstrip()[:MAX_CHARS]
        if DROPPED.search(text):
            self._dropped(text)
            return
        if self._stamped and not stamped:
            self._unstamped.append((self._number, text))
            if text.startswith(MARK):
                self._without_stamps()
            return
        if stamped:
            self._unstamped.clear()
        was_open = self._report is not None
        self._take_text(text)
        # A rule that ended one report does not begin the next.
        if RULE.match(text) and not (was_open and self._report is None):
            self._below_rule, self._rule_number = [text], self._number
        elif self._below_rule:
            self._below_rule = [*self._below_rule, text][: _RULE_LINES + 1]
            if len(self._below_rule) > _RULE_LINES:
                self._below_rule = []

    def _without_stamps(self) -> None:
        """Take the lines that came since the kernel has stopped stamping them."""
        lines, number = [*self._unstamped], self._number
        self._unstamped.clear()
        self._stamped = False
        for self._number, text in lines:
            self._message(text, stamped=False)
        self._number = number

    def _dropped(self, text: str) -> None:
        """Note that messages are missing here; the report that is open goes on below."""
        if self._lost < MAX_LOST:
            self._lost += 1
            self._keep(Splat(LOST, text, text, fatal=False, line=self._number))

    def _pause(self, stamp: float) -> None:
        """End a report that the kernel has stopped writing a while ago."""
        if self._last_stamp is not None and stamp - self._last_stamp > PAUSE:
            self._end()
        self._last_stamp = stamp

    def _take_text(self, text: str) -> None:
        report = self._report
        if report is None:
            if kind := self._kind_of(text):
                self._begin(kind, text)
            return
        if text.startswith(MARK) and report.slot is None:
            self._end()
            return
        kind = self._kind_of(text)
        if kind is None:
            self._append(report, text)
        elif kind is UNTITLED:
            # Its title, which is still to come, says whether that is a report of its own.
            if report.kind.name and report.cut is None:
                report.cut = len(report.lines), self._number
            self._append(report, text)
        elif not report.includes(kind):
            self._begin(kind, text)
        else:
            # What needs a confirmation of its own may be the message of a WARN().
            takes_name = not report.kind.name and kind.confirm is None
            if takes_name or (kind.renames and kind.renames == report.kind.name):
                report.name(kind, text)
            if not kind.anywhere:
                report.parts.add(id(kind))
                report.cut = None
            self._append(report, text)

    def _kind_of(self, text: str) -> Kind | None:
        if CUT_HERE.match(text):
            return UNTITLED
        return kind_of(text, ruled=bool(self._below_rule))

    def _begin(self, kind: Kind, text: str) -> None:
        before, number = list[str](), self._number
        if kind.ruled or len(self._below_rule) == 1:
            before, number = list(self._below_rule), self._rule_number
        if self._report and self._report.cut:
            at, number = self._report.cut
            before = self._report.lines[at:]
            del self._report.lines[at:]
        self._end()
        report = _Report(kind, text, number if before else self._number, before, len(before))
        report.name(kind, text)
        report.parts.add(id(kind))
        self._report = report
        if kind.name == "panic":
            report.slot = len(self._splats)
            report.lines.append(text)
            self._splats.append(report.splat())
            self._new.append(self._splats[-1])
        else:
            self._append(report, text, first=True)

    def _append(self, report: _Report, text: str, *, first: bool = False) -> None:
        report.lines.append(text)
        kind = report.kind
        if not first:
            self._complete_title(report, text)
        if not kind.name and len(report.lines) > _UNTITLED_LINES:
            report.kind = WARNING
        # A pattern that matches everything ends a report with its first line.
        ends = kind.end.match(text) if not first else kind.end.match("")
        if ends or len(report.lines) >= MAX_LINES:
            self._end()

    @staticmethod
    def _complete_title(report: _Report, text: str) -> None:
        """Look at a line below the title for what confirms or continues it."""
        kind, below = report.kind, len(report.lines) - report.named_at - 1
        if not 1 <= below <= MAX_TITLE_LINES:
            return
        if kind.confirm and kind.confirm.match(text):
            report.unconfirmed = False
        if CUT_HERE.match(text):
            report.title_open = False
        if report.title_open and kind.joined:
            report.title = f"{report.title} {text}".rstrip()[:MAX_CHARS]
            report.title_open = not kind.joined.match(text)

    def _end(self) -> None:
        report, self._report = self._report, None
        if report is None:
            return
        if report.slot is not None:
            self._splats[report.slot] = report.splat()
            return
        if report.excused():
            return
        if not report.kind.name:
            report.kind = WARNING
            texts = (line for line in report.lines if line and not CUT_HERE.match(line))
            report.title = next(texts, report.title)
        elif report.kind.name == "oom":
            report.title = next((t for t in report.lines if OOM_KILL.match(t)), report.title)
        self._keep(report.splat())

    def _keep(self, splat: Splat) -> None:
        if len(self._splats) >= MAX_SPLATS:
            return
        if len(splat.text) > self._text_left:
            splat = Splat(splat.kind, splat.title, splat.title, splat.fatal, splat.line)
        self._text_left -= len(splat.text)
        self._splats.append(splat)
        self._new.append(splat)
