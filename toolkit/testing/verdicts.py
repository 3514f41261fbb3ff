"""The verdict on a test program and on a run: pure functions from what came to what it means.

:mod:`toolkit.formats.ktap` reads what a program prints. Where a program contradicts itself, it is
always settled against it: it exits with an error although no case failed, a signal or the clock
ends it, the machine goes away below it, the kernel complains.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from toolkit.core.errors import EXIT_KERNEL, EXIT_OK, InfrastructureError
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import Verdict
from toolkit.core.model.series import KnownFailure, PatchSeries
from toolkit.core.model.testing import (
    BuiltSuite,
    Leaf,
    Outcome,
    RawRun,
    Status,
    TestNode,
    TestProgram,
)
from toolkit.core.text import lines_of
from toolkit.formats import ktap
from toolkit.formats.kernel_log_kinds import LOST
from toolkit.formats.ktap_document import worst
from toolkit.testing import exit_status
from toolkit.testing.exit_status import Case
from toolkit.testing.leaf_text import (
    MAX_MESSAGE,
    STDERR_LINES,
    join,
    message_of,
    name_of,
    tail,
    unique_id,
)

REASONS = 10  # shown of why tests were skipped
# Begins the message of a program that lacks something of this host's; no fault of the kernel's.
NOT_BUILT_HERE = "could not be built here: "
_UNREAD = "the kernel may have complained in one of them"
_OF_THE_WHOLE = ((), ("1",))  # what a document of one test calls that without its name

# kselftest_harness.h on standard error: "# FILE:LINE:CASE:what was wanted" of __TH_LOG, and what
# __wait_for_test says of a case that did not end by itself.
_HARNESS_LOG = re.compile(r"# +[^\s:]+:[0-9]+:([^\s:]+):|# ([^\s:]+): Test terminated ")
_BY_TIMEOUT, _BY_SIGNAL = ": Test terminated by timeout", ": Test terminated unexpectedly by signal"


def judge(run: RawRun, known: Sequence[KnownFailure] = ()) -> tuple[Leaf, ...]:
    """Return the leaves of one test program, in the order in which they came.

    Their ids are ``suite/program/case``, or ``suite/program`` for what concerns the program as
    a whole; they are made of visible characters, bounded, and unique. There is at least one.
    Of a program that was to run one case, what concerns the whole is that case's.
    """
    whole = run.outcome is Outcome.COMPLETED and run.signal is None
    tree = ktap.parse_text(run.stdout, complete=whole, more=run.cut and whole)
    cases = list(_flatten(tree, ()))
    if run.outcome is Outcome.COMPLETED and run.signal is None:
        cases = exit_status.weigh(run, tree, cases)
    else:
        cases = _interrupted(run, cases)
    if run.splats:
        cases.append((("dmesg",), *_splat_status(run.splats)))
    elif run.outcome is Outcome.COMPLETED and run.note:
        cases.append((("dmesg",), Status.ERROR, run.note))
    return tuple(mark_known(_leaves(run, cases, _durations(run, tree)), known))


def joined(parts: Iterable[Sequence[Leaf]]) -> tuple[Leaf, ...]:
    """Return the leaves of a program whose cases ran one by one, each id once, at its worst."""
    by_id: dict[str, Leaf] = {}
    for leaf in itertools.chain.from_iterable(parts):
        earlier = by_id.get(leaf.id)
        if earlier is None:
            by_id[leaf.id] = leaf
            continue
        status = worst((earlier.status, leaf.status)) or leaf.status
        message = message_of(join(earlier.message, leaf.message))
        by_id[leaf.id] = replace(earlier, status=status, message=message)
    return tuple(by_id.values())


def dmesg_leaf(prefix: str, splats: Sequence[Splat]) -> Leaf:
    """Return the failing leaf ``prefix/dmesg`` of splats that belong to no test program."""
    status, message = _splat_status(splats)
    return Leaf(f"{prefix}/dmesg", status, message_of(message))


def mark_known(leaves: Iterable[Leaf], known: Sequence[KnownFailure]) -> list[Leaf]:
    """Return ``leaves`` with the known failures among them as XFAIL, or XPASS if they pass."""
    return [_marked(leaf, _entry(leaf, known)) for leaf in leaves]


def merely_allowed(leaf: Leaf, known: Sequence[KnownFailure]) -> bool:
    """Return whether a leaf that failed as expected is one that nobody was certain of."""
    entry = _entry(leaf, known) if leaf.status is Status.XFAIL else None
    return entry is not None and not entry.certain


def known_here(
    series: PatchSeries | None, suites: Iterable[BuiltSuite], accelerator: str
) -> tuple[KnownFailure, ...]:
    """Return what may fail under an accelerator: as the series says, and as the suites allow."""
    entries = list(series.known_failures if series else ())
    for built in suites:
        entries += [replace(entry, changed=built.changed) for entry in built.allowed]
    return tuple(entry for entry in entries if entry.accel in ("", accelerator))


def unstarted(program: TestProgram, known: Sequence[KnownFailure]) -> Leaf | None:
    """Return the leaf of a program that there is no use in starting; None for all others."""
    name = f"{program.suite}/{program.name}"
    if program.unbuilt:
        leaf = Leaf(name, Status.ERROR, message_of(program.unbuilt))
        return _marked(leaf, _entry(leaf, known))
    entry = next((entry for entry in known if not entry.start and _matches(entry, name)), None)
    if entry is None or name in entry.changed:
        return None  # what the series changes has to run
    return Leaf(name, Status.SKIP, message_of(f"not run: {entry.reason}"))


def stale(leaves: Iterable[Leaf], known: Sequence[KnownFailure]) -> list[str]:
    """Return a notice for each known failure that a whole run has shown to be none."""
    statuses = {leaf.id: leaf.status for leaf in leaves}
    notices, gone, passed = [], [], []
    for entry in known:
        matched = {status for name, status in statuses.items() if _matches(entry, name)}
        if not matched and entry.certain:
            notices.append(f"known failure {entry.test}: no test is called so any more")
        elif not matched:
            gone.append(entry.test)
        elif matched == {Status.PASS} and not entry.certain:
            passed.append(entry.test)
    if gone:
        notices.append(f"allowed to fail, but there is no such test: {', '.join(gone)}")
    if passed:
        notices.append(f"allowed to fail, but passed: {', '.join(passed)}")
    return notices


def verdict(leaves: Iterable[Leaf]) -> tuple[Verdict, int]:
    """Return the verdict and the exit code of a run that got as far as its tests.

    No leaf at all, or none but skipped ones, is NO_TESTS and exit code 1: it is not a pass. Where
    nothing is amiss but what this host could not build, it is the host's fault.
    """
    leaves = tuple(leaves)
    bad = [leaf for leaf in leaves if leaf.status.bad]
    if bad and all(_not_built_here(leaf) for leaf in bad):
        return Verdict.INFRASTRUCTURE, InfrastructureError.exit_code
    if bad:
        return Verdict.FAIL, EXIT_KERNEL
    if all(leaf.status is Status.SKIP for leaf in leaves):
        return Verdict.NO_TESTS, EXIT_KERNEL
    return Verdict.PASS, EXIT_OK


def reason(leaves: Iterable[Leaf]) -> str:
    """Return why a run that got as far as its tests was no judgement of the kernel; "" if it was.

    That is what kept programs from being built on this host, or why every test was skipped.
    """
    leaves = tuple(leaves)
    verdict_, _ = verdict(leaves)
    if verdict_ is Verdict.INFRASTRUCTURE:
        lines = Counter(leaf.message.split("\n")[0] for leaf in leaves if leaf.status.bad)
        return "\n".join(f"{_programs(count)} {line}" for line, count in lines.most_common())
    if verdict_ is not Verdict.NO_TESTS or not leaves:
        return ""
    lines = Counter(leaf.message.split("\n")[0] or "no reason given" for leaf in leaves)
    return "\n".join(f"{count} skipped: {line}" for line, count in lines.most_common(REASONS))


def _programs(count: int) -> str:
    return f"{count} program{'s' if count != 1 else ''}"


def _not_built_here(leaf: Leaf) -> bool:
    return leaf.status is Status.ERROR and leaf.message.startswith(NOT_BUILT_HERE)


def counts(leaves: Iterable[Leaf]) -> Mapping[Status, int]:
    """Return how many leaves have each status; every status is a key, the worst ones first."""
    number = dict.fromkeys(Status, 0)
    for leaf in leaves:
        number[leaf.status] += 1
    return number


# --- one program ---------------------------------------------------------------------------


def _flatten(node: TestNode, path: tuple[str, ...]) -> Iterator[Case]:
    """Yield the leaves; also a parent that is worse than each of them.

    What is wrong with it would be lost where those below it are known failures.
    """
    for child in node.children:
        below = (*path, child.name)
        if not child.children:
            yield below, child.status, child.message
            continue
        inner = list(_flatten(child, below))
        yield from inner
        if child.status.bad and child.status is not worst(case[1] for case in inner):
            yield below, child.status, child.message


def _interrupted(run: RawRun, cases: list[Case]) -> list[Case]:
    """Blame what ended the program on the case that was running, or on the program."""
    status = Status.TIMEOUT if run.outcome is Outcome.TIMED_OUT else Status.CRASH
    why = join(_ending(run), tail(run.stderr))
    unfinished = [at for at, case in enumerate(cases) if case[1] is Status.CRASH]
    for at in unfinished:
        path, _, message = cases[at]
        cases[at] = (path, status, join(why, message) if at == unfinished[0] else message)
    if not unfinished:
        cases.append(((), status, why))
    return cases


def _ending(run: RawRun) -> str:
    """Return in words what ended a program that did not end by itself."""
    if run.outcome is Outcome.TIMED_OUT:
        return run.note or f"it did not end within {run.seconds:.0f} s"
    if run.outcome is Outcome.PANICKED:
        fatal = next((splat.title for splat in run.splats if splat.fatal), "")
        return join(run.note, "" if fatal in run.note else fatal) or "the kernel panicked"
    if run.outcome is Outcome.LOST:
        return run.note or "the machine was lost"
    name = run.signal or ""
    return f"killed by SIG{name.removeprefix('SIG')}"


def _splat_status(splats: Sequence[Splat]) -> tuple[Status, str]:
    """Return what the kernel's complaints make of a program: each title once, in order.

    Where messages were dropped and nothing else is known, the program could not be judged.
    """
    status = Status.CRASH if any(splat.fatal for splat in splats) else Status.FAIL
    lines = list(dict.fromkeys(splat.title for splat in splats))
    if all(splat.kind == LOST for splat in splats):
        return Status.ERROR, "\n".join([*lines, _UNREAD])
    return status, "\n".join(lines)


def _durations(run: RawRun, tree: TestNode) -> Mapping[tuple[str, ...], float]:
    """Return how long each case of the top level took, from when its line came.

    Nothing where lines and cases do not correspond one to one.
    """
    if len(run.marks) != len(tree.children):
        return {}
    names = [(child.name,) for child in tree.children if not child.children]
    starts = (0.0, *run.marks)
    took = [round(end - start, 3) for start, end in zip(starts, run.marks, strict=False)]
    return dict(zip(names, took, strict=True)) if len(names) == len(took) else {}


def _leaves(
    run: RawRun, cases: list[Case], took: Mapping[tuple[str, ...], float]
) -> Iterator[Leaf]:
    assertions = _harness_logs(run.stderr)
    taken: dict[str, int] = {}
    whole = run.seconds if len(cases) == 1 else None
    for reported, first, message in cases:
        path = (run.case,) if run.case and reported in _OF_THE_WHOLE else reported
        full, status = message, first
        if status.bad and path:
            logs = assertions.get(path[-1].rpartition(".")[2], ())
            full, status = join(message, *logs), _sharpened(status, logs)
        yield Leaf(
            unique_id("/".join(map(name_of, (run.suite, run.program, *path))), taken),
            status,
            message_of(full),
            took.get(reported, whole),
        )


def _sharpened(status: Status, logs: Sequence[str]) -> Status:
    """Return what a FAIL really was, where the harness ended the case itself."""
    if status is Status.FAIL and any(_BY_TIMEOUT in line for line in logs):
        return Status.TIMEOUT
    if status is Status.FAIL and any(_BY_SIGNAL in line for line in logs):
        return Status.CRASH
    return status


def _harness_logs(stderr: str) -> Mapping[str, list[str]]:
    """Return the lines of kselftest_harness.h's assertions by the name of the case."""
    logs: dict[str, list[str]] = defaultdict(list)
    for line in lines_of(stderr):
        match = _HARNESS_LOG.match(line)
        name = match and (match[1] or match[2])
        if name and len(logs[name]) < STDERR_LINES:
            logs[name].append(line.rstrip("\n")[:MAX_MESSAGE].removeprefix("# "))
    return logs


