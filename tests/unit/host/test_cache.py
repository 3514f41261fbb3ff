from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.host.cache import Cache, check_path, digest, why_unwritable


def soon() -> Deadline:
    return Deadline.after(20)


def writer(text: str, calls: list[str]) -> object:
    def fill(folder: Path) -> None:
        calls.append(text)
        (folder / "file").write_text(text)

    return fill


def test_an_entry_is_made_once_and_found_after(tmp_path: Path) -> None:
    cache, calls = Cache(tmp_path), list[str]()
    first, found_first = cache.make("kind", "key", writer("a", calls), deadline=soon())  # type: ignore[arg-type]
    again, found_again = cache.make("kind", "key", writer("b", calls), deadline=soon())  # type: ignore[arg-type]
    assert (first, found_first, found_again) == (again, False, True)
    assert (first / "file").read_text() == "a"
    assert calls == ["a"]


def test_a_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        cache.make("kind", "key", fill, deadline=soon())
    assert cache.find("kind", "key") is None
    assert not list(tmp_path.rglob("half"))
    assert cache.entries() == []


def test_a_folder_without_its_seal_is_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "kind/key").mkdir(parents=True)
    (tmp_path / "kind/key/file").write_text("left by a killed run")
    path, found = cache.make("kind", "key", writer("whole", []), deadline=soon())  # type: ignore[arg-type]
    assert not found
    assert (path / "file").read_text() == "whole"


def test_cold_replaces_once(tmp_path: Path) -> None:
    Cache(tmp_path).make("kind", "key", writer("old", []), deadline=soon())  # type: ignore[arg-type]
    cold, calls = Cache(tmp_path, cold=True), list[str]()
    for _ in range(2):
        path, _ = cold.make("kind", "key", writer("new", calls), deadline=soon())  # type: ignore[arg-type]
    assert (path / "file").read_text() == "new"
    assert calls == ["new"]


def test_two_callers_fill_once(tmp_path: Path) -> None:
    calls: list[str] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        Cache(tmp_path).make("kind", "key", writer("a", calls), deadline=soon())  # type: ignore[arg-type]

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["a"]


