from __future__ import annotations

import dataclasses

import pytest

from tests import a_result
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Leaf, Outcome, RawRun, Status
from toolkit.report import view
from toolkit.testing import verdicts

_ABSENT = "No such file or directory"


def test_programs_keep_the_order_in_which_they_ran() -> None:
    programs = view.programs(
        [
            Leaf("k/b/1", Status.PASS, seconds=1.0),
            Leaf("k/a/1", Status.FAIL),
            Leaf("k/b/2", Status.SKIP, seconds=0.5),
        ]
    )
    assert [(each.id, each.bad, each.seconds) for each in programs] == [
        ("k/b", 0, 1.5),
        ("k/a", 1, 0.0),
    ]
    assert [each.worst for each in programs] == [Status.PASS, Status.FAIL]


def test_programs_with_failures_can_come_first() -> None:
    seen = view.of(a_result.failed())
    assert [bool(program.bad) for program in seen.programs_bad_first] == [True] * 3 + [False] * 2
    assert [program.bad for program in seen.failed_programs(2)] == [1, 1]


def test_a_splat_stands_once() -> None:
    seen = view.of(a_result.failed())
    (program,) = (each for each in seen.programs if each.id == a_result.WARNING.during)
    assert program.splats == (a_result.WARNING,)
    assert seen.stray_splats == ()
    dmesg = [leaf for leaf in seen.result.leaves if seen.splats_of(leaf)]
    assert [leaf.id for leaf in dmesg] == ["kvm/iosignalfd_deassign_test/dmesg"]
    assert program.message(dmesg[0]) == ""


def test_a_splat_of_a_program_that_passed_is_a_stray_one() -> None:
    seen = view.of(a_result.passed(splats=(a_result.WARNING,)))
    assert seen.stray_splats == (a_result.WARNING,)


def test_skips_are_counted_by_reason_where_nothing_ran() -> None:
    leaves = [Leaf(f"kvm/a/{number}", Status.SKIP, "no SVM\nmore") for number in range(3)]
    leaves.append(Leaf("kvm/b/1", Status.SKIP))
    seen = view.of(a_result.passed(verdict=Verdict.NO_TESTS, leaves=tuple(leaves)))
    assert seen.skip_reasons == (("no SVM", 3), ("no reason given", 1))
    assert view.of(a_result.passed()).skip_reasons == ()


def test_what_is_not_known_of_the_environment_is_left_out() -> None:
    names = [name for name, _ in view.of(a_result.broken()).environment]
    assert "QEMU" not in names
    assert "Accelerator" not in names
    assert names[0] == "Kernel"


def test_a_program_that_skips_without_tap_says_why_in_its_own_words() -> None:
    run = RawRun("kvm", "a_test", Outcome.COMPLETED, 4, None, "KVM is not available\n", "", 0.1)
    (leaf,) = verdicts.judge(run)
    assert leaf.status is Status.SKIP
    assert view.skip_reasons([leaf, leaf]) == [("KVM is not available", 2)]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("/usr/bin/ld: cannot find -lcap: No such file or directory", True),
        ("tools/testing/selftests/x/a.c:5:10: fatal error: sys/capability.h: " + _ABSENT, True),
        ("kselftests/x/a.c:24:10: fatal error: openssl/bio.h: " + _ABSENT, True),
        ("tools/testing/selftests/x/a.c:5:10: fatal error: linux/kvm.h: " + _ABSENT, False),
        ("virt/kvm/iosignalfd.c:5:10: fatal error: iosignalfd.h: " + _ABSENT, False),
        ("virt/kvm/iosignalfd.c:88:9: error: implicit declaration of function", False),
    ],
)
def test_what_the_host_lacks_is_told_from_what_the_series_breaks(line: str, host: bool) -> None:
    broken = a_result.passed(verdict=Verdict.BUILD_BREAK, leaves=(), detail=("one", line))
    assert view.of(broken).host_at_fault is host
    blamed = dataclasses.replace(broken, blames=(a_result.BLAME,))
    assert not view.of(blamed).host_at_fault
