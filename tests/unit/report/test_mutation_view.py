from __future__ import annotations

from dataclasses import replace

import pytest

from tests import a_result
from tests.unit.mutate.some_mutants import by_hand, mutant
from toolkit.core.model.mutation import (
    Fate,
    HunkLine,
    Mutated,
    Mutation,
    OperatorRow,
    SurvivorHunk,
    Verdict,
)
from toolkit.report import html_page, mutation_view, view

HOSTILE = "<script>alert(1)</script>\x1b[31m"
SURVIVED = Mutated(
    mutant("aaa", function="f"),
    Verdict(Fate.SURVIVED, passed=("kvm/a_test", "kvm/b_test"), skipped=("kvm/c_test",)),
    "",
    ("--- a/a.c", "+++ b/a.c", "@@ -5 +5 @@", "-\tif (a < 3)", f"+\tif (a <= 3) {HOSTILE}"),
)
UNRUN = replace(
    SURVIVED, mutant=mutant("bbb", line=7), verdict=Verdict(Fate.SURVIVED), explained="s390 alone"
)
FAULT = Mutated(by_hand("51-no-grace-period"), Verdict(Fate.SURVIVED, passed=("kvm/a_test",)))
KILLED = Mutated(mutant("ccc"), Verdict(Fate.KILLED, "kvm/a_test/x", "fail: no"))
MUTATION = Mutation(
    series="iosignalfd/v4",
    mutants=(SURVIVED, UNRUN, FAULT, KILLED),
    operators=(
        OperatorRow("boundary", "off by one", killed=1, survived=2, explained=1, equivalent=4),
        OperatorRow("by-hand", "by a person", survived=1),
    ),
    hunks=(
        SurvivorHunk(
            2,
            "KVM: add it",
            "a.c",
            (
                HunkLine("@@ -1,9 +1,9 @@"),
                HunkLine("+\tif (a < 3)", ("aaa",)),
                HunkLine(f"+\treturn; {HOSTILE}"),
                HunkLine("+\tg();", ("bbb",)),
            ),
        ),
    ),
    killed=1,
    survived=3,
    explained=1,
    score=25.0,
    interval=(4.6, 69.9),
    stale=("b.c: gone",),
)


def text(mutation: Mutation = MUTATION, limit: int = 50) -> str:
    return "\n".join(mutation_view.summary(mutation, limit))


def test_what_is_said_to_be_equivalent_is_counted_apart() -> None:
    mutant = MUTATION.mutants[0].mutant
    said = Mutated(mutant, Verdict(Fate.EQUIVALENT), "no test can tell")
    compiled = Mutated(mutant, Verdict(Fate.EQUIVALENT))
    mutation = replace(MUTATION, mutants=(*MUTATION.mutants, said, compiled))
    assert mutation_view.headline(mutation).endswith("; equivalent, as series.yaml says: 1")
    assert "equivalent" not in mutation_view.headline(MUTATION)


def test_the_terminal_shows_survivors_that_nobody_explained_the_table_and_the_score() -> None:
    shown = text()
    assert "survived: boundary, a.c:5 in f(), aaa" in shown
    assert "  -\tif (a < 3)" in shown
    assert "  passed: a_test, b_test" in shown
    assert "  skipped: c_test" in shown
    assert "bbb" not in shown
    assert "survived: 51-no-grace-period" in shown
    assert "the tests noticed 1 of 4 mutants: 25.0 % (95 % interval 4.6 % to 69.9 %)" in shown
    assert "survivors that are explained: 1 of 3" in shown
    assert "series.yaml: b.c: gone" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["boundary", "1", "2", "1", "4"] in rows
    assert ["all", "1", "3", "1", "4"] in rows


