from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linear import assert_linear
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import Verdict
from toolkit.core.model.series import KnownFailure, PatchSeries
from toolkit.core.model.testing import BuiltSuite, Leaf, Outcome, RawRun, Status, TestProgram
from toolkit.core.text import visible
from toolkit.testing import leaf_text, verdicts

WARN = Splat("warning", "WARNING: CPU: 0 PID: 1 at a.c:1", "the whole report", False, 7)
PANIC = Splat("panic", "Kernel panic - not syncing: bad", "the whole report", True, 9)
GOOD = "TAP version 13\n1..2\nok 1 a\nok 2 b\n"
DIED = "TAP version 13\n1..3\nok 1 a\n#  RUN           f.case ...\n"


def run(stdout: str = GOOD, **changes: object) -> RawRun:
    base = RawRun("kvm", "prog", Outcome.COMPLETED, 0, None, stdout, "", 1.5)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def statuses(leaves: tuple[Leaf, ...]) -> dict[str, Status]:
    return {leaf.id: leaf.status for leaf in leaves}


def test_a_program_after_which_nobody_knows_what_the_kernel_logged_has_an_error() -> None:
    leaves = verdicts.judge(run(note="after the program, kernel.printk is 1"))
    assert statuses(leaves)["kvm/prog/dmesg"] is Status.ERROR
    assert leaves[-1].message == "after the program, kernel.printk is 1"


def test_good_program() -> None:
    assert statuses(verdicts.judge(run())) == {
        "kvm/prog/a": Status.PASS,
        "kvm/prog/b": Status.PASS,
    }


def test_nested_names_and_a_parent_that_fails_alone() -> None:
    text = "1..2\n  1..1\n  ok 1 in\nnot ok 1 out\n  1..1\n  not ok 1 in\nnot ok 2 two\n"
    assert statuses(verdicts.judge(run(text))) == {
        "kvm/prog/out/in": Status.PASS,
        "kvm/prog/out": Status.FAIL,
        "kvm/prog/two/in": Status.FAIL,
    }


def test_a_known_failure_does_not_hide_that_its_parent_never_ended() -> None:
    text = "TAP version 13\n1..1\n  1..1\n  not ok 1 in\n"
    known = [KnownFailure("kvm/prog/out/in", "of old"), KnownFailure("kvm/prog/1/in", "of old")]
    assert statuses(verdicts.judge(run(text), known)) == {
        "kvm/prog/1/in": Status.XFAIL,
        "kvm/prog/1": Status.CRASH,
    }
    late = verdicts.judge(run(f"{text}not ok 1 out # TIMEOUT 45 seconds\n"), known)
    assert statuses(late) == {"kvm/prog/out/in": Status.XFAIL, "kvm/prog/out": Status.TIMEOUT}


def test_what_was_printed_and_not_kept_is_no_pass() -> None:
    leaves = verdicts.judge(run("TAP version 13\nok 1 a\n", cut=True))
    assert statuses(leaves) == {"kvm/prog/a": Status.PASS, "kvm/prog/flood": Status.ERROR}
    assert "more than is kept" in leaves[1].message
    assert statuses(verdicts.judge(run(cut=True))) == statuses(verdicts.judge(run()))
    late = run("TAP version 13\nok 1 a\n", cut=True, outcome=Outcome.TIMED_OUT, exit_status=None)
    assert statuses(verdicts.judge(late)) == {
        "kvm/prog/a": Status.PASS,
        "kvm/prog": Status.TIMEOUT,  # which says enough
    }
    noise = run("noise\n", cut=True, by_status=True)
    assert statuses(verdicts.judge(noise)) == {"kvm/prog": Status.PASS}


def test_exit_status_contradicts_the_cases() -> None:
    leaf = verdicts.judge(run(exit_status=1, stderr="what went wrong\n"))[-1]
    assert (leaf.id, leaf.status) == ("kvm/prog", Status.FAIL)
    assert "exited with 1" in leaf.message
    assert "what went wrong" in leaf.message


def test_exit_status_of_a_failed_case_adds_no_leaf() -> None:
    leaves = verdicts.judge(run("1..1\nnot ok 1 a\n", exit_status=1))
    assert statuses(leaves) == {"kvm/prog/a": Status.FAIL}


@pytest.mark.parametrize("stdout", ["", "TAP version 13\n", "hello\n"])
def test_no_case_is_an_error(stdout: str) -> None:
    (leaf,) = verdicts.judge(run(stdout))
    assert (leaf.id, leaf.status, leaf.seconds) == ("kvm/prog", Status.ERROR, 1.5)


