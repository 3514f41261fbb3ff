"""What many programs together may give."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import Outcome, RawRun, Status, TestProgram
from toolkit.testing import tested
from toolkit.testing.tested import Collector


def raw(name: str, results: int, *bad: int, splats: tuple[Splat, ...] = ()) -> RawRun:
    lines = [f"{'not ' * (n in bad)}ok {n} case {n}\n" for n in range(1, results + 1)]
    text = f"1..{results}\n" + "".join(lines)
    status = int(bool(bad))
    return RawRun("s", name, Outcome.COMPLETED, status, None, text, "", 0.1, splats=splats)


def collect(folder: Path, *runs: RawRun) -> tested.Tested:
    collector = Collector(folder, (), 1)
    order = [TestProgram("s", each.program, 30.0) for each in runs]
    for program, each in zip(order, runs, strict=True):
        collector.add(program, each)
    return collector.tested(order, ())


def test_all_results_of_a_run_are_bounded_and_what_is_left_out_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "MAX_LEAVES", 100)
    made = collect(tmp_path, raw("a", 90), raw("b", 50, 7, 9), raw("c", 10))
    by_program = {
        name: [leaf.id for leaf in made.leaves if leaf.id.startswith(f"s/{name}/")]
        for name in "abc"
    }
    assert [len(ids) for ids in by_program.values()] == [90, 3, 10]
    assert by_program["b"] == ["s/b/case 7", "s/b/case 9", "s/b/flood"]
    flood = next(leaf for leaf in made.leaves if leaf.id == "s/b/flood")
    assert flood.status is Status.ERROR
    assert flood.message.startswith("its 50 results are more than a run keeps (100 of all")
    assert made.observed["s/b"] == (tuple(leaf for leaf in made.leaves if "/b/" in leaf.id),)
    assert (tmp_path / "tests/s/b.log").read_text().count("\n") == 51


def test_all_reports_of_a_run_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "MAX_TEXT", 250)
    splat = Splat("warning", "WARNING: a.c:1", "x" * 100, fatal=False, line=1)
    made = collect(tmp_path, *(raw(name, 1, splats=(splat,)) for name in "abcd"))
    assert [len(each.text) for each in made.splats] == [100, 100, 14, 14]
    assert {each.title for each in made.splats} == {splat.title}
