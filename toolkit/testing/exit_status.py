"""What the exit status of a test program says, beside the cases that it reported.

The statuses are those of the kernel's selftests: KSFT_PASS to KSFT_SKIP of kselftest.h; 124 is
timeout(1)'s, which kselftest/runner.sh reports as a time-out; 126 and 127 are what a shell, env(1)
and our launcher give for a program that is missing.
"""

from __future__ import annotations

import itertools
import re

from toolkit.core.model.testing import RawRun, Status, TestNode
from toolkit.core.text import lines_of
from toolkit.testing.leaf_text import STDERR_LINES, join, tail

XFAIL, XPASS, SKIP = 2, 3, 4  # KSFT_* of tools/testing/selftests/kselftest.h
TIMED_OUT = 124  # timeout_rc of tools/testing/selftests/kselftest/runner.sh
_MISSING = (126, 127)
_SCANNED = 64 << 10  # characters at the end of a stream that are searched for a missing program

Case = tuple[tuple[str, ...], Status, str]  # path below suite/program, status, message

_SKIPPED = re.compile(r"\bskip(?:ped|ping)?\b", re.I)
_SKIP_HEAD = re.compile(r"^[\s#\[]*SKIP(?:PED|PING)?\b[\s:\]-]*")
_XFAIL = re.compile(r"\bxfail\b|\bexpected(?:ly)? fail", re.I)
_NAME = r"[A-Za-z0-9_][\w.+-]{0,63}"
# dash, bash and busybox's ash; env(1) of coreutils and of busybox; bash of a script's interpreter;
# line_buffered.c. A program of the suite's own, called as ./NAME, is not what a package lacks.
_NOT_FOUND = tuple(
    re.compile(pattern, re.M)
    for pattern in (
        rf": (?:line )?\d+: (?:/\S*/)?({_NAME}): (?:command )?not found$",
        rf"^(?:-?\w+: )(?:/\S*/)?({_NAME}): (?:command )?not found$",
        rf"\benv: ['\u2018](?:/\S*/)?({_NAME})['\u2019]: No such file or directory$",
        rf"\benv: can't execute '(?:/\S*/)?({_NAME})': No such file or directory$",
        rf": /\S*/({_NAME}): bad interpreter: No such file or directory$",
        rf": its interpreter /\S*/({_NAME}) is missing$",
        rf"\bfailed to run command ['\u2018](?:/\S*/)?({_NAME})['\u2019]: No such file",
    )
)
_NO_FILE = re.compile(r"\bnot found\b|\bNo such file or directory\b")
_WORD = re.compile(r"[\w.+-]+")


def weigh(run: RawRun, tree: TestNode, cases: list[Case]) -> list[Case]:
    """Return the cases of a program that ended by itself, with what its exit status adds.

    ``tree`` is what its output was parsed into, ``cases`` the leaves of that.
    """
    status = run.exit_status
    missing = _missing_program(run) if status in _MISSING else ""
    failed = any(_failed(case) for case in cases)
    if missing and not failed:
        return _untestable(cases, Status.SKIP, f"not testable here: needs {missing}")
    without = _without(run) if status not in (0, SKIP) else ""
    if without and not failed:
        return _untestable(cases, Status.ERROR, without)
    if cases:
        return _skipped_rest(cases) if status == SKIP else _contradicted(run, cases)
    if status == SKIP:
        return [((), Status.SKIP, _skip_reason(run, tree))]
    if tree.status is Status.SKIP and status == 0:
        return [((), Status.SKIP, tree.message)]
    if run.by_status and status is not None:
        return [_by_status(run, status)]
    why = f"the program {_ended(status)} and reported no test case"
    return [((), Status.ERROR, join(why, tree.message, tail(run.stderr)))]


def _contradicted(run: RawRun, cases: list[Case]) -> list[Case]:
    """Add what an exit status says against a program whose cases are all good."""
    status = run.exit_status
    expected = status == XFAIL and any(case[1] is Status.XFAIL for case in cases)
    if status == 0 or expected or any(case[1].bad for case in cases):
        return cases
    worst = Status.TIMEOUT if status == TIMED_OUT else Status.FAIL
    why = f"the program {_ended(status)}, although no test case failed"
    return [*cases, ((), worst, join(why, tail(run.stderr)))]


