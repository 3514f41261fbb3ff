from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.kernel.incremental import change_log
from toolkit.kernel.incremental.change_log import ChangeLog

Batch = dict[str, bool]
batches = st.lists(st.dictionaries(st.text(max_size=8), st.booleans(), max_size=4), max_size=6)


@given(batches, batches)
def test_what_was_noted_after_a_position_is_returned(
    tmp_path_factory: pytest.TempPathFactory, before: list[Batch], after: list[Batch]
) -> None:
    log = ChangeLog(tmp_path_factory.mktemp("work") / "src")
    log.begin()
    for batch in before:
        log.add(batch)
    position = log.position()
    assert position
    assert log.since(position) == {}
    for batch in after:
        log.add(batch)
    paths = {path for batch in after for path in batch}
    assert log.since(position) == {
        path: all(batch.get(path, True) for batch in after) for path in paths
    }


def test_without_a_log_nothing_is_known(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "src")
    assert log.position() is None
    log.add({"a.c": True})
    position = log.position()
    assert position
    assert log.since(position) == {}
    log.begin()
    assert log.since(position) is None
    log.file.unlink()
    assert log.tree_id() is None
    assert log.since(position) is None


@pytest.mark.parametrize("rest", ['["a.c', '["a.c", true]["b.c", true]', "[1]", "7", "\x00"])
def test_a_line_that_was_cut_off_is_not_read_as_nothing(tmp_path: Path, rest: str) -> None:
    log = ChangeLog(tmp_path / "src")
    log.begin()
    position = log.position()
    assert position
    with log.file.open("a") as file:
        file.write(rest + "\n")
    assert log.since(position) is None
    later = log.position()
    assert later
    log.add({"c.c": True})
    assert log.since(later) == {"c.c": True}


@given(st.text(max_size=20))
def test_any_position_is_answered(tmp_path_factory: pytest.TempPathFactory, position: str) -> None:
    log = ChangeLog(tmp_path_factory.mktemp("work") / "src")
    log.begin()
    assert log.since(position) is None


def test_a_long_log_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "MAX_CHANGES", 3)
    log = ChangeLog(tmp_path / "src")
    log.begin()
    position = log.position()
    assert position
    tree = log.tree_id()
    for name in "abcd":
        log.add({name: True})
    assert log.since(position) is None
    assert log.tree_id() == tree
    log.begin()
    assert log.tree_id() != tree
    assert len(log.file.read_text().splitlines()) < 4
