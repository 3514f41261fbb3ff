"""The rows of docs/faults.md: what was done to a run, and how it ended.

A row is in the page as the test that injected the fault saw it, and what was done, the verdict and
the exit code are compared with it. ``TOOLKIT_UPDATE_DOCS=1`` makes those tests write their rows.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.conftest import PROJECT, Ended

PAGE = PROJECT / "docs/faults.md"
GROUPS = (
    *("host", "QEMU", "guest kernel", "guest user land"),
    *("patch", "manifest", "cache", "network", "user"),
)
_HEAD = "| group | what was done | verdict | exit code | message |"
_RULE = "|---|---|---|---|---|"
_BAD_CASE = re.compile(r"(FAIL|CRASH|TIMEOUT|ERROR)\s")
# What differs from host to host and from run to run.
_VARYING = (
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "<digest>"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "<server>"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "N s"),
    (re.compile(r"x{9,}"), "x…"),
    (re.compile(r" \(N s\)"), ""),  # which is shown of a case that took long
    (re.compile(r"\b\d+ bytes\b"), "N bytes"),
    (re.compile(r"CPU: \d+ PID: \d+"), "CPU: N PID: N"),
    (re.compile(r"at \S+/(\w+\.c):\d+"), r"at \1:N"),  # of another release of the kernel
    (re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+"), ""),  # of another compiler
    # make 4.4 is stopped by the limit, and an older one leaves it to the next to write
    (re.compile(r"^the build stopped: File size limit exceeded$"), "File too large"),
    (re.compile(r"\btest_a_fault\w+"), "…"),
    (re.compile(r"'…\S*' -> "), ""),  # of a copy; what comes first depends on the file system
)


@dataclass(frozen=True)
class Fault:
    """A fault: its group, what is done, the exit code and words of the message that must come.

    ``inject`` makes a run with the fault in it, and returns how that run ended.
    """

    group: str
    done: str
    code: int
    words: str
    inject: Callable[..., Ended]

    @property
    def name(self) -> str:
        return re.sub(r"\W+", "-", f"{self.group} {self.done}").strip("-")


def fault(
    table: list[Fault], group: str, done: str, *, code: int, words: str = ""
) -> Callable[[Callable[..., Ended]], Callable[..., Ended]]:
    """Return a decorator that adds a function as the fault ``done`` to ``table``."""
    assert group in GROUPS

    def add(inject: Callable[..., Ended]) -> Callable[..., Ended]:
        table.append(Fault(group, done, code, words, inject))
        return inject

    return add


def message(ended: Ended, words: str = "") -> str:
    """Return the line of standard error that gives the reason, without what varies."""
    lines = [line for line in ended.err.splitlines() if re.match(r"(toolkit|Error): ", line)]
    text = lines[-1].partition(": ")[2] if lines else ""
    if not text:  # no error, but the first bad case; else a notice, if that is what had to come
        told = [line for line in ended.err.splitlines() if _BAD_CASE.match(line)]
        told += [line for line in ended.err.splitlines() if words and words in line]
        text = re.sub(" +", " ", next(iter(told), ""))
    text = text.replace(str(ended.folder.parent), "…").replace(str(PROJECT), "….")
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text.replace("|", "\\|")


def row(fault: Fault, ended: Ended) -> str:
    """Return the line of the page for a fault, once it is sure that the run ended as it must."""
    assert ended.code == fault.code, ended
    assert fault.words in ended.err + ended.out, ended
    assert "Traceback" not in ended.err, ended
    verdict = "-"
    if (ended.folder / "result.json").exists():
        result: dict[str, Any] = ended.result
        assert result["exit_code"] == ended.code, ended
        verdict = result["verdict"]
    cells = (fault.group, fault.done, verdict, str(ended.code), message(ended, fault.words) or "-")
    return f"| {' | '.join(cells)} |"


def check(heading: str, line: str, table: Sequence[Fault]) -> None:
    """Compare a row with the page's section ``heading``, or write it there.

    ``table`` has all faults of the section, in any order.
    """
    order = {(each.group, each.done): number for number, each in enumerate(ordered(table))}
    rows = {name(each): each for each in section(heading)}
    if os.environ.get("TOOLKIT_UPDATE_DOCS"):
        rows[name(line)] = line
        kept = sorted((name for name in rows if name in order), key=order.__getitem__)
        _replace(heading, [_HEAD, _RULE, *(rows[name] for name in kept)])
    assert _outcome(line) in map(_outcome, section(heading)), f"not in {PAGE}: {line}"


def _outcome(line: str) -> str:
    """Return a row without its message, of which only :attr:`Fault.words` are sure to come.

    The rest is partly a library's, the kernel's or the compiler's, and changes with their releases.
    """
    return line.rsplit(" | ", 1)[0]


def ordered(table: Sequence[Fault]) -> list[Fault]:
    """Return the faults by their groups, in the order of :data:`GROUPS`."""
    return sorted(table, key=lambda each: GROUPS.index(each.group))


def section(heading: str) -> list[str]:
    """Return the rows of a section of the page."""
    lines = _lines(heading)
    return lines[lines.index(_RULE) + 1 :] if _RULE in lines else []


def _lines(heading: str) -> list[str]:
    _, _, rest = PAGE.read_text().partition(f"\n## {heading}\n")
    text, _, _ = rest.partition("\n## ")
    return [line for line in text.splitlines() if line.startswith("|")]


def _replace(heading: str, table: Sequence[str]) -> None:
    """Put a table in the place of the one below ``heading``."""
    text = PAGE.read_text()
    before, mark, rest = text.partition(f"\n## {heading}\n")
    assert mark, f"{PAGE} has no section {heading!r}"
    body, following, after = rest.partition("\n## ")
    words = [line for line in body.splitlines() if not line.startswith("|")]
    new = "\n".join(words).rstrip() + "\n\n" + "\n".join(table) + "\n"
    temporary = Path(f"{PAGE}.{os.getpid()}")
    temporary.write_text(before + mark + new + following + after)
    temporary.rename(PAGE)


def name(line: str) -> tuple[str, str]:
    _, group, done, *_ = line.split("|")
    return group.strip(), done.strip()


def wait_until(condition: Callable[[], object], otherwise: str, seconds: float = 180.0) -> None:
    """Wait until ``condition`` holds; fail with the words ``otherwise`` after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
