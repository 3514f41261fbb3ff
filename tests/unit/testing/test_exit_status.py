"""What a program's exit status says, beside its cases."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linear import assert_linear
from toolkit.core.model.testing import Leaf, Outcome, RawRun, Status
from toolkit.testing import verdicts

SOME = "TAP version 13\n1..3\nok 1 a\n"


def judged(
    stdout: str = "", stderr: str = "", *, status: int, by_status: bool = True
) -> list[Leaf]:
    raw = RawRun("net", "x.sh", Outcome.COMPLETED, status, None, stdout, stderr, 1.5)
    return list(verdicts.judge(dataclasses.replace(raw, by_status=by_status)))


@pytest.mark.parametrize(
    "complaint",
    [
        "./x.sh: 3: ethtool: not found",  # dash
        "./x.sh: line 3: ethtool: command not found",  # bash
        "./x.sh: line 3: ethtool: not found",  # busybox ash
        "./x.sh: line 3: /usr/sbin/ethtool: not found",
        "sh: ethtool: not found",
        "env: can't execute 'ethtool': No such file or directory",  # busybox
        "/usr/bin/env: \u2018ethtool\u2019: No such file or directory",  # coreutils
        "timeout: failed to run command \u2018ethtool\u2019: No such file or directory",
        "bash: ./x.sh: /usr/bin/ethtool: bad interpreter: No such file or directory",
        "./x.sh: its interpreter /usr/bin/ethtool is missing",  # line_buffered.c
    ],
)
@pytest.mark.parametrize("by_status", [True, False])
def test_what_wants_a_program_is_not_testable_here(complaint: str, *, by_status: bool) -> None:
    stderr = f"some more\n{complaint}\nand cleaning up\n"
    for streams in (("", stderr), (stderr, "")):
        (leaf,) = judged(*streams, status=127, by_status=by_status)
        assert (leaf.status, leaf.message) == (Status.SKIP, "not testable here: needs ethtool")


def test_a_missing_program_leaves_the_cases_before_it_as_they_are() -> None:
    stderr = "./x.sh: line 3: jq: command not found\n"
    leaves = judged(SOME, stderr, status=127)
    assert [(leaf.id, leaf.status) for leaf in leaves] == [
        ("net/x.sh/a", Status.PASS),
        ("net/x.sh/2..3", Status.SKIP),
    ]
    assert [leaf.status for leaf in judged("1..1\nok 1 a\n", stderr, status=127)] == [
        Status.PASS,
        Status.SKIP,
    ]
    assert Status.FAIL in [leaf.status for leaf in judged("1..1\nnot ok 1 a\n", stderr, status=127)]


@pytest.mark.parametrize(
    ("stderr", "status"),
    [
        ("./x.sh: line 3: ethtool: command not found\n", 1),  # it went on, and failed
        ("./x.sh: line 3: ./helper: No such file or directory\n", 127),  # a part of the suite
        ("the rule was: not found\n", 127),
        ("", 127),
    ],
)
def test_a_failure_for_another_reason_stays_one(stderr: str, status: int) -> None:
    (leaf,) = judged("", stderr, status=status)
    assert leaf.status is Status.FAIL


@pytest.mark.parametrize(
    "command", [["sh", "-c", "true; ethfool"], ["env", "ethfool"], ["timeout", "9", "ethfool"]]
)
def test_real_shells_are_understood(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    (leaf,) = judged(done.stdout, done.stderr, status=done.returncode)
    assert leaf.message == "not testable here: needs ethfool"


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (2, "XFAIL: this kernel cannot\n", Status.XFAIL),
        (2, "x.sh: 3: Syntax error: end of file unexpected\n", Status.FAIL),
        (3, "it passed\n", Status.XPASS),
        (124, "", Status.TIMEOUT),
        (1, "", Status.FAIL),
        (0, "", Status.PASS),
    ],
)
def test_statuses_are_kselftests(status: int, output: str, expected: Status) -> None:
    (leaf,) = judged("", output, status=status)
    assert leaf.status is expected


def test_an_expected_failure_among_the_cases_explains_status_2() -> None:
    leaves = judged("1..1\nnot ok 1 a # XFAIL not yet\n", status=2)
    assert [leaf.status for leaf in leaves] == [Status.XFAIL]
    assert judged("1..1\nok 1 a\n", status=2)[-1].status is Status.FAIL
    assert judged("1..1\nok 1 a\n", status=124)[-1].status is Status.TIMEOUT


def test_a_flood_is_searched_in_its_end_alone() -> None:
    assert_linear(lambda size: judged("", "a: 1: " * size, status=127), 50_000)


@pytest.mark.parametrize(("status", "stderr"), [(4, ""), (127, "./x.sh: 3: ethtool: not found\n")])
def test_what_was_skipped_hides_no_failure_with_something_missing_in_it(
    status: int, stderr: str
) -> None:
    text = "1..3\n# 1..2\n# ok 1 in\nnot ok 1 a\nok 2 b # SKIP\n"
    leaves = judged(text, stderr, status=status, by_status=False)
    assert {leaf.id: leaf.status for leaf in leaves} == {
        "net/x.sh/a/in": Status.PASS,
        "net/x.sh/a/2": Status.CRASH,
        "net/x.sh/b": Status.SKIP,
        "net/x.sh/3": Status.SKIP,
    }


LINES = [
    *("TAP version 13", "1..0", "1..2", "1..0 # SKIP no", "ok 1 a", "ok 2 b # SKIP", "ok 2 # SKIP"),
    *("not ok 1 # TODO", "Bail out! no", "    1..1", "    ok 1 x", "    # Subtest: s", "ok - y"),
    *(
        "# Subtest: s",
        "# 1..1",
        "# ok 1 q",
        "# TAP version 13",
        "#  RUN           f.c ...",
        "noise",
    ),
    "./x.sh: 3: ethtool: not found",
]
FAILURES = ["not ok 1 a", "not ok 2 b", "not ok - z", "not ok", "    not ok 1 x"]


@given(
    st.tuples(
        st.lists(st.sampled_from(LINES), max_size=6),
        st.sampled_from(FAILURES),
        st.lists(st.sampled_from(LINES), max_size=6),
    ),
    st.sampled_from([0, 1, 2, 3, 4, 124, 126, 127]),
    st.sampled_from(["", "./x.sh: 3: ethtool: not found\n", "skip\n"]),
    st.booleans(),
)
def test_a_failure_that_was_reported_fails_the_program_however_it_ends(
    output: tuple[list[str], str, list[str]], status: int, stderr: str, by: bool
) -> None:
    before, failure, after = output
    text = "\n".join([*before, failure, *after, ""])
    assert any(leaf.status.bad for leaf in judged(text, stderr, status=status, by_status=by))


@given(
    st.lists(st.sampled_from(LINES), max_size=8),
    st.sampled_from([1, 3, 5, 124, 126, 127, 255]),
    st.booleans(),
)
def test_an_exit_status_is_never_without_a_word(lines: list[str], status: int, by: bool) -> None:
    text = "\n".join(line for line in lines if "not found" not in line)
    assert any(leaf.status.bad for leaf in judged(text, status=status, by_status=by))


@pytest.mark.parametrize("status", [1, 126, 127])
@pytest.mark.parametrize(
    "complaint",
    [
        "./run_fuse_test.sh: 23: ./fuse_mnt: not found",  # dash and busybox
        "./run_fuse_test.sh: line 23: ./fuse_mnt: No such file or directory",  # bash
        "timeout: failed to run command './fuse_mnt': No such file or directory",
        "FileNotFoundError: [Errno 2] No such file or directory: './fuse_mnt'",  # Python
    ],
)
def test_what_calls_a_part_of_its_suite_that_does_not_build_is_no_failure(
    complaint: str, status: int
) -> None:
    def judged_with(lacking: dict[str, str], stdout: str = "") -> list[Leaf]:
        stderr = f"hello\n{complaint}\n"
        raw = RawRun("net", "x.sh", Outcome.COMPLETED, status, None, stdout, stderr, 1.5)
        raw = dataclasses.replace(raw, by_status=True, lacking=lacking)
        return list(verdicts.judge(raw))

    why = "could not be built here: needs libfuse"
    lacking = {"fuse_mnt": why}
    (leaf,) = judged_with(lacking)
    assert (leaf.status, leaf.message) == (Status.ERROR, why)
    leaves = judged_with(lacking, SOME)
    assert [leaf.status for leaf in leaves] == [Status.PASS, Status.ERROR]
    leaves = judged_with(lacking, "1..2\nnot ok 1 a\n")
    assert Status.FAIL in [leaf.status for leaf in leaves], "what failed before is one"
    for other in ({}, {"fuse": why}, {"mnt": why}, {"fuse_mnt2": why}):
        (leaf,) = judged_with(other)
        assert leaf.status is Status.FAIL
