"""The words that all reports share: counts, times, verdicts, and the commands that repeat a run.

Pure functions. Text from outside passes :func:`~toolkit.core.text.visible` where a report is
rendered, not here; only commands are made harmless at once.
"""

from __future__ import annotations

import glob
import math
import re
import shlex
from collections.abc import Mapping, Sequence

from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Status
from toolkit.core.text import visible
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
# options that a repetition replaces or does without
_CHOOSING = ("--test", "-t", "--shard", "--suite", "-s", "--coverage-fail-under")
# options that say where this host keeps its files, and those whose values are no paths
_FOLDERS = ("--root", "--run-dir")
_NO_PATHS = ("--append", "--test", "-t")
# the parents of a path that is absolute, or below a home, or outside the current folder
_PARENTS = re.compile(r"(?:^|(?<=[=:]))(?:~[^/=:]*|\.{1,2})?/(?:[^/=:]*/)*(?=[^/=:])")


def tally(counts: Mapping[Status, int]) -> str:
    """Return counts in words, without those that are zero: "1 failed, 12 passed"."""
    return ", ".join(f"{number} {_PLURAL[status]}" for status, number in counts.items() if number)


def duration(seconds: float) -> str:
    """Return a time span in words: "0.42 s", "12.3 s", "3 min 02 s"."""
    if 60 <= seconds < math.inf:  # a result.json from elsewhere may say anything
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if seconds >= 9.95 else f"{seconds:.2f} s"


def percent(number: float) -> str:
    """Return a percentage in words. It is never rounded up: 100.0 % means all."""
    return f"{math.floor(number * 10) / 10:.1f} %"


def subject(result: RunResult) -> str:
    """Return what was tested: "iosignalfd/v4 on Linux 6.12.117"."""
    kernel = f"Linux {result.release}" if result.release else result.kernel
    return f"{result.series} on {kernel}" if result.series else f"unpatched {kernel}"


def explanation(result: RunResult) -> str:
    """Return what the verdict means; nothing where the tests say it."""
    if result.verdict is Verdict.NO_TESTS and not result.leaves:
        return "there was no test to run: name a suite with --suite or in series.yaml"
    return VERDICTS[result.verdict]


def why(result: RunResult) -> str:
    """Return in words what a verdict rests on, where it is not the tests."""
    words, message = explanation(result), result.message
    if result.verdict in (Verdict.USER_ERROR, Verdict.INFRASTRUCTURE):
        return "\n".join(dict.fromkeys(filter(None, (words, message))))
    return "" if message == result.verdict.value else message or words


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
        kept = _without(result.command, ("--test", "-t", "--shard", "--coverage-fail-under"))
        rest = _without(kept[2:], (), flags=("--slow", "--coverage"))
        return visible(shlex.join([*kept[:1], BOOT, *rest]))
    chosen = ["--suite", suite, "--test", glob.escape(program)]
    return visible(shlex.join([*words, *chosen]))


def portable(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command line for others to read: of a path of this host only its last part.

    Options that only say where this host keeps its files go; a path within the project, such as
    ``patches/topic/v4``, stays.
    """
    kept = _without(words, _FOLDERS)
    is_value = (False, *(word in _NO_PATHS for word in kept))
    return tuple(
        word if value or "://" in word or _joined(word, _NO_PATHS) else _PARENTS.sub("", word)
        for word, value in zip(kept, is_value, strict=False)
    )


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
