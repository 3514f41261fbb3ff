from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.report import coverage_text


def a_row(lines: int, ran: int, explained: int = 0) -> PatchRun:
    return PatchRun(1, "s", lines, ran, explained)


def test_explained_lines_did_not_run_all_the_same() -> None:
    found = Coverage((), (a_row(100, 90, 4), a_row(100, 100)), ())
    assert coverage_text.headline(found) == (
        "95.0 % of the 200 lines that the series adds were run, 97.0 % run or explained"
    )
    assert coverage_text.below(dataclasses.replace(found, wanted=95.0)) == ""
    assert "95.0 % of the 200 lines" in coverage_text.below(dataclasses.replace(found, wanted=95.1))


def test_nothing_to_run_is_no_fault() -> None:
    found = Coverage((), (), (), wanted=100.0)
    assert coverage_text.headline(found) == "the series adds no line with code to this kernel"
    assert coverage_text.below(found) == ""


@pytest.mark.parametrize(
    ("number", "said"), [(100.0, "100.0 %"), (99.99, "99.9 %"), (0.0, "0.0 %"), (66.66, "66.6 %")]
)
def test_only_all_is_a_hundred(number: float, said: str) -> None:
    assert coverage_text.percent(number) == said


def test_the_marks_of_lines() -> None:
    lines = [LineRun("+a"), LineRun("+b", 2), LineRun("+c", 3, (0, 4))]
    assert [coverage_text.mark(line) for line in lines] == ["", "-", "2"]


def test_what_explains_several_lines_is_told_once() -> None:
    lines = [
        LineRun("+a", 1, (), "why"),
        LineRun("+"),
        LineRun("+b", 2, (), "why"),
        LineRun("+c", 3, (0,)),
        LineRun("+d", 4, (), "why"),
    ]
    assert [why for _, why in coverage_text.explanations(lines)] == ["why", "", "", "", "why"]


def test_what_did_not_run_comes_with_what_is_around_it() -> None:
    parts = list(coverage_text.excerpts(a_result.COVERAGE.hunks))
    assert all(any(coverage_text.is_unrun(line) for line in part.lines) for part in parts)
    assert parts[0].hunk.file == "virt/kvm/iosignalfd.c"


@given(st.lists(st.sampled_from([None, True, False]), max_size=60), st.integers(0, 4))
def test_every_line_that_did_not_run_is_in_one_excerpt(
    kinds: list[bool | None], context: int
) -> None:
    def line(number: int, ran: bool | None) -> LineRun:
        return LineRun(f"+{number}", 0 if ran is None else number, (0,) if ran else ())

    rows = [line(number, ran) for number, ran in enumerate(kinds, 1)]
    hunk = HunkRun(1, "x.c", (LineRun("@@ -1 +1 @@"), *rows))
    parts = list(coverage_text.excerpts([hunk], context))
    shown = [each.text for part in parts for each in part.lines if coverage_text.is_unrun(each)]
    assert shown == [each.text for each in rows if coverage_text.is_unrun(each)]
    texts = [each.text for part in parts for each in part.lines]
    assert len(set(texts)) == len(texts)
    for part in parts:
        assert part.lines == hunk.lines[part.first : part.first + len(part.lines)]
        assert part.first > 0