def test_a_held_lock_ends_in_an_error_that_says_so(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with (
        cache.lock("build/key", deadline=soon()),
        pytest.raises(InfrastructureError, match="waited 0 s for another run to release the build"),
        Cache(tmp_path).lock("build/key", deadline=Deadline.after(0.1), what="the build of v4"),
    ):
        pass


def test_who_waits_for_an_entry_hears_whose_run_makes_it(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    began, told = threading.Event(), threading.Event()

    def fill(folder: Path) -> None:
        began.set()
        assert told.wait(20)

    def on_wait(what: str, whom: str) -> None:
        heard.append((what, whom))
        told.set()

    first = Cache(tmp_path, command="toolkit fetch", folder=Path("/runs/one"))
    second = Cache(tmp_path, on_wait=on_wait, folder=Path("/runs/two"))
    work = {"deadline": soon(), "label": "v4"}
    thread = threading.Thread(target=first.make, args=("build", "key", fill), kwargs=work)
    thread.start()
    began.wait()
    assert second.make("build", "key", fill, deadline=soon(), label="v4")[1]
    thread.join()
    (what, whom), end = heard
    assert what == "the build of v4"
    assert whom.startswith(f"pid {os.getpid()} since ")
    assert "(toolkit fetch; run folder /runs/one)" in whom
    assert end == (what, "")


def test_prune_removes_the_least_recently_used_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for age, key in enumerate(("new", "middle", "old")):
        path, _ = cache.make("kind", key, writer("x" * 10_000, []), deadline=soon())  # type: ignore[arg-type]
        os.utime(path / ".sealed.json", (1_000_000 - age, 1_000_000 - age))
    sizes = [entry.size for entry in cache.entries()]
    removed = cache.prune(sum(sizes) - 1)
    assert [entry.key for entry in removed] == ["old"]
    assert cache.find("kind", "old") is None
    assert cache.find("kind", "new") is not None


def test_prune_removes_what_killed_runs_left_and_nothing_that_is_being_made(
    tmp_path: Path,
) -> None:
    for left in ("kind/.key.abcd", "kind/.trash.abcd/entry", "work/kernel/.trash.abcd/entry"):
        (tmp_path / left).mkdir(parents=True)
        (tmp_path / left / "file").write_text("x")
    seen: list[Path] = []

    def fill(folder: Path) -> None:
        (folder / "file").write_text("x")
        Cache(tmp_path).prune(1 << 30)
        seen.extend(folder.iterdir())

    Cache(tmp_path).make("kind", "other", fill, deadline=soon())
    assert seen
    assert not list(tmp_path.rglob(".[!s]*"))


def test_prune_leaves_what_is_in_use(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.work("kernel", "key", deadline=soon()) as folder:
        (folder / "file").write_text("x")
        assert Cache(tmp_path).prune(0) == []
        assert folder.exists()
    assert [entry.kind for entry in Cache(tmp_path).prune(0)] == ["work/kernel"]
    assert not folder.exists()


def test_every_work_folder_of_a_name_is_listed_and_pruned(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), Cache(tmp_path)
    with (
        one.work("kernel", "key", deadline=soon()) as first,
        other.work("kernel", "key", deadline=soon()) as second,
    ):
        assert first != second
        listed = [f"{entry.kind}/{entry.key}" for entry in one.entries()]
        assert sorted(listed) == ["work/kernel/key", "work/kernel/key.1"]
        assert Cache(tmp_path).prune(0) == []
        for folder in (first, second):
            (folder / "file").write_text("x" * 10_000)
    assert len(Cache(tmp_path).prune(0)) == 2
    assert not first.exists()
    assert not second.exists()


def test_trim_removes_old_entries_of_one_kind_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for kind in ("snapshot", "build"):
        for age in (9, 5, 1):
            path, _ = cache.make(kind, f"{age}", writer("x" * 5000, []), deadline=soon())  # type: ignore[arg-type]
            then = time.time() - age * 3600
            os.utime(path / ".sealed.json", (then, then))
    size = cache.entries("snapshot")[0].size
    assert [entry.key for entry in cache.trim("snapshot", 2 * size, unused=7200)] == ["9"]
    assert [entry.key for entry in cache.trim("snapshot", 0, unused=7200)] == ["5"]
    assert [entry.kind for entry in cache.entries()].count("build") == 3
    assert [entry.key for entry in cache.entries("snapshot")] == ["1"]


def test_what_entries_share_counts_for_the_one_used_last(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    (tmp_path / "file").write_bytes(b"x" * 100_000)

    def fill(folder: Path) -> None:
        (folder / "shared").hardlink_to(tmp_path / "file")
        (folder / "own").write_bytes(b"x" * 10_000)

    for age, key in enumerate(("new", "old")):
        path, _ = cache.make("kind", key, fill, deadline=soon())
        os.utime(path / ".sealed.json", (1_000_000 - age, 1_000_000 - age))
    old, new = cache.entries()
    assert (old.key, new.key) == ("old", "new")
    assert old.size < 30_000
    assert new.size >= 100_000
    assert [entry.key for entry in cache.prune(old.size + new.size - 1)] == ["old"]


def test_digest_tells_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(b"x") != digest("x")


def test_what_a_killed_run_left_half_done_goes_with_the_next(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.make("build", "a", lambda folder: None, deadline=Deadline.after(5))
    (tmp_path / "build/.b.x1y2z3").mkdir()
    (tmp_path / "build/.b.x1y2z3/half").write_text("done")
    cache.make("build", "b", lambda folder: None, deadline=Deadline.after(5))
    names = {path.name for path in (tmp_path / "build").iterdir() if path.is_dir()}
    assert names == {"a", "b"}


def test_a_damaged_entry_is_made_again_and_told_once(tmp_path: Path) -> None:
    calls: list[str] = []
    path, _ = Cache(tmp_path).make("build", "key", writer("whole", calls), deadline=soon())  # type: ignore[arg-type]
    (path / "file").write_text("broken")
    told: list[str] = []
    cache = Cache(tmp_path, on_damage=told.append)
    again, found = cache.make("build", "key", writer("whole", calls), deadline=soon())  # type: ignore[arg-type]
    assert (found, len(calls), again) == (False, 2, path)
    assert told == ["a cached build is damaged and will be made again: file has changed"]
    assert cache.find("build", "key") == path
    assert Cache(tmp_path, on_damage=told.append).find("build", "key") == path
    assert len(told) == 1


def test_what_an_earlier_toolkit_sealed_is_made_again_without_a_word(tmp_path: Path) -> None:
    calls: list[str] = []
    path, _ = Cache(tmp_path).make("build", "key", writer("whole", calls), deadline=soon())  # type: ignore[arg-type]
    (path / ".sealed.json").write_text('{"label": "old", "made": 1.0}')
    told: list[str] = []
    cache = Cache(tmp_path, on_damage=told.append)
    assert [entry.label for entry in cache.entries()] == ["old"]
    assert not cache.make("build", "key", writer("whole", calls), deadline=soon())[1]  # type: ignore[arg-type]
    assert (len(calls), told) == (2, [])


def test_a_seal_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    path, _ = Cache(tmp_path).make("build", "key", writer("whole", []), deadline=soon())  # type: ignore[arg-type]
    for text in ("{", "[]", "null"):
        (path / ".sealed.json").write_text(text)
        told: list[str] = []
        cache = Cache(tmp_path, on_damage=told.append)
        assert cache.find("build", "key") is None
        assert len(told) == 1
        assert cache.entries() == []


def test_why_a_folder_cannot_be_written(tmp_path: Path) -> None:
    assert why_unwritable(tmp_path / "a/b") == ""
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").write_text("")
    assert why_unwritable(tmp_path / "file") == "File exists"
    assert why_unwritable(tmp_path / "file/b") == "Not a directory"


@pytest.mark.parametrize("name", ["a b", "a:b", "a\tb", "a#b", "a$b", "it's"])
def test_a_path_that_make_cannot_work_in_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be built in the cache") as caught:
        check_path(tmp_path / name / "kernel-toolkit")
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert not (tmp_path / name).exists()
