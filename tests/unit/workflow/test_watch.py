from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import watchfiles

from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.workflow import watch

PROJECT = Path(__file__).parents[3]


class Enough(Exception):  # noqa: N818 - it is no error
    pass


def test_each_change_is_one_more_call() -> None:
    said: list[str] = []

    def changes(where: Sequence[Path]) -> Iterator[object]:
        said.append(f"listens to {where[0]}")
        yield None
        for number in range(2):
            said.append(f"change {number}")
            yield None
        raise Enough

    with pytest.raises(Enough):
        watch.watch(lambda: said.append("run"), [Path("here")], changes)
    assert said == ["listens to here", "run", "change 0", "run", "change 1", "run"]


def test_a_real_edit_is_seen_even_when_it_comes_during_a_run(tmp_path: Path) -> None:
    runs = 0

    def once() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise Enough
        (tmp_path / "file").write_text(f"edit {runs}")

    # A change that is missed would wait for ever.
    watchdog = threading.Timer(60, lambda: (tmp_path / "late").write_text("too late"))
    watchdog.start()
    try:
        with pytest.raises(Enough):
            watch.watch(once, [tmp_path])
    finally:
        watchdog.cancel()
    assert not (tmp_path / "late").exists()


def test_what_is_watched(tmp_path: Path) -> None:
    project = paths.resolve(PROJECT)
    own = [project.patches, project.suites, project.images]
    assert watch.places(project, "v4", "debian:6.12", ()) == own
    found = watch.places(project, str(tmp_path), f"tree:{tmp_path}", ("tiny", "debug", __file__))
    assert found == [*own, tmp_path, Path(__file__), tmp_path]


@pytest.mark.parametrize(
    "error",
    [
        OSError('OS file watch limit reached. about ["/tree/virt"]'),
        RuntimeError("Error creating recommended watcher: Too many"),
    ],
)
def test_inotifys_limit_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def watch_files(*_: object, **__: object) -> Iterator[set[object]]:
        raise error
        yield set()

    monkeypatch.setattr(watchfiles, "watch", watch_files)
    with pytest.raises(
        UserError, match=r"does not watch /\S+: .*([Tt]oo many|limit reached)"
    ) as caught:
        watch.watch(lambda: None, [tmp_path])
    assert "fs.inotify.max_user_watches" in caught.value.hint