@pytest.mark.parametrize("stdout", ["", "1..0 # SKIP no KVM", "no KVM\n"])
def test_exit_status_4_without_a_case_is_a_skip(stdout: str) -> None:
    (leaf,) = verdicts.judge(run(stdout, exit_status=4))
    assert (leaf.id, leaf.status) == ("kvm/prog", Status.SKIP)
    assert ("no KVM" in leaf.message) == bool(stdout)


def test_empty_plan_with_an_error_exit_is_no_skip() -> None:
    (leaf,) = verdicts.judge(run("1..0 # SKIP why\n", exit_status=1))
    assert leaf.status is Status.ERROR


def test_skip_in_the_middle_skips_the_rest() -> None:
    text = "1..9\nok 1 a\nok 2 # SKIP no AVIC"
    assert statuses(verdicts.judge(run(text, exit_status=4))) == {
        "kvm/prog/a": Status.PASS,
        "kvm/prog/2": Status.SKIP,
        "kvm/prog/3..9": Status.SKIP,
    }
    for stdout, status in [(text, 0), (text.replace("ok 1", "not ok 1"), 4)]:
        leaves = verdicts.judge(run(stdout, exit_status=status))
        assert statuses(leaves)["kvm/prog/3..9"] is Status.CRASH


def test_signal_is_a_crash_of_the_running_case() -> None:
    leaves = verdicts.judge(run(DIED, exit_status=None, signal="SEGV"))
    assert statuses(leaves) == {
        "kvm/prog/a": Status.PASS,
        "kvm/prog/f.case": Status.CRASH,
        "kvm/prog/3": Status.CRASH,
    }
    assert "killed by SIGSEGV" in leaves[1].message
    assert "SIGSEGV" not in leaves[2].message


def test_signal_after_all_cases_is_a_crash_of_the_program() -> None:
    leaf = verdicts.judge(run(exit_status=None, signal="SIGABRT"))[-1]
    assert (leaf.id, leaf.status) == ("kvm/prog", Status.CRASH)
    assert "killed by SIGABRT" in leaf.message


def test_timeout_of_the_running_case() -> None:
    leaves = verdicts.judge(run(DIED, outcome=Outcome.TIMED_OUT, exit_status=None, note="45 s"))
    assert statuses(leaves)["kvm/prog/f.case"] is Status.TIMEOUT
    assert leaves[1].message.startswith("45 s")


@pytest.mark.parametrize("stdout", ["", GOOD])
def test_timeout_with_no_running_case_is_the_program_s(stdout: str) -> None:
    leaf = verdicts.judge(run(stdout, outcome=Outcome.TIMED_OUT, exit_status=None))[-1]
    assert (leaf.id, leaf.status) == ("kvm/prog", Status.TIMEOUT)


def test_panic_names_itself() -> None:
    changes = {"outcome": Outcome.PANICKED, "exit_status": None, "splats": (PANIC,)}
    leaves = verdicts.judge(run(DIED, **changes))
    assert "Kernel panic - not syncing: bad" in leaves[1].message
    assert statuses(leaves)["kvm/prog/dmesg"] is Status.CRASH


def test_line_that_a_lost_machine_cut_is_no_pass() -> None:
    leaves = verdicts.judge(run("1..1\nok 1 a", outcome=Outcome.LOST, note="QEMU went away"))
    assert statuses(leaves) == {"kvm/prog/a": Status.CRASH}
    assert "QEMU went away" in leaves[0].message


def test_splat_fails_a_good_program() -> None:
    leaf = verdicts.judge(run(splats=(WARN, WARN)))[-1]
    assert leaf == Leaf("kvm/prog/dmesg", Status.FAIL, WARN.title)


def test_splat_outside_of_programs() -> None:
    assert verdicts.dmesg_leaf("boot", [WARN]).id == "boot/dmesg"


def test_a_program_whose_kernel_log_has_gaps_could_not_be_judged() -> None:
    lost = Splat("lost-messages", "** 3 printk messages dropped **", "…", fatal=False, line=9)
    leaf = verdicts.judge(run("ok 1 a\n", splats=(lost,)))[-1]
    assert leaf.status is Status.ERROR
    assert leaf.message == f"{lost.title}\nthe kernel may have complained in one of them"
    leaf = verdicts.judge(run("ok 1 a\n", splats=(lost, WARN)))[-1]
    assert (leaf.status, leaf.message) == (Status.FAIL, f"{lost.title}\n{WARN.title}")


