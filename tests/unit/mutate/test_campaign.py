"""Mutation testing of a series from end to end, on kernels that only pretend."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.fake_kernels import Laboratory, Watcher
from tests.unit.fake_tree import create, edit, series
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.mutation import Fate, Mutant, Mutation, Verdict
from toolkit.core.model.series import Explained, PatchSeries
from toolkit.core.model.testing import Leaf, Status
from toolkit.mutate import campaign, mutants
from toolkit.mutate.campaign import Campaign, Plan
from toolkit.mutate.order import Covered
from toolkit.mutate.selection import Selection
from toolkit.mutate.workshop import Built
from toolkit.report import artifacts
from toolkit.workflow import pipeline

FILE = "virt/kvm/new.c"
CODE = """int f(int n, int m)
{
	if (n < 3)
		return -EINVAL;
	idle(n);
	limit = 16;
	unseen(n, m);
	return 0;
}
"""
SERIES = series(create(FILE, CODE))


def compiled(content: str) -> str:
    """Return what the pretended compiler makes of C: no difference between some of it."""
    for ignored in ("idle(n);", "limit = 17;", "\n", "\t"):
        content = content.replace(ignored, "")
    return content


class Pretended:
    """Stands for the workshop and the lab of a campaign; counts what is tried.

    What touches idle() compiles to the same, swapped arguments do not build, and all that is wrong
    with a condition or a return is noticed: by a_test where the mutant has n in it, else by b_test.
    """

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.interrupt_after = 10**6
        self.lock = threading.Lock()
        self.workshop: Any = None
        self.slow: tuple[str, ...] = ()  # operators whose mutants take a build of their own
        self.built_whole: list[str] = []
        self.finds = ""  # a call whose loss is noticed as well

    def make_workshop(self, **given: Any) -> Pretended:
        self.workshop = given
        return self

    def make_lab(self, **given: Any) -> Pretended:
        self.factory = given["factory"]
        return self

    # --- workshop

    @contextlib.contextmanager
    def open(self) -> Iterator[Pretended]:
        yield self

    def part(self, path: str) -> None:
        return None

    def quick(self, bench: Pretended, mutant: Mutant, claim: Callable[[str], str]) -> Built | None:
        return None if mutant.operator in self.slow else self._built(mutant, claim)

    def _built(self, mutant: Mutant, claim: Callable[[str], str]) -> Built:
        own = self.workshop["tree"].files[FILE].content
        content = mutants.mutated(own, mutant).decode()
        if mutant.operator == "arguments-swapped":
            return Built(None, verdict=Verdict(Fate.UNBUILT, why="another type"))
        code = compiled(content)
        if code == compiled(CODE):
            return Built(None, code, Verdict(Fate.EQUIVALENT, code=code))
        if (first := claim(code)) != mutant.id:
            return Built(None, code, Verdict(Fate.DUPLICATE, by=first, code=code))
        return Built(replace(self.workshop["kernel"], release=content, key=mutant.id), code)

    def whole(self, mutant: Mutant, claim: Callable[[str], str]) -> Built:
        self.built_whole.append(mutant.id)
        return self._built(mutant, claim)

    def reach(self, mutant: Mutant) -> str:
        return "the whole kernel, and a boot"

    def forget(self, kernel: KernelBuild) -> None:
        pass

    # --- lab

    @contextlib.contextmanager
    def machine(self, kernel: KernelBuild) -> Iterator[Pretended.Machine]:
        with self.lock:
            self.tried[kernel.key] += 1
            if self.tried.total() > self.interrupt_after:
                raise KeyboardInterrupt
        yield Pretended.Machine(kernel.release, self.finds)

    class Machine:
        boot: tuple[Leaf, ...] = ()

        def __init__(self, content: str, also: str) -> None:
            self.content, self.also = content, also

        def run(self, program: str) -> tuple[Leaf, ...]:
            name = program.rpartition("/")[2]
            wanted = {"a_test": "if (n < 3)", "b_test": "return 0;\n}"}[name]
            found = wanted in self.content and self.also in self.content
            status = Status.PASS if found else Status.FAIL
            return (Leaf(f"{program}/it", status),)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    one = Pretended()
    monkeypatch.setattr(campaign, "Workshop", one.make_workshop)
    monkeypatch.setattr(campaign, "MutantLab", one.make_lab)
    monkeypatch.setattr(campaign, "booted_snapshot", lambda *_: None)
    monkeypatch.setattr(campaign, "covered_lines", lambda _, programs: Covered(tuple(programs)))
    return one


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(tmp_path, monkeypatch)


def went(laboratory: Laboratory, plan: Plan | None = None, of: PatchSeries = SERIES) -> Campaign:
    one = Campaign(laboratory.run(of), plan or Plan())
    pipeline.build_and_test(one.run, one.test)
    return one


def fates(mutation: Mutation) -> dict[str, str]:
    return {
        f"{each.mutant.line} {each.mutant.operator}": each.verdict.fate.value
        for each in mutation.mutants
    }


def test_each_mutant_gets_its_verdict(pretended: Pretended, laboratory: Laboratory) -> None:
    result = went(laboratory).result()
    found = fates(result)
    assert found["3 boundary"] == "killed"
    assert found["8 constant"] == "killed"
    assert found["5 call-dropped"] == "equivalent"
    assert found["7 arguments-swapped"] == "unbuilt"
    assert found["7 call-dropped"] == "survived"
    assert {found["6 statement-dropped"], found["6 constant"]} == {"survived", "duplicate"}
    assert "pending" not in found.values()
    assert result.killed + result.survived == len(pretended.tried)
    assert result.score == pytest.approx(100 * result.killed / (result.killed + result.survived))
    assert result.interval is None
    by = {each.mutant.operator: each.verdict.by for each in result.mutants}
    assert by["boundary"] == "kvm/a_test/it"


def test_survivors_stand_at_their_line_of_the_patch(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    one = went(laboratory)
    result = one.result()
    [hunk] = result.hunks
    lines = {line.text: line.survivors for line in hunk.lines if line.survivors}
    assert "+\tlimit = 16;" in lines
    [name] = lines["+\tlimit = 16;"]
    survivor = next(each for each in result.mutants if each.mutant.id == name)
    assert survivor.verdict.passed == ("kvm/a_test", "kvm/b_test")
    assert "-\tlimit = 16;" in survivor.diff
    artifacts.write_mutation(one.run.folder, result)
    page = (one.run.folder / "report.html").read_text()
    assert "Ran this line and passed: kvm/a_test, kvm/b_test" in page
    written = json.loads((one.run.folder / "mutants.json").read_text())
    jsonschema.validate(written, json.loads(artifacts.mutants_schema_text()))


def test_a_second_run_tries_nothing(pretended: Pretended, laboratory: Laboratory) -> None:
    first = went(laboratory).result()
    pretended.tried.clear()
    laboratory.ran.clear()
    second = went(laboratory).result()
    assert second.mutants == first.mutants
    assert second.recalled == len(first.mutants)
    assert not pretended.tried
    assert not laboratory.ran  # not even the series itself


def test_an_edited_program_has_the_survivors_tried_again_and_what_it_killed(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    first = went(laboratory).result()
    pretended.tried.clear()
    (laboratory.tmp_path / "suite/a_test").write_bytes(b"\x7fELF edited")
    second = went(laboratory).result()
    assert fates(second) == fates(first)
    again = {
        each.mutant.id
        for each in first.mutants
        if each.verdict.fate is Fate.SURVIVED or each.verdict.by.startswith("kvm/a_test/")
    }
    assert set(pretended.tried) == again
    assert len(again) < first.killed + first.survived


def test_another_series_is_tried_anew(pretended: Pretended, laboratory: Laboratory) -> None:
    went(laboratory)
    pretended.tried.clear()
    went(laboratory, of=series(create(FILE, CODE), edit("virt/kvm/eventfd.c", 10, "comment")))
    assert pretended.tried


def test_an_interrupted_run_goes_on(pretended: Pretended, laboratory: Laboratory) -> None:
    pretended.interrupt_after = 3
    broken = Campaign(laboratory.run(SERIES), Plan())
    with pytest.raises(KeyboardInterrupt):
        pipeline.build_and_test(broken.run, broken.test)
    partial = broken.result()
    done = {each.mutant.id for each in partial.mutants if each.verdict.fate.counts}
    assert 1 <= len(done) <= 3
    assert partial.interval is not None  # what was tried is a sample of all
    pretended.interrupt_after = 10**6
    pretended.tried.clear()
    whole = went(laboratory).result()
    assert not done & set(pretended.tried)
    assert "pending" not in fates(whole).values()


def test_a_sample_has_as_many_as_count_and_an_interval(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    one = went(laboratory, Plan(sample=5, seed=3)).result()
    assert one.killed + one.survived == 5
    assert one.interval is not None
    assert 5 <= len(pretended.tried) <= 6
    again = went(laboratory, Plan(sample=5, seed=3)).result()
    assert [each.mutant for each in again.mutants] == [each.mutant for each in one.mutants]
    other = went(laboratory, Plan(sample=5, seed=4)).result()
    assert {each.mutant.id for each in other.mutants} != {each.mutant.id for each in one.mutants}


def test_what_takes_a_build_of_its_own_comes_last_and_is_said(
    pretended: Pretended, laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended.slow = ("boundary", "call-dropped")
    notices: list[str] = []
    watcher = Watcher()
    monkeypatch.setattr(watcher, "notice", notices.append)
    one = Campaign(laboratory.run(SERIES, observer=watcher), Plan())
    pipeline.build_and_test(one.run, one.test)
    found = fates(one.result())
    assert (found["3 boundary"], found["5 call-dropped"]) == ("killed", "equivalent")
    assert len(pretended.built_whole) == 3
    assert set(list(pretended.tried)[-2:]) < set(pretended.built_whole)
    said = f"each mutant of {FILE} comes last: it takes a build of the whole kernel, and a boot"
    assert notices.count(said) == 1


def test_a_sample_is_whole_where_some_of_it_turns_out_to_be_equivalent(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    pretended.slow = ("call-dropped", "statement-dropped")
    one = went(laboratory, Plan(sample=7, seed=0)).result()
    assert Fate.EQUIVALENT in [each.verdict.fate for each in one.mutants]
    assert one.killed + one.survived == 7


def test_a_sample_of_a_whole_run_is_the_same_as_one_that_was_drawn(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    drawn = went(laboratory, Plan(sample=5, seed=3)).result()
    went(laboratory)
    pretended.tried.clear()
    assert went(laboratory, Plan(sample=5, seed=3)).result().mutants == drawn.mutants
    assert not pretended.tried
    # Of what the whole run tried, the display counts the sample's part alone.
    sample = went(laboratory, Plan(sample=5, seed=3))
    assert sample._counts() == (5, 5)
    assert f"{drawn.killed} killed, {drawn.survived} survived" in sample._headline()


def test_survivors_are_tried_again_elsewhere_and_the_score_is_that_of_both(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    first = went(laboratory).result()
    alive = {each.mutant.id for each in first.mutants if each.verdict.fate is Fate.SURVIVED}
    artifacts.write_mutation(laboratory.tmp_path / "run0", first)
    earlier = artifacts.read_mutation(laboratory.tmp_path / "run0")
    assert earlier == first
    pretended.tried.clear()
    pretended.finds = "unseen"  # what a kernel with KASAN finds, say
    plan = Plan(earlier=earlier)
    other = Campaign(laboratory.run(SERIES, env=(("OTHER", "1"),)), plan)
    pipeline.build_and_test(other.run, other.test)
    second = other.result()
    assert set(pretended.tried) == alive
    assert len(second.mutants) == len(first.mutants)
    assert second.killed == first.killed + 1
    assert second.survived == first.survived - 1
    assert f"{second.killed} killed, {second.survived} survived" in other._headline()
    with pytest.raises(UserError, match="is no mutant of this series"):
        went(laboratory, plan, of=series(create(FILE, CODE.replace("16", "17"))))
    killed = replace(
        earlier, mutants=tuple(each for each in first.mutants if each.mutant.id not in alive)
    )
    assert went(laboratory, Plan(earlier=killed)).result().survived == 0
    with pytest.raises(UserError, match="no sample of them"):
        Plan(earlier=earlier, sample=5)


def test_explained_survivors_and_explanations_that_nothing_needs(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    entries = (
        Explained(FILE, "nobody reads it", line="limit = 16;"),
        Explained(FILE, "no more", function="g"),
    )
    result = went(laboratory, of=replace(SERIES, survives=entries)).result()
    explained = {each.mutant.line for each in result.mutants if each.explained}
    assert explained == {6}
    assert 0 < result.explained < result.survived
    assert result.stale == (f"{FILE}: g explains a survivor that there is none of",)
    assert not went(laboratory, Plan(Selection(("boundary",)))).result().stale


def test_no_part_of_a_series_is_a_duplicate_of_what_was_not_asked_for(
    pretended: Pretended, laboratory: Laboratory
) -> None:
    whole = went(laboratory).result()
    twins = [each for each in whole.mutants if each.verdict.fate is Fate.DUPLICATE]
    assert twins
    alone = went(laboratory, Plan(Selection(ids=(twins[0].mutant.id,)))).result()
    assert alone.mutants[0].verdict.fate.counts


@pytest.mark.parametrize("number", [0, -1])
def test_a_sample_of_nothing_is_refused(number: int) -> None:
    with pytest.raises(UserError, match="says nothing"):
        Plan(sample=number)


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (series(create(FILE, CODE), edit("virt/kvm/eventfd.c", 10, "broken")), "does not build"),
        (series(create(FILE, CODE), edit("virt/kvm/eventfd.c", 10, "noboot")), "does not boot"),
        (
            series(create(FILE, CODE), edit("virt/kvm/eventfd.c", 10, "fail alpha")),
            "kvm/a_test/alpha fails without any mutant",
        ),
        (series(create("Documentation/x.rst", "text\n")), "no line of C"),
        (series(create("include/linux/x.h", "int f(int);\n")), "no line of C"),
    ],
)
def test_what_cannot_be_tried_is_the_callers_fault(
    pretended: Pretended, laboratory: Laboratory, of: PatchSeries, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        went(laboratory, of=of)
    assert not pretended.tried


def test_tests_that_all_skip_notice_nothing(pretended: Pretended, laboratory: Laboratory) -> None:
    words = [
        edit("virt/kvm/eventfd.c", 10 + 7 * at, f"skip {case}")
        for at, case in enumerate(("alpha", "beta", "gamma", "delta"))
    ]
    with pytest.raises(UserError, match="no test passes"):
        went(laboratory, of=series(create(FILE, CODE), *words))


def test_without_a_series_there_is_nothing_to_do(laboratory: Laboratory) -> None:
    with pytest.raises(UserError, match="made of a series"):
        Campaign(laboratory.run(None), Plan()).candidates()