# --- known failures ------------------------------------------------------------------------


def _matches(entry: KnownFailure, leaf_id: str) -> bool:
    if not entry.certain and leaf_id.endswith("/dmesg") and not entry.test.endswith("/dmesg"):
        return False  # that a test fails is no leave for the kernel to complain
    return entry.test == leaf_id or fnmatchcase(leaf_id, entry.test)


def _entry(leaf: Leaf, known: Sequence[KnownFailure]) -> KnownFailure | None:
    return next((entry for entry in known if _matches(entry, leaf.id)), None)


def _marked(leaf: Leaf, entry: KnownFailure | None) -> Leaf:
    if entry is None or leaf.status is Status.SKIP:
        return leaf
    if leaf.status is Status.PASS and not entry.certain:
        return leaf
    if leaf.status in (Status.PASS, Status.XPASS):
        why = join("it is listed as a known failure, but it passed", leaf.message)
        return replace(leaf, status=Status.XPASS, message=why, known=entry.reason)
    if leaf.status.unfinished and _program_of(leaf) in entry.changed:
        why = f"that is allowed ({entry.reason}), but not of a test that the series changes"
        return leaf if why in leaf.message else replace(leaf, message=join(why, leaf.message))
    return replace(leaf, status=Status.XFAIL, known=entry.reason)


def _program_of(leaf: Leaf) -> str:
    return "/".join(leaf.id.split("/", 2)[:2])