def test_assertion_on_standard_error_reaches_its_case() -> None:
    stderr = "# a_test.c:12:case:Expected 1 (1) == n (0)\n# a_test.c:13:other:nothing\n"
    (leaf,) = verdicts.judge(run("1..1\nnot ok 1 f.v.case\n", exit_status=1, stderr=stderr))
    assert leaf.message == "a_test.c:12:case:Expected 1 (1) == n (0)"


def test_known_failures() -> None:
    known = [KnownFailure("kvm/prog/b*", "finding 2"), KnownFailure("kvm/*/a", "finding 3")]
    leaves = verdicts.judge(run("1..3\nok 1 a\nnot ok 2 bad\nok 3 c\n", exit_status=1), known)
    assert [(leaf.status, leaf.known) for leaf in leaves] == [
        (Status.XPASS, "finding 3"),
        (Status.XFAIL, "finding 2"),
        (Status.PASS, ""),
    ]
    assert verdicts.verdict(leaves) == (Verdict.FAIL, 1)


def test_known_failure_that_is_skipped_stays_skipped() -> None:
    (leaf,) = verdicts.judge(run("1..1\nok 1 a # SKIP\n"), [KnownFailure("*", "why")])
    assert leaf.status is Status.SKIP


def allowed(test: str, **changes: object) -> KnownFailure:
    return dataclasses.replace(KnownFailure(test, "no VMX", certain=False), **changes)  # type: ignore[arg-type]


def test_an_allowed_failure_may_pass() -> None:
    leaves = verdicts.judge(run("1..2\nok 1 a\nnot ok 2 b\n"), [allowed("kvm/prog/*")])
    assert [(leaf.status, leaf.known) for leaf in leaves] == [
        (Status.PASS, ""),
        (Status.XFAIL, "no VMX"),
    ]


def test_an_allowed_failure_does_not_allow_a_splat_unless_it_says_so() -> None:
    (*_, leaf) = verdicts.judge(run(splats=(WARN,)), [allowed("kvm/prog/*")])
    assert (leaf.id, leaf.status) == ("kvm/prog/dmesg", Status.FAIL)
    (*_, leaf) = verdicts.judge(run(splats=(WARN,)), [allowed("kvm/*/dmesg")])
    assert leaf.status is Status.XFAIL


def test_what_is_allowed_under_one_accelerator_is_not_under_another() -> None:
    entries = (allowed("a"), allowed("b", accel="tcg"), allowed("c", accel="kvm"))
    built = BuiltSuite("kvm", Path(), (), entries)
    series = PatchSeries("v1", "t", "6.12", (), known_failures=(KnownFailure("s", "x"),))

    def found(accelerator: str) -> str:
        known = verdicts.known_here(series, [built], accelerator)
        return "".join(each.test for each in known)

    assert (found("tcg"), found("kvm")) == ("sab", "sac")
    assert verdicts.known_here(None, [], "tcg") == ()


def test_a_list_gone_stale_is_told() -> None:
    leaves = verdicts.judge(run("1..3\nok 1 a\nnot ok 2 b\nok 3 c # SKIP\n"))
    known = [
        KnownFailure("kvm/gone/*", "x"),
        KnownFailure("kvm/prog/[ab]", "y"),
        *(allowed(f"kvm/prog/{name}") for name in "abc"),
        *(allowed(f"kvm/{name}") for name in ("old", "older")),
    ]
    assert verdicts.stale(leaves, known) == [
        "known failure kvm/gone/*: no test is called so any more",
        "allowed to fail, but there is no such test: kvm/old, kvm/older",
        "allowed to fail, but passed: kvm/prog/a",
    ]


