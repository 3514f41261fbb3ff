"""What every report says of a result, in whichever form: its words, its groups, its commands.

Pure functions over :class:`~toolkit.core.model.result.RunResult`. What comes from outside passes
:func:`~toolkit.core.text.visible` where a form is made of it, not here.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import visible
from toolkit.testing import verdicts
from toolkit.testing.leaf_ids import BOOT, OF_PATCH, split

VERDICTS = {
    Verdict.PASS: "",
    Verdict.FAIL: "",
    Verdict.NO_TESTS: "no test ran to its end, and that is not a pass",
    Verdict.BUILD_BREAK: "the kernel or a test does not compile",
    Verdict.BOOT_FAILURE: "the kernel did not come up",
    Verdict.USER_ERROR: "the request cannot be met as it is",
    Verdict.INFRASTRUCTURE: "the host or its tools failed, the kernel was not judged",
    Verdict.INTERRUPTED: "interrupted",
}
_PLURAL = {
    Status.CRASH: "crashed",
    Status.TIMEOUT: "timed out",
    Status.ERROR: "could not be judged",
    Status.FAIL: "failed",
    Status.XPASS: "passed unexpectedly",
    Status.PASS: "passed",
    Status.XFAIL: "failed as expected",
    Status.SKIP: "skipped",
}
_ORDER = {status: number for number, status in enumerate(Status)}
# options that a repetition replaces or does without
_CHOOSING = ("--test", "-t", "--suite", "-s", "--coverage-fail-under")


def tally(counts: Mapping[Status, int]) -> str:
    """Return counts in words, without those that are zero: "1 failed, 12 passed"."""
    return ", ".join(f"{number} {_PLURAL[status]}" for status, number in counts.items() if number)


def duration(seconds: float) -> str:
    """Return a time span in words: "0.42 s", "12.3 s", "3 min 02 s"."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if seconds >= 9.95 else f"{seconds:.2f} s"


def subject(result: RunResult) -> str:
    """Return what was tested: "iosignalfd/v4 on Linux 6.12.117"."""
    kernel = f"Linux {result.release}" if result.release else result.kernel
    return f"{result.series} on {kernel}" if result.series else f"unpatched {kernel}"


def why(result: RunResult) -> str:
    """Return in words what a verdict rests on, where it is not the tests."""
    said, message = VERDICTS[result.verdict], result.message
    if result.verdict in (Verdict.USER_ERROR, Verdict.INFRASTRUCTURE):
        return "\n".join(dict.fromkeys(filter(None, (said, message))))
    return "" if message == result.verdict.value else message or said


# --- groups ------------------------------------------------------------------------------


@dataclass(slots=True)
class Program:
    """The leaves of one test program, or of a boot, in the order in which they came."""

    suite: str
    name: str  # "" for leaves that belong to no program
    leaves: list[Leaf] = field(default_factory=list)

    @property
    def id(self) -> str:
        """``suite/program``."""
        return f"{self.suite}/{self.name}" if self.name else self.suite

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many of its leaves have each status."""
        return verdicts.counts(self.leaves)

    @property
    def bad(self) -> int:
        """How many of its leaves fail the run."""
        return sum(leaf.status.bad for leaf in self.leaves)

    @property
    def worst(self) -> Status:
        """The status of its worst leaf."""
        return min((leaf.status for leaf in self.leaves), key=_ORDER.__getitem__)

    @property
    def seconds(self) -> float:
        """What its leaves took, as far as that is known."""
        return sum(leaf.seconds or 0.0 for leaf in self.leaves)


def programs(leaves: Iterable[Leaf]) -> list[Program]:
    """Return the leaves by program, programs in the order in which they ran."""
    found: dict[tuple[str, str], Program] = {}
    for leaf in leaves:
        suite, name, _ = split(leaf.id)
        found.setdefault((suite, name), Program(suite, name)).leaves.append(leaf)
    return list(found.values())


def failures(result: RunResult) -> list[Leaf]:
    """Return the leaves that fail the run, in the order in which they came."""
    return [leaf for leaf in result.leaves if leaf.status.bad]


def failed_programs(result: RunResult, limit: int) -> list[Program]:
    """Return the leaves that fail the run by program: ``limit`` of them, in their order."""
    return programs(failures(result)[:limit])


def splats_during(result: RunResult, program: Program) -> list[Splat]:
    """Return what the kernel complained of while a program ran."""
    return [splat for splat in result.splats if splat.during == program.id]


def splats_of(result: RunResult, leaf: Leaf) -> list[Splat]:
    """Return the complaints that a leaf stands for: a program's are those of its dmesg leaf."""
    suite, name, case = split(leaf.id)
    if not leaf.status.bad or case != "dmesg":
        return []
    return splats_during(result, Program(suite, name))


def stray_splats(result: RunResult) -> list[Splat]:
    """Return the complaints that belong to no program with a failure."""
    failed = {program.id for program in programs(failures(result))}
    return [splat for splat in result.splats if splat.during not in failed]


def said_besides(leaf: Leaf, splats: Iterable[Splat]) -> str:
    """Return a leaf's message, or nothing where it only names ``splats``."""
    titles = {visible(splat.title) for splat in splats}
    return "" if set(leaf.message.split("\n")) <= titles else leaf.message


# --- commands ----------------------------------------------------------------------------


def command(result: RunResult) -> str:
    """Return the command that repeats the run, to be given to a shell."""
    return visible(shlex.join(result.command))


def repeat(result: RunResult, leaf_id: str) -> str:
    """Return the command that repeats a leaf's program and nothing else.

    A leaf of a boot needs no test, so ``boot`` with the same options repeats it; one of a patch on
    the way takes the whole run.
    """
    suite, program, _ = split(leaf_id)
    if suite.startswith(OF_PATCH):
        return command(result)
    words = _without(result.command, _CHOOSING)
    if not program:
        kept = _without(result.command, ("--test", "-t", "--coverage-fail-under"))
        rest = _without(kept[2:], (), flags=("--slow", "--coverage"))
        return visible(shlex.join([*kept[:1], BOOT, *rest]))
    chosen = ["--suite", suite, "--test", glob.escape(program)]
    return visible(shlex.join([*words, *chosen]))


def _without(words: Sequence[str], options: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
    """Return a command line without ``options`` and their values, and without ``flags``."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif word not in flags and not _joined(word, options):
            kept.append(word)
    return kept


def _joined(word: str, options: Sequence[str]) -> bool:
    """Whether a word is one of the options with its value in it: --test=x, -tx."""
    if word.startswith("--"):
        return word.partition("=")[0] in options
    return len(word) > 2 and word[0] == "-" and word[:2] in options
