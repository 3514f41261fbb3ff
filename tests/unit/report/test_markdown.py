from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import markdown, view


def test_the_verdict_comes_first_and_each_failure_has_its_command() -> None:
    text = markdown.render(view.of(a_result.failed())).decode()
    assert text.startswith("### ❌ FAIL: `iosignalfd/v4 on Linux 6.12.117`\n")
    assert "1 timed out, 2 failed, 52 passed" in text.split("\n")[2]
    assert "toolkit build-and-test --patch v4 --suite kvm --test iosignalfd_args_test" in text
    assert "Patch 2, `KVM: add iosignalfd`:" in text
    rows = re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE)
    assert rows[:3] == [
        "kvm/iosignalfd_args_test",
        "kvm/iosignalfd_deassign_test",
        "kvm/iosignalfd_stress_test",
    ]


def test_a_pass_is_short() -> None:
    text = markdown.render(view.of(a_result.passed())).decode()
    assert text.startswith("### ✅ PASS")
    assert "<details>" not in text


def test_coverage_is_one_table() -> None:
    text = markdown.render(view.of(a_result.covered())).decode()
    assert "Coverage: 90.4 % of the 21 lines that the series adds were run" in text
    assert "| 2: `KVM: add iosignalfd` | 77.7 % | 7/9 | 88.8 % |" in text


def test_several_suites_have_a_table_of_their_own() -> None:
    skipped = (Status.SKIP, "not testable here: needs ethtool\nmore")
    leaves = (
        Leaf("boot/dmesg", Status.PASS),
        Leaf("upstream-net/a/one", Status.PASS, seconds=1.0),
        Leaf("upstream-net/a/two", Status.FAIL, "no route", seconds=2.0),
        Leaf("upstream-timers/nanosleep", Status.PASS),
        Leaf("upstream-net/b", *skipped, seconds=0.5),
        Leaf("upstream-net/c", *skipped),
        Leaf("upstream-net/d", Status.SKIP, "needs | a bar"),
    )
    lines = markdown.render(view.of(a_result.passed(leaves=leaves))).decode().split("\n")
    at = lines.index("| suite | programs | result | time | most skips |")
    assert lines[at + 2 : at + 5] == [
        "| `upstream-net` | 4 | 1 failed, 1 passed, 3 skipped | 3.50 s "
        "| `not testable here: needs ethtool (2)` |",
        "| `upstream-timers` | 1 | 1 passed |  |  |",
        "",
    ]
    alone = markdown.render(view.of(a_result.passed(leaves=leaves[1:3]))).decode()
    assert "| suite |" not in alone


def test_it_is_bounded_whatever_failed() -> None:
    leaves = tuple(
        Leaf(f"s/p{number}/{'c' * 200}", Status.FAIL, "x" * 4000 + "\ny" * 2000)
        for number in range(3000)
    )
    text = markdown.render(view.of(a_result.passed(leaves=leaves)))
    assert len(text) < 300_000  # GitHub shows a mebibyte
    assert f"… and {3000 - markdown.MAX_FAILURES} more failures." in text.decode()


@given(st.text(alphabet="`~|<>\\\n a\x1b\u202e", max_size=60))
def test_words_from_outside_end_no_block_and_no_span(words: str) -> None:
    result = a_result.passed(
        series=words, leaves=(Leaf(f"s/p/{words}", Status.FAIL, words),), detail=(words,)
    )
    text = markdown.render(view.of(result)).decode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    fence = ""
    for line in text.split("\n"):
        if fence:
            if line == fence:
                fence = ""
        elif match := re.match(r"`{3,}", line):
            fence = match[0]
        else:
            bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
            assert not re.search(r"<(?!/?(details|summary)\b)", bare)
    assert not fence


def test_a_series_without_tests_says_why_they_were_skipped() -> None:
    text = markdown.render(view.of(a_result.without_tests())).decode()
    assert "\n* 10 skipped: `/dev/kvm cannot be opened`\n" in text