def test_a_program_that_is_not_started_has_a_leaf() -> None:
    program = TestProgram("kvm", "prog", 30.0)
    listed = allowed("kvm/p*", start=False)
    assert verdicts.unstarted(program, [allowed("kvm/prog")]) is None
    leaf = verdicts.unstarted(program, [listed])
    assert leaf == Leaf("kvm/prog", Status.SKIP, "not run: no VMX")
    unbuilt = dataclasses.replace(program, unbuilt="a.c:1: error: \x1b[2J")
    assert verdicts.unstarted(unbuilt, []) == Leaf(
        "kvm/prog", Status.ERROR, "a.c:1: error: \\x1b[2J"
    )
    leaf = verdicts.unstarted(unbuilt, [listed])
    assert leaf
    assert leaf.status is Status.XFAIL


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "expected", "message"),
    [
        (0, "", "", Status.PASS, ""),
        (0, "all is well\n", "warning\n", Status.PASS, ""),
        (0, "1..0 # SKIP no VMX\n", "", Status.SKIP, "no VMX"),
        (1, "in\nout\n", "assert\n", Status.FAIL, "the program exited with 1\nassert\nin\nout"),
        (127, "", "", Status.FAIL, "the program exited with 127"),
        (4, "1..0 # SKIP no VMX\n", "noise\n", Status.SKIP, "no VMX"),
        (4, "1..0 # SKIP - no VMX\n", "", Status.SKIP, "no VMX"),
        (4, "seed 1\nno MCE, skipping test\n", "", Status.SKIP, "no MCE, skipping test"),
        (4, "begin\n", "test: [SKIP] no RTC\n", Status.SKIP, "test: [SKIP] no RTC"),
        (4, "# SKIP\n[SKIP]\tno RTC\n", "", Status.SKIP, "no RTC"),
        (4, "one\ntwo\n", "three\n", Status.SKIP, "three\none\ntwo"),
        (4, "", "", Status.SKIP, ""),
        (None, "", "", Status.ERROR, "the program ended in an unknown way"),
    ],
)
def test_a_program_without_cases_may_be_judged_by_its_status(
    status: int | None, stdout: str, stderr: str, expected: Status, message: str
) -> None:
    (leaf,) = verdicts.judge(run(stdout, exit_status=status, stderr=stderr, by_status=True))
    assert (leaf.id, leaf.status) == ("kvm/prog", expected)
    assert leaf.message.startswith(message)
    assert leaf.message == message or status is None


def test_cases_count_even_where_the_status_would_do() -> None:
    leaves = verdicts.judge(run("1..2\nok 1 a\nnot ok 2 b\n", by_status=True))
    assert statuses(leaves) == {"kvm/prog/a": Status.PASS, "kvm/prog/b": Status.FAIL}


@given(st.text(), st.text(), st.sampled_from([0, 1, 4, 127]))
def test_what_is_judged_by_status_never_passes_with_an_error_exit(
    stdout: str, stderr: str, status: int
) -> None:
    leaves = verdicts.judge(run(stdout, stderr=stderr, exit_status=status, by_status=True))
    assert leaves
    assert status in (0, 4) or any(leaf.status.bad for leaf in leaves)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], (Verdict.NO_TESTS, 1)),
        ([Status.SKIP], (Verdict.NO_TESTS, 1)),
        ([Status.SKIP, Status.PASS], (Verdict.PASS, 0)),
        ([Status.XFAIL], (Verdict.PASS, 0)),
        ([Status.PASS, Status.XPASS], (Verdict.FAIL, 1)),
        ([Status.PASS, Status.CRASH], (Verdict.FAIL, 1)),
    ],
)
def test_verdict(found: list[Status], expected: tuple[Verdict, int]) -> None:
    assert verdicts.verdict(Leaf(str(at), each) for at, each in enumerate(found)) == expected


def test_counts_have_every_status() -> None:
    found = verdicts.counts(verdicts.judge(run()))
    assert list(found) == list(Status)
    assert found[Status.PASS] == 2
    assert sum(found.values()) == 2


def test_ids_are_harmless_bounded_and_unique() -> None:
    names = ["a/b", "a/b", "\x1b[2J\u202e", "x" * 5000, "x" * 5001, "a/b#2"]
    text = "".join(f"ok {at} {name}\n" for at, name in enumerate(names, 1))
    ids = [leaf.id for leaf in verdicts.judge(run(f"1..{len(names)}\n{text}"))]
    assert ids[:2] == ["kvm/prog/a/b", "kvm/prog/a/b#2"]
    assert ids[2] == "kvm/prog/\\u202e"
    assert ids[5] == "kvm/prog/a/b#2#2"
    assert len(set(ids)) == len(names)
    assert all(len(each) <= leaf_text.MAX_ID for each in ids)


runs = st.builds(
    RawRun,
    st.just("s"),
    st.just("p"),
    st.sampled_from(Outcome),
    st.one_of(st.none(), st.integers(0, 255)),
    st.one_of(st.none(), st.sampled_from(["SEGV", "KILL"])),
    st.one_of(st.text(), st.sampled_from([GOOD, DIED, "1..0", "ok 1 a"])),
    st.text(),
    st.just(1.0),
    st.lists(st.sampled_from([WARN, PANIC]), max_size=2).map(tuple),
)