def _missing_program(run: RawRun) -> str:
    """Return the program that a shell, env(1) or the launcher did not find; "" where none was."""
    for stream in (run.stderr, run.stdout):
        end = stream[-_SCANNED:].replace("\r\n", "\n")
        if matches := [match for pattern in _NOT_FOUND for match in pattern.finditer(end)]:
            return max(matches, key=lambda match: match.start())[1]
    return ""


def _failed(case: Case) -> bool:
    """Return whether a case gave a bad result; what never came has none (CRASH is the parser's)."""
    return case[1].bad and case[1] is not Status.CRASH


def _without(run: RawRun) -> str:
    """Return why a program could not test that says it did not find a file of its suite.

    The file is one that could not be made; "" where there is no such word.
    """
    for stream in (run.stderr, run.stdout) if run.lacking else ():
        for line in filter(_NO_FILE.search, lines_of(stream[-_SCANNED:])):
            if name := next((word for word in _WORD.findall(line) if word in run.lacking), ""):
                return run.lacking[name]
    return ""


def _untestable(cases: list[Case], status: Status, why: str) -> list[Case]:
    """Add what a program could not test, and keep what it had tested before."""
    if not any(case[1] is Status.CRASH for case in cases):
        return [*cases, ((), status, why)]
    return [(case[0], status, why) if _never_came(case) else case for case in cases]


def _never_came(case: Case) -> bool:
    """Return whether a case is one that the program did not come to.

    Within another one it is a part of what that reported, which may be a failure.
    """
    path, status, _ = case
    return status is Status.CRASH and len(path) == 1


def _by_status(run: RawRun, status: int) -> Case:
    """Return the leaf of a program whose exit status is all that it says."""
    if status == 0:
        return (), Status.PASS, ""
    output = join(tail(run.stderr), tail(run.stdout, 2 * STDERR_LINES))
    # A shell ends with 2 for a syntax error as well, so the output has to say it, too.
    if status == XFAIL and _XFAIL.search(output):
        return (), Status.XFAIL, output
    worst = {XPASS: Status.XPASS, TIMED_OUT: Status.TIMEOUT}.get(status, Status.FAIL)
    return (), worst, join(f"the program {_ended(status)}", output)


def _ended(status: int | None) -> str:
    if status is None:
        return "ended in an unknown way"
    meaning = {
        XFAIL: " (KSFT_XFAIL)",
        XPASS: " (KSFT_XPASS)",
        TIMED_OUT: " (timeout(1): time is up)",
    }
    return f"exited with {status}{meaning.get(status, '')}"


def _skip_reason(run: RawRun, tree: TestNode) -> str:
    """Return why a program skipped itself: its plan, else the line that says so, else its last."""
    if run.by_status and tree.status is not Status.SKIP:
        lines = itertools.chain(lines_of(run.stderr), lines_of(run.stdout))
        reasons = (_SKIP_HEAD.sub("", line).strip() for line in lines if _SKIPPED.search(line))
        return next(filter(None, reasons), "") or join(tail(run.stderr), tail(run.stdout))
    return tree.message.removeprefix("- ") or tail(run.stderr)  # of TEST_REQUIRE in KVM's


def _skipped_rest(cases: list[Case]) -> list[Case]:
    """Take the planned tests that never came as skipped, where the program says so.

    ksft_exit_skip() after a plan prints one "ok N # SKIP" and exits with 4. CRASH is the
    parser's word alone, for what has no result, so nothing that failed is hidden.
    """
    came = [case[1] for case in cases if case[1] is not Status.CRASH]
    if not came or came[-1] is not Status.SKIP or any(status.bad for status in came):
        return cases
    why = "the program skipped the rest"
    return [(case[0], Status.SKIP, why) if _never_came(case) else case for case in cases]