@pytest.mark.parametrize(
    ("verdict", "problem"),
    [
        (Verdict(Fate.UNBUILT, why="no member x"), "it does not build: no member x"),
        (Verdict(Fate.EQUIVALENT), "it compiles to the same code as the series"),
        (Verdict(Fate.DUPLICATE, by="eee"), "it compiles to the same code as 50-first"),
        (Verdict(Fate.DUPLICATE, by="ccc"), "it compiles to the same code as ccc"),
    ],
)
def test_a_fault_by_hand_that_is_none_is_named(verdict: Verdict, problem: str) -> None:
    first = replace(FAULT, mutant=replace(by_hand("50-first"), id="eee"))
    void = Mutated(by_hand("52-void"), verdict)
    mutation = replace(MUTATION, mutants=(*MUTATION.mutants, first, void))
    line = f"no fault: 52-void, {void.mutant.file}:{void.mutant.line}: {problem}"
    assert line in text(mutation).splitlines()
    page = html_page.render(
        view.of(next(iter(a_result.STATES.values()))()), (), mutation_view.of(mutation)
    )
    assert f'<p class="note">{line}</p>'.encode() in page
    assert "no fault" not in text()
    explained = replace(void, explained="as series.yaml says")
    assert "no fault" not in text(replace(mutation, mutants=(*MUTATION.mutants, explained)))
    generated = replace(void, mutant=mutant("fff"))
    assert "no fault" not in text(replace(mutation, mutants=(*MUTATION.mutants, generated)))


def test_few_voids_are_shown_where_there_are_many() -> None:
    voids = tuple(Mutated(by_hand(f"5{i}-void"), Verdict(Fate.EQUIVALENT)) for i in range(3))
    shown = text(replace(MUTATION, mutants=voids), limit=2)
    assert shown.count("no fault: ") == 2
    assert "… and 1 more that are no fault" in shown


def test_few_survivors_are_shown_where_there_are_many() -> None:
    shown = text(limit=1)
    assert "aaa" in shown
    assert "51-no-grace-period" not in shown
    assert "… and 1 more survivors" in shown


def test_nothing_tried_has_no_score() -> None:
    empty = replace(MUTATION, mutants=(), operators=(), killed=0, survived=0, score=None)
    assert "no mutant has been tried" in text(empty)
    assert mutation_view.below(replace(empty, wanted=90.0, explained=0)) == ""
    same = Mutated(mutant("ddd"), Verdict(Fate.EQUIVALENT))
    alike = replace(empty, mutants=(same,), operators=(OperatorRow("gfp", "x", equivalent=1),))
    assert "nothing to notice: each mutant is equivalent" in text(alike)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (None, "partial, 9 of 4 mutants are not tried yet: the tests noticed 1 of 4"),
        (60, "partial, 4 of a sample of 60: the tests noticed 1 of 4"),
    ],
)
def test_what_is_not_tried_yet_makes_a_score_partial(sample: int | None, words: str) -> None:
    rows = (replace(MUTATION.operators[0], pending=9), *MUTATION.operators[1:])
    assert words in text(replace(MUTATION, operators=rows, sample=sample))
    assert "partial" not in text(replace(MUTATION, sample=sample))


@pytest.mark.parametrize(
    ("wanted", "below"), [(None, False), (33.0, False), (34.0, True), (100.0, True)]
)
def test_a_score_that_was_asked_for_leaves_out_what_is_explained(
    wanted: float | None, below: bool
) -> None:
    short = mutation_view.below(replace(MUTATION, wanted=wanted))
    assert bool(short) is below
    assert not below or "33.3 %" in short


def test_the_page_has_each_survivor_below_its_line_and_nothing_of_it_runs() -> None:
    result = next(iter(a_result.STATES.values()))()
    shown = view.of(result)
    page = html_page.render(shown, (), mutation_view.of(MUTATION)).decode()
    assert 'href="#mutants"' in page
    line, survivor, after = (
        page.index("if (a &lt; 3)"),
        page.index('id="maaa"'),
        page.index("return; &lt;script&gt;"),
    )
    assert line < survivor < after < page.index('id="mbbb"')
    assert "Ran this line and passed: kvm/a_test, kvm/b_test" in page
    assert "no test runs this line" in page
    assert "Explained: s390 alone" in page
    assert 'id="m51-no-grace-period"' in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "mutants" not in html_page.render(shown).decode()


def test_what_is_shown_is_bounded() -> None:
    many = tuple(
        replace(SURVIVED, mutant=mutant(str(number)))
        for number in range(mutation_view.MAX_SURVIVORS + 5)
    )
    lines = tuple(HunkLine("+\tx") for _ in range(mutation_view.MAX_LINES + 5))
    hunk = SurvivorHunk(1, "x", "a.c", lines)
    shown = mutation_view.of(replace(MUTATION, mutants=many, hunks=(hunk, hunk)))
    assert shown.more == 5
    assert sum(len(each.lines) for each in shown.hunks) == mutation_view.MAX_LINES
