from __future__ import annotations

import shlex

import pytest

from tests import a_result
from toolkit.core.model.result import Verdict
from toolkit.report import wording
from toolkit.testing import leaf_ids


@pytest.mark.parametrize(
    ("leaf_id", "parts"),
    [
        ("kvm/match/case", ("kvm", "match", "case")),
        ("kvm/match/case/deeper", ("kvm", "match", "case/deeper")),
        ("kvm/match", ("kvm", "match", "")),
        ("boot/dmesg", ("boot", "", "dmesg")),
        ("boot-2/dmesg", ("boot-2", "", "dmesg")),
        ("bootstrap/x", ("bootstrap", "x", "")),
    ],
)
def test_an_id_has_three_parts(leaf_id: str, parts: tuple[str, str, str]) -> None:
    assert leaf_ids.split(leaf_id) == parts


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("toolkit build-and-test -p v4", "toolkit build-and-test -p v4 --suite kvm --test args"),
        (
            "toolkit test --from dir --test 'a*' -t b -tc --suite=x -s y --slow",
            "toolkit test --from dir --slow --suite kvm --test args",
        ),
    ],
)
def test_a_repetition_names_one_program_and_keeps_the_rest(given: str, wanted: str) -> None:
    result = a_result.passed(command=tuple(shlex.split(given)))
    assert wording.repeat(result, "kvm/args/case") == wanted


def test_a_program_s_name_is_no_pattern() -> None:
    command = shlex.split(wording.repeat(a_result.passed(), "kvm/a[b]*/case"))
    assert command[-1] == "a[[]b][*]"


def test_a_boot_is_repeated_without_tests() -> None:
    command = ("toolkit", "build-and-test", "-p", "v4", "--slow", "-t", "x", "-s", "kvm")
    result = a_result.passed(command=command)
    assert wording.repeat(result, "boot/dmesg") == "toolkit boot -p v4 -s kvm"


def test_a_repetition_is_no_part_of_the_programs() -> None:
    result = a_result.passed(command=("toolkit", "test", "--from", "b", "--shard", "2/4"))
    assert wording.repeat(result, "kvm/a/b") == "toolkit test --from b --suite kvm --test a"
    assert wording.repeat(result, "boot/dmesg") == "toolkit boot --from b"


def test_a_repetition_asks_for_no_percentage() -> None:
    words = ("toolkit", "build-and-test", "--coverage", "-p", "v4", "--coverage-fail-under", "95")
    result = a_result.passed(command=words)
    alone = "toolkit build-and-test --coverage -p v4 --suite kvm --test args"
    assert wording.repeat(result, "kvm/args/case") == alone
    result = a_result.passed(command=(*words[:2], *words[3:5], "--coverage"))
    assert wording.repeat(result, "boot/dmesg") == "toolkit boot -p v4"


def test_why_says_what_failed_and_whose_fault_it_is() -> None:
    assert wording.why(a_result.broken()) == "the kernel does not build"
    lost = a_result.passed(verdict=Verdict.INFRASTRUCTURE, message="no space left")
    assert wording.why(lost).split("\n") == [
        "the host or its tools failed, the kernel was not judged",
        "no space left",
    ]
    assert wording.why(a_result.passed()) == ""
    stopped = a_result.passed(verdict=Verdict.INTERRUPTED, message="interrupted")
    assert wording.why(stopped) == ""  # the verdict says it


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 s"),
        (0.424, "0.42 s"),
        (12.34, "12.3 s"),
        (61.5, "1 min 02 s"),
        (60, "1 min 00 s"),
        (float("inf"), "inf s"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(100.0, "100.0 %"), (99.99, "99.9 %"), (0.0, "0.0 %"), (66.66, "66.6 %")]
)
def test_only_all_is_a_hundred(number: float, words: str) -> None:
    assert wording.percent(number) == words


def test_a_run_without_any_test_says_how_to_have_some() -> None:
    none = a_result.passed(verdict=Verdict.NO_TESTS, leaves=())
    assert wording.why(none).startswith("there was no test to run: name a suite")
    assert wording.why(a_result.without_tests()).startswith("no test ran to its end")
