from __future__ import annotations

import difflib
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.fake_tree import git, mail
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree, PatchSeries
from toolkit.formats import patchfile
from toolkit.series.annotate import Annotations

Edit = tuple[int, int, int]  # where, how many lines go, how many come


def text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def a_patch(number: int, old: Sequence[str], new: Sequence[str]) -> Patch:
    lines = difflib.unified_diff(list(old), list(new), "a/x.c", "b/x.c", lineterm="")
    diff = "".join(f"{line}\n" for line in lines)
    return Patch(f"{number}.patch", "s", mail(f"diff --git a/x.c b/x.c\n{diff}"))


def a_tree(
    folder: Path, patches: Sequence[Patch], base: Sequence[str], after: Sequence[str]
) -> PatchedTree:
    """Return the tree that patches made of a base with the one file x.c."""
    (folder / "x.c").write_bytes(text(base))
    series = PatchSeries("t/v1", "t", "6.12", tuple(patches))
    made = KernelBase("tree:fake", "6.12.1", folder, "base")
    return PatchedTree(made, series, {"x.c": PatchedFile(text(after))}, "k")


@example(length=1, edits=[(0, 1, 0), (0, 0, 1)], above=1, twins=False)
@given(
    length=st.integers(0, 30),
    edits=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6), st.integers(0, 6)), max_size=6),
    above=st.integers(0, 5),
    twins=st.booleans(),
)
def test_every_line_has_the_patch_that_wrote_it(
    length: int, edits: list[Edit], above: int, twins: bool
) -> None:
    """Edits one after the other, to a base that has moved since the patches were made.

    With ``twins``, all added lines have the same text, and so has every other line of the base.
    """
    base = ["twin" if twins and n % 2 else f"line {n} of old" for n in range(length)]
    state = [(line, 0) for line in base]
    states = [state]
    for at, gone, come in edits:
        number = len(states)
        added = [("twin" if twins else f"line {n} of patch {number}", number) for n in range(come)]
        after = [*state[:at], *added, *state[at + gone :]]
        if [line for line, _ in after] != [line for line, _ in state]:
            states.append(after)
            state = after
    steps = itertools.pairwise([[line for line, _ in each] for each in states])
    patches = [a_patch(number, *step) for number, step in enumerate(steps, 1)]
    # A hunk that fills an empty file fits no other; git refuses it where lines stand above.
    moved = [f"moved {n}" for n in range(above if all(states) and not twins else 0)]
    content = [*moved, *(line for line, _ in state)]
    with tempfile.TemporaryDirectory() as folder:
        origins = Annotations(a_tree(Path(folder), patches, [*moved, *base], content))
        places = [origins.of("x.c", number) for number in range(1, len(content) + 1)]
        assert origins.of("x.c", 0) is origins.of("x.c", len(content) + 1) is None
    found = [place.patch if place else 0 for place in places]
    if twins:  # which of two that look the same a diff calls new is its own affair
        last = patches[-1].content.split(b"\n+++ ")[1] if patches else b""
        assert found.count(len(patches)) == (last.count(b"\n+") if patches else len(content))
    else:
        assert found == [*(0 for _ in moved), *(wrote for _, wrote in state)]
    for line, place in zip(content, places, strict=True):
        assert place is None or place.hunk.text[place.at] == b"+" + line.encode()


def test_a_line_of_the_base_is_not_the_series_s_because_it_looks_the_same(tmp_path: Path) -> None:
    base = ["f()", "{", "\tgoto out;", "}", "g()", "{", "}"]
    after = [*base[:6], "\tgoto out;", "}"]
    origins = Annotations(a_tree(tmp_path, [a_patch(1, base, after)], base, after))
    assert [bool(origins.of("x.c", number)) for number in range(1, 9)] == [False] * 6 + [
        True,
        False,
    ]


def test_lines_go_with_a_file_that_gets_another_name(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_bytes(text(["a", "b", "c"]))
    git(tmp_path, "init", "-q")
    for number in (1, 2):
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", f"patch {number}")
        if number == 1:
            (tmp_path / "x.c").write_bytes(text(["a", "b", "new", "c"]))
    git(tmp_path, "mv", "x.c", "y.c")
    git(tmp_path, "commit", "-q", "-m", "patch 3")
    mails = [git(tmp_path, "format-patch", "--stdout", "-1", "-M", at) for at in ("HEAD~1", "HEAD")]
    patches = [Patch(f"{n}", "s", data) for n, data in enumerate(mails, 1)]
    tree = a_tree(tmp_path, patches, ["a", "b", "c"], [])
    tree = PatchedTree(
        tree.base,
        tree.series,
        {"y.c": PatchedFile(b"a\nb\nnew\nc\n"), "x.c": PatchedFile(None)},
        "",
    )
    found = [Annotations(tree).of("y.c", number) for number in range(1, 5)]
    assert [place.patch if place else 0 for place in found] == [0, 0, 1, 0]


def test_a_file_that_is_not_what_the_patches_make_of_it_is_nobody_s(tmp_path: Path) -> None:
    tree = a_tree(tmp_path, [a_patch(1, ["a"], ["a", "b"])], ["a"], ["a", "b", "c"])
    assert [Annotations(tree).of("x.c", number) for number in (1, 2, 3)] == [None] * 3
    assert Annotations(tree).of("nowhere.c", 1) is None


def test_a_patch_is_read_once_however_many_lines_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Patch] = []
    sections = patchfile.sections

    def count(patch: Patch) -> list[patchfile.Section]:
        read.append(patch)
        return sections(patch)

    monkeypatch.setattr(patchfile, "sections", count)
    new = [f"line {number}" for number in range(500)]
    patches = [a_patch(1, [], new), a_patch(2, new, [*new, "more"])]
    origins = Annotations(a_tree(tmp_path, patches, [], [*new, "more"]))
    assert read == []
    assert all(origins.of("x.c", number) for number in range(1, len(new) + 2))
    assert len(read) == 2
