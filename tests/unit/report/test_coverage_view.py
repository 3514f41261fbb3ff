from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.report import coverage_view


def a_row(lines: int, ran: int, explained: int = 0) -> PatchRun:
    return PatchRun(1, "s", lines, ran, explained)


def test_explained_lines_did_not_run_all_the_same() -> None:
    coverage = Coverage((), (a_row(100, 90, 4), a_row(100, 100)), ())
    assert coverage_view.headline(coverage) == (
        "95.0 % of the 200 lines that the series adds were run, 97.0 % run or explained"
    )
    assert coverage_view.below(dataclasses.replace(coverage, wanted=95.0)) == ""
    assert "95.0 % of the 200 lines" in coverage_view.below(
        dataclasses.replace(coverage, wanted=95.1)
    )


def test_nothing_to_run_is_no_fault() -> None:
    coverage = Coverage((), (), (), wanted=100.0)
    assert coverage_view.headline(coverage) == "the series adds no line with code to this kernel"
    assert coverage_view.below(coverage) == ""


def test_each_line_with_code_says_how_many_programs_ran_it() -> None:
    lines = (LineRun("@@ -1 +1 @@"), LineRun("+a"), LineRun("+b", 2), LineRun("+c", 3, (0, 4)))
    (part,) = coverage_view.excerpts([HunkRun(1, "x.c", lines)])
    assert [(line.programs, line.unrun) for line in part.lines] == [
        ("", False),
        ("0", True),
        ("2", False),
    ]


def test_what_explains_several_lines_stands_once() -> None:
    lines = (
        LineRun("@@ -1 +1 @@"),
        LineRun("+a", 1, (), "why"),
        LineRun("+"),
        LineRun("+b", 2, (), "why"),
        LineRun("+c", 3, (0,)),
        LineRun("+d", 4, (), "why"),
    )
    (part,) = coverage_view.excerpts([HunkRun(1, "x.c", lines)])
    assert [line.explanation for line in part.lines] == ["why", "", "", "", "why"]


def test_what_did_not_run_comes_with_what_is_around_it() -> None:
    parts = list(coverage_view.excerpts(a_result.COVERAGE.hunks))
    assert all(any(line.unrun for line in part.lines) for part in parts)
    assert parts[0].file == "virt/kvm/iosignalfd.c"
    assert parts[0].header.text == "@@ -0,0 +1,412 @@"


@given(st.lists(st.sampled_from([None, True, False]), max_size=60), st.integers(0, 4))
def test_every_line_that_did_not_run_is_in_one_excerpt(
    kinds: list[bool | None], context: int
) -> None:
    def line(number: int, ran: bool | None) -> LineRun:
        return LineRun(f"+{number}", 0 if ran is None else number, (0,) if ran else ())

    rows = [line(number, ran) for number, ran in enumerate(kinds, 1)]
    hunk = HunkRun(1, "x.c", (LineRun("@@ -1 +1 @@"), *rows))
    parts = list(coverage_view.excerpts([hunk], context))
    shown = [each.text for part in parts for each in part.lines if each.unrun]
    assert shown == [each.text for each in rows if coverage_view.is_unrun(each)]
    texts = [each.text for part in parts for each in part.lines]
    assert len(set(texts)) == len(texts)
    order = [each.text for each in rows]
    for part in parts:
        first = order.index(part.lines[0].text)
        assert [each.text for each in part.lines] == order[first : first + len(part.lines)]
