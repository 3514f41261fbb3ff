from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.kernel.incremental import change_log
from toolkit.kernel.incremental.change_log import Journal

Batch = dict[str, bool]
batches = st.lists(st.dictionaries(st.text(max_size=8), st.booleans(), max_size=4), max_size=6)


@given(batches, batches)
def test_what_was_noted_since_a_mark_is_told(
    tmp_path_factory: pytest.TempPathFactory, before: list[Batch], after: list[Batch]
) -> None:
    kept = Journal(tmp_path_factory.mktemp("work") / "src")
    kept.begin()
    for batch in before:
        kept.add(batch)
    mark = kept.mark()
    assert mark
    assert kept.since(mark) == {}
    for batch in after:
        kept.add(batch)
    paths = {path for batch in after for path in batch}
    assert kept.since(mark) == {
        path: all(batch.get(path, True) for batch in after) for path in paths
    }


def test_without_a_journal_nothing_is_known(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "src")
    assert kept.mark() is None
    kept.add({"a.c": True})
    mark = kept.mark()
    assert mark
    assert kept.since(mark) == {}
    kept.begin()
    assert kept.since(mark) is None
    kept.file.unlink()
    assert kept.name() is None
    assert kept.since(mark) is None


@pytest.mark.parametrize("rest", ['["a.c', '["a.c", true]["b.c", true]', "[1]", "7", "\x00"])
def test_a_line_that_was_cut_off_is_not_read_as_nothing(tmp_path: Path, rest: str) -> None:
    kept = Journal(tmp_path / "src")
    kept.begin()
    mark = kept.mark()
    assert mark
    with kept.file.open("a") as file:
        file.write(rest + "\n")
    assert kept.since(mark) is None
    later = kept.mark()
    assert later
    kept.add({"c.c": True})
    assert kept.since(later) == {"c.c": True}


@given(st.text(max_size=20))
def test_any_mark_is_answered(tmp_path_factory: pytest.TempPathFactory, mark: str) -> None:
    kept = Journal(tmp_path_factory.mktemp("work") / "src")
    kept.begin()
    assert kept.since(mark) is None


def test_a_long_journal_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "MOST", 3)
    kept = Journal(tmp_path / "src")
    kept.begin()
    mark = kept.mark()
    assert mark
    tree = kept.name()
    for name in "abcd":
        kept.add({name: True})
    assert kept.since(mark) is None
    assert kept.name() == tree
    kept.begin()
    assert kept.name() != tree
    assert len(kept.file.read_text().splitlines()) < 4
