"""Complaints of the kernel, found on a serial console while it is being written.

The scanner knows the lines that begin a report and the ones that end it. They are those of
kernel/panic.c, arch/x86/kernel/dumpstack.c, lib/ubsan.c, mm/kasan/report.c, mm/kfence/report.c,
kernel/kcsan/report.c, mm/kmemleak.c, kernel/locking/lockdep.c, kernel/sched/core.c,
kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, lib/refcount.c,
lib/list_debug.c and mm/oom_kill.c in 6.1 and 6.12.

Who may speak for the kernel: user space writes to the same console. Once a printk time stamp
was seen, a line without one is no line of the kernel's, so what a program prints with
``echo > /dev/console`` is nothing. What is written to /dev/kmsg does get a stamp; it counts only
if it *begins* like a report, so ``init: Kernel panic`` does not, and a program that imitates
the kernel to the letter is believed: a false alarm is cheaper than a missed panic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from toolkit.core.model.machine import Splat

# Who writes a line that begins so to /dev/kmsg says that the kernel has said all it had to say.
MARK = "toolkit: mark"
MAX_LINES = 250  # of one report; KASAN's and lockdep's stay below it
MAX_CHARS = 1000  # of one line
PAUSE = 5.0  # a report is printed in one go; this many seconds of guest time end it
_UNTITLED_LINES = 40  # a WARN's own message may have several lines before "WARNING:"
_MAX_PARTIAL = 1 << 16

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x00")
_STAMP = re.compile(r"(?:<[0-9]{1,2}>)?\[ *([0-9]+\.[0-9]{6})\](?:\[ *[TC][0-9]+\])? ?")
_CUT_HERE = re.compile(r"-+\[ cut here \]-+")
_RULE = re.compile(r"={10,}\s*$")
_END_TRACE = re.compile(r"-+\[ end trace ")
_END_STACK = re.compile(r"\s*</TASK>")
_END_PANIC = re.compile(r"-+\[ end Kernel panic|Rebooting in [0-9]+ seconds")
_END_OOM = re.compile(r".*[Oo]ut of memory.*: Killed process|Out of memory and no killable")
_END_STACK_OR_TRACE = re.compile(r"\s*</TASK>|-+\[ end trace ")
_AT_ONCE = re.compile("")


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    title: re.Pattern[str]
    end: re.Pattern[str]
    after: frozenset[str] = frozenset()  # within a report of these kinds it is a part of it
    ruled: bool = False  # only right below a line of ====


def _kind(name: str, title: str, end: re.Pattern[str], after: str = "", **more: bool) -> _Kind:
    return _Kind(name, re.compile(title), end, frozenset(after.split()), **more)


# The first that matches counts. "" among ``after``: a report that began with "cut here" and has
# no name yet; such a report takes any name.
_KINDS = (
    _kind("panic", r"Kernel panic - not syncing", _END_PANIC, "panic"),
    _kind("kasan", r"BUG: KASAN: ", _RULE),
    _kind("kfence", r"BUG: KFENCE: ", _RULE),
    _kind("kcsan", r"BUG: KCSAN: ", _RULE),
    _kind("ubsan", r"UBSAN: ", _END_TRACE),
    _kind("kmemleak", r"kmemleak: [0-9]+ new suspected memory leaks", _AT_ONCE),
    _kind("refcount", r"refcount_t: ", _END_TRACE),
    _kind("list-corruption", r"list_(?:add|del) (?:corruption|double add)", _END_TRACE),
    _kind("soft-lockup", r"(?:NMI )?(?:watchdog: )?BUG: soft lockup", _END_STACK),
    _kind("hard-lockup", r"(?:NMI )?watchdog: .*hard LOCKUP", _END_STACK_OR_TRACE),
    _kind(
        "rcu-stall", r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stall", _END_STACK
    ),
    _kind("hung-task", r"INFO: task .+ blocked (?:in I/O wait )?for more than", _END_STACK),
    _kind("lockdep", r"BUG: (?:sleeping function called|scheduling while atomic)", _END_STACK),
    _kind("lockdep", r"BUG: using \w+\(\) in preemptible", _END_STACK),
    _kind(
        "lockdep",
        r"WARNING: (?:possible .*(?:locking|deadlock|inversion|lock order)|inconsistent lock state"
        r"|suspicious RCU usage|bad (?:unlock|contention) )",
        _END_STACK,
    ),
    _kind("warning", r"WARNING: CPU: [0-9]+ PID: ", _END_TRACE, "refcount list-corruption"),
    _kind("bug", r"kernel BUG at ", _END_TRACE, "refcount list-corruption"),
    _kind(
        "oops",
        r"(?:BUG: (?:unable to handle|kernel NULL pointer)|Unable to handle kernel "
        r"|(?:Oops: )?general protection fault|(?:Internal error: )?Oops: "
        r"|(?!traps: ).*: [0-9a-f]{4,} \[#[0-9]+\])",
        _END_TRACE,
        "oops bug refcount list-corruption",
    ),
    _kind("lockdep", r"(?:WARNING|\[? ?BUG): ", _END_STACK, ruled=True),
    _kind("bug", r"BUG: ", _END_STACK_OR_TRACE, "oops bug"),
    _kind("oom", r".{1,64} invoked oom-killer: ", _END_OOM),
    _kind("oom", r"(?:ResultCache cgroup out of|Out of) memory: Killed process", _AT_ONCE, "oom"),
)
_UNTITLED = _kind("", "", _END_TRACE)
_WARNING = next(kind for kind in _KINDS if kind.name == "warning")


@dataclass(slots=True)
class _Report:
    """A report while its lines come in."""

    kind: _Kind
    title: str
    line: int
    lines: list[str] = field(default_factory=list)
    slot: int | None = None  # where in ConsoleScanner.splats it was announced already

    def splat(self) -> Splat:
        fatal = self.kind.name == "panic"
        return Splat(self.kind.name, self.title, "\n".join(self.lines), fatal, self.line)


class ConsoleScanner:
    """Finds splats in a console that comes in pieces.

    A report is returned once, when it ends: at its own last line, when another one begins,
    after :data:`MAX_LINES`, at a :data:`MARK`, or by :meth:`close`. A fatal one is returned at
    its first line, so that the machine can be stopped; its whole text is in :attr:`splats`
    afterwards.
    """

    def __init__(self) -> None:
        self._partial = b""
        self._number = 0
        self._stamped = False
        self._report: _Report | None = None
        self._previous = ""
        self._last_stamp = 0.0
        self._splats: list[Splat] = []
        self._new: list[Splat] = []

    @property
    def splats(self) -> tuple[Splat, ...]:
        """Every splat so far, with all of its text that has come in."""
        found = list(self._splats)
        if self._report and self._report.slot is not None:
            found[self._report.slot] = self._report.splat()
        return tuple(found)

    def feed(self, data: bytes) -> list[Splat]:
        """Take the next bytes of the console, cut anywhere; return the splats they complete."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _MAX_PARTIAL:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            self._line(line)
        return self._take()

    def close(self) -> list[Splat]:
        """End the report that is open, if there is one, and return it.

        For the end of the console, and for a moment at which everything was said, such as the
        end of a test program; :meth:`feed` may go on afterwards.
        """
        if self._partial:
            self._line(self._partial)
            self._partial = b""
        self._end()
        return self._take()

    def _take(self) -> list[Splat]:
        new, self._new = self._new, []
        return new

    def _line(self, raw: bytes) -> None:
        self._number += 1
        text = _ESCAPE.sub("", raw.decode(errors="replace")).replace("\r", "")
        # A program's prompt without a newline may stand before the stamp.
        stamp = _STAMP.search(text)
        if stamp:
            self._stamped = True
            text = text[stamp.end() :]
            self._pause(float(stamp[1]))
        elif self._stamped:
            return
        text = text.rstrip()[:MAX_CHARS]
        was_open = self._report is not None
        self._take_text(text)
        # A rule that ended one report does not begin the next.
        self._previous = "" if was_open and self._report is None else text

    def _pause(self, stamp: float) -> None:
        """End a report that the kernel has stopped writing a while ago."""
        if self._report and stamp - self._last_stamp > PAUSE:
            self._end()
        self._last_stamp = stamp

    def _take_text(self, text: str) -> None:
        report = self._report
        if text.startswith(MARK) and report and report.slot is None:
            self._end()
            return
        kind = self._named(text)
        inside = report is not None and self._is_part(report, kind, text)
        if report is None or not inside:
            if kind is None and not _CUT_HERE.match(text):
                if report is not None:
                    self._append(report, text)
                return
            self._begin(kind or _UNTITLED, text)
            return
        if kind is not None and not report.kind.name:
            report.kind, report.title = kind, text
        self._append(report, text)

    def _named(self, text: str) -> _Kind | None:
        ruled = bool(_RULE.match(self._previous))
        for kind in _KINDS:
            if kind.title.match(text) and (ruled or not kind.ruled):
                return kind
        return None

    @staticmethod
    def _is_part(report: _Report, kind: _Kind | None, text: str) -> bool:
        """Return whether a line that could begin a report belongs to the one that is open."""
        if report.kind.name == "panic":
            return True
        if kind is None:
            # A list corruption says so first, and then calls BUG().
            preluded = report.kind.name == "list-corruption" and len(report.lines) < 3
            return not _CUT_HERE.match(text) or preluded
        return kind.name != "panic" and (not report.kind.name or report.kind.name in kind.after)

    def _begin(self, kind: _Kind, text: str) -> None:
        self._end()
        ruled = bool(_RULE.match(self._previous))
        report = _Report(kind, text, self._number - ruled, [self._previous] if ruled else [])
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
        ends = report.kind.end is _AT_ONCE or (not first and report.kind.end.match(text))
        if not report.kind.name and len(report.lines) > _UNTITLED_LINES:
            report.kind = _WARNING
        if ends or len(report.lines) >= MAX_LINES:
            self._end()

    def _end(self) -> None:
        report, self._report = self._report, None
        if report is None:
            return
        if report.slot is not None:
            self._splats[report.slot] = report.splat()
            return
        if not report.kind.name:
            report.kind = _WARNING
            report.title = next((line for line in report.lines[1:] if line), report.title)
        elif report.kind.name == "oom":
            report.title = next((t for t in report.lines if _END_OOM.match(t)), report.title)
        self._splats.append(report.splat())
        self._new.append(self._splats[-1])
