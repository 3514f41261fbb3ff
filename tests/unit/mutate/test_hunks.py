from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.fake_tree import create, edit, make_base, series, soon
from tests.unit.mutate.some_mutants import by_hand, mutant
from toolkit.core.model.mutation import Fate, Mutated, SurvivorHunk, Verdict
from toolkit.core.model.series import PatchedTree
from toolkit.mutate.hunks import survivor_hunks
from toolkit.series import patching

OLD, NEW = "virt/kvm/eventfd.c", "virt/kvm/new.c"


def tree(tmp_path: Path) -> PatchedTree:
    patches = series(create(NEW, "one\ntwo\nthree\n"), edit(OLD, 20, "fresh"))
    return patching.apply(make_base(tmp_path / "tree"), patches, soon())


def survived(name: str, file: str, line: int, fate: Fate = Fate.SURVIVED) -> Mutated:
    return Mutated(replace(mutant(name, line), file=file), Verdict(fate))


def marked(hunks: list[SurvivorHunk]) -> dict[tuple[int, str, str], tuple[str, ...]]:
    return {
        (hunk.patch, hunk.file, line.text): line.survivors
        for hunk in hunks
        for line in hunk.lines
        if line.survivors
    }


def test_each_survivor_is_at_its_line_of_the_patch_that_wrote_it(tmp_path: Path) -> None:
    mutated = [
        survived("a", NEW, 2),
        survived("b", NEW, 2),
        survived("c", OLD, 20),
        survived("d", NEW, 3, Fate.KILLED),
    ]
    hunks = list(survivor_hunks(tree(tmp_path), mutated))
    assert [hunk.patch for hunk in hunks] == [1, 2]
    assert hunks[0].lines[0].text.startswith("@@")
    assert marked(hunks) == {(1, NEW, "+two"): ("a", "b"), (2, OLD, "+fresh"): ("c",)}


def test_hunks_without_survivors_and_faults_by_hand_are_left_out(tmp_path: Path) -> None:
    fault = Mutated(replace(by_hand("x"), file=NEW), Verdict(Fate.SURVIVED))
    assert not list(survivor_hunks(tree(tmp_path), [fault, survived("d", NEW, 3, Fate.KILLED)]))
    bare = replace(tree(tmp_path / "other"), series=None)
    assert not list(survivor_hunks(bare, [survived("a", NEW, 2)]))