@given(runs)
def test_only_a_clean_end_can_be_good(raw: RawRun) -> None:
    leaves = verdicts.judge(raw)
    assert leaves
    assert len({leaf.id for leaf in leaves}) == len(leaves)
    assert all(visible(leaf.id) == leaf.id for leaf in leaves)
    clean = raw.outcome is Outcome.COMPLETED and raw.signal is None and raw.exit_status in (0, 4)
    if not clean or raw.splats:
        assert verdicts.verdict(leaves) == (Verdict.FAIL, 1)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("by timeout", Status.TIMEOUT),
        ("unexpectedly by signal 11", Status.CRASH),
        ("by assertion", Status.FAIL),
    ],
)
def test_a_case_that_the_harness_ended_says_how(words: str, status: Status) -> None:
    stderr = f"# case: Test terminated {words}\n# other: Test terminated by timeout\n"
    (leaf,) = verdicts.judge(run("1..1\nnot ok 1 f.v.case\n", exit_status=1, stderr=stderr))
    assert leaf.status is status
    assert leaf.message == f"case: Test terminated {words}"


def test_each_case_took_the_time_between_two_lines() -> None:
    leaves = verdicts.judge(run("1..3\nok 1 a\nok 2 b # SKIP no\nok 3 c\n", marks=(0.5, 0.75, 2.0)))
    assert [leaf.seconds for leaf in leaves] == [0.5, 0.25, 1.25]
    cut = verdicts.judge(run("1..3\nok 1 a\nok 2 b\n", marks=(0.5, 0.75)))
    assert [leaf.seconds for leaf in cut] == [None] * 3


def test_what_the_series_changes_has_to_end() -> None:
    programs = TestProgram("kvm", "mine", 1.0, touched=True), TestProgram("kvm", "other", 1.0)
    built = BuiltSuite("kvm", Path("/p"), programs, (allowed("kvm/*"),))
    known = verdicts.known_here(None, [built], "tcg")
    bad = [Leaf(f"kvm/{name}", Status.TIMEOUT, "too slow") for name in ("mine/a", "mine", "other")]
    mine, whole, other = verdicts.mark_known(bad, known)
    assert (mine.status, whole.status) == (Status.TIMEOUT, Status.TIMEOUT)
    assert mine.message.endswith("but not of a test that the series changes\ntoo slow")
    assert verdicts.mark_known([mine], known) == [mine]
    assert other.status is Status.XFAIL
    # That it fails is allowed: it came to its end.
    (failed,) = verdicts.mark_known([Leaf("kvm/mine/a", Status.FAIL)], known)
    assert failed.status is Status.XFAIL
    assert verdicts.verdict([mine, other])[0] is Verdict.FAIL


def test_what_the_series_changes_has_to_start() -> None:
    program = TestProgram("kvm", "mine", 1.0, touched=True)
    entry = KnownFailure("kvm/mine", "takes hours", certain=False, start=False)
    built = BuiltSuite("kvm", Path("/p"), (program,), (entry,))
    assert verdicts.unstarted(program, verdicts.known_here(None, [built], "tcg")) is None
    unbuilt = dataclasses.replace(program, unbuilt="a.c:1: error")
    leaf = verdicts.unstarted(unbuilt, verdicts.known_here(None, [built], "tcg"))
    assert leaf
    assert leaf.status is Status.ERROR


def test_what_this_host_cannot_build_is_its_own_fault() -> None:
    here = [Leaf(f"c/{name}", Status.ERROR, f"{verdicts.NOT_BUILT_HERE}needs x.h") for name in "ab"]
    good, bad = Leaf("k/a", Status.PASS), Leaf("k/b", Status.FAIL)
    assert verdicts.verdict([*here, good]) == (Verdict.INFRASTRUCTURE, 3)
    assert verdicts.reason([*here, good]) == "2 programs could not be built here: needs x.h"
    assert verdicts.verdict([*here, good, bad]) == (Verdict.FAIL, 1)
    assert verdicts.reason([good]) == verdicts.reason([bad, *here]) == verdicts.reason([]) == ""


def test_reason_why_no_test_ran() -> None:
    leaves = [Leaf(f"k/{n}", Status.SKIP, "no SVM\nmore" if n else "") for n in range(4)]
    assert verdicts.reason(leaves) == "3 skipped: no SVM\n1 skipped: no reason given"
    many = [Leaf(f"k/{n}", Status.SKIP, str(n)) for n in range(50)]
    assert len(verdicts.reason(many).split("\n")) == verdicts.REASONS


@pytest.mark.parametrize(
    "line", ["ok - x", "not ok - x#2", "ok 1 x", "# k.c:1:x:wanted", "", "x..ok 2 b"]
)
def test_time_is_linear(line: str) -> None:
    assert_linear(
        lambda size: verdicts.judge(run(f"{line}\n" * size, stderr=f"{line}\n" * size)), 5000
    )
