import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import make_base, make_tree, soon
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.host import integrity
from toolkit.kernel.incremental.change_log import ChangeLog
from toolkit.kernel.worktree import materialise

FILE = "virt/kvm/eventfd.c"


@pytest.fixture
def base(tmp_path: Path) -> KernelBase:
    return make_base(tmp_path / "base")


def patched(base: KernelBase, **files: str | None) -> PatchedTree:
    entries = {
        path: PatchedFile(None if text is None else text.encode()) for path, text in files.items()
    }
    return PatchedTree(base, None, entries, "key")


def update(tree: PatchedTree, target: Path) -> list[str]:
    changed = materialise(tree, target, soon())
    assert read(target) == expected(tree)
    return changed


def read(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_file():
            found[name] = (path.read_bytes(), os.access(path, os.X_OK))
    return found


def expected(tree: PatchedTree) -> dict[str, object]:
    found = read(tree.base.path)
    for path, file in tree.files.items():
        found.pop(path, None)
        if file.content is not None:
            found[path] = (file.content, file.executable)
    return found


def times(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.lstat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def pristine(base: KernelBase) -> Iterator[None]:
    before = (read(base.path), times(base.path))
    yield
    assert (read(base.path), times(base.path)) == before


@pytest.mark.usefixtures("pristine")
def test_only_what_changes_is_touched(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "work" / "src"
    assert update(patched(base), target) == []
    before = times(target)
    assert before == times(base.path)

    first = patched(base, **{FILE: "one\n", "new/dir/a.c": "a\n", "Kconfig": None})
    assert sorted(update(first, target)) == ["Kconfig", "new/dir/a.c", FILE]
    after = times(target)
    unchanged = before.keys() - {FILE, "Kconfig"}
    assert {path: after[path] for path in unchanged} == {path: before[path] for path in unchanged}

    assert update(first, target) == []
    assert times(target) == after

    second = patched(base, **{FILE: "two\n", "new/dir/a.c": "a\n", "Kconfig": None})
    assert update(second, target) == [FILE]
    assert times(target)["new/dir/a.c"] == after["new/dir/a.c"]

    # Back at the base: make must see that the file is another one, though the base's is old.
    assert sorted(update(patched(base), target)) == ["Kconfig", "new/dir/a.c", FILE]
    assert times(target)[FILE] > before[FILE]
    assert not (target / "new").exists()
    assert update(patched(base), target) == []


def test_the_log_tells_an_edit_from_a_file_that_came_or_went(
    base: KernelBase, tmp_path: Path
) -> None:
    target = tmp_path / "src"
    update(patched(base, **{FILE: "one\n", "a.c": "a\n"}), target)
    position = ChangeLog(target).position()
    assert position
    update(
        patched(base, **{FILE: "two\n", "b.c": "b\n", "scripts/include": "a link no more"}), target
    )
    kinds = {FILE: True, "a.c": False, "b.c": False, "scripts/include": False}
    assert ChangeLog(target).since(position) == kinds
    run = PatchedFile(b"two\n", executable=True)
    position = ChangeLog(target).position()
    assert position
    update(PatchedTree(base, None, {FILE: run}, "k"), target)
    found = ChangeLog(target).since(position)
    assert found is not None
    assert found[FILE] is False


def test_a_log_that_missed_a_change_starts_anew(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "src"
    log, state = ChangeLog(target), target.with_name(".src.overlay.json")
    update(patched(base, **{FILE: "one\n"}), target)
    kept, position = log.file.read_text(), log.position()
    assert position
    assert "position" in state.read_text()
    update(patched(base, **{FILE: "two\n"}), target)
    log.file.write_text(kept)  # as if by a toolkit that keeps none
    assert log.since(position) == {}
    update(patched(base, **{FILE: "two\n"}), target)
    assert log.since(position) is None
    assert log.tree_id() == kept.split()[0]


@pytest.mark.usefixtures("pristine")
def test_a_file_in_place_of_a_folder_and_back(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "src"
    update(patched(base, **{"include/linux/a.h": None, "include/linux": "file\n"}), target)
    update(patched(base), target)


def test_the_right_to_execute(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "src"
    run = PatchedFile(b"#!/bin/sh\n", executable=True)
    update(PatchedTree(base, None, {"run.sh": run, FILE: run}, "k"), target)
    plain = dataclasses.replace(run, executable=False)
    assert update(PatchedTree(base, None, {"run.sh": plain, FILE: run}, "k"), target) == ["run.sh"]


@pytest.mark.usefixtures("pristine")
def test_an_overlay_file_that_somebody_changed_is_put_right(
    base: KernelBase, tmp_path: Path
) -> None:
    target = tmp_path / "src"
    tree = patched(base, **{FILE: "one\n", "new.c": "n\n"})
    update(tree, target)
    (target / FILE).write_text("two\n")
    (target / "new.c").unlink()
    assert sorted(update(tree, target)) == ["new.c", FILE]


def test_a_touched_file_is_left_as_it_is(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "src"
    tree = patched(base, **{FILE: "one\n"})
    update(tree, target)
    os.utime(target / FILE, ns=(1, 1))
    assert update(tree, target) == []


@pytest.mark.usefixtures("pristine")
def test_another_base_touches_only_the_difference(base: KernelBase, tmp_path: Path) -> None:
    target = tmp_path / "src"
    update(patched(base, **{FILE: "one\n"}), target)
    before = times(target)
    newer = make_tree(tmp_path / "newer", **{"Kconfig": "mainmenu y\n", "more.c": "m\n"})
    (newer / "virt/kvm/Makefile.kvm").unlink()
    (newer / "scripts/include").unlink()
    (newer / "scripts/include").symlink_to("../include/linux")
    other = KernelBase("tree:fake", "6.12.118", newer, "another")
    changed = update(patched(other, **{FILE: "one\n"}), target)
    assert sorted(changed) == ["Kconfig", "more.c", "scripts/include", "virt/kvm/Makefile.kvm"]
    assert times(target)[FILE] == before[FILE]
    assert times(target)["Makefile"] == before["Makefile"]
    update(patched(base), target)


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '{"base": 1, "files": 7}', '{"x": 1}'])
@pytest.mark.usefixtures("pristine")
def test_a_lost_or_damaged_state_is_found_out(
    base: KernelBase, tmp_path: Path, damage: str
) -> None:
    target = tmp_path / "src"
    update(patched(base, **{FILE: "one\n", "new.c": "n\n"}), target)
    state = target.with_name(".src.overlay.json")
    if damage:
        state.write_text(damage)
    else:
        state.unlink()
    assert sorted(update(patched(base), target)) == ["new.c", FILE]


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.usefixtures("pristine")
def test_killed_at_any_moment_the_next_call_repairs(
    base: KernelBase, tmp_path: Path, fresh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the file system goes through one of these; die before and after each."""
    names = ("rename", "unlink", "write_bytes", "write_text", "mkdir", "chmod", "symlink_to")
    real = {name: getattr(Path, name) for name in names}
    left = [0, 0]

    def guard(name: str) -> None:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == 0 and left[1] == 0:
                raise Killed
            result = real[name](self, *args, **kwargs)
            if left[0] == 0:
                raise Killed
            return result

        monkeypatch.setattr(Path, name, call)

    old = patched(base, **{FILE: "one\n", "old/a.c": "a\n", "Kconfig": None, "same.c": "s\n"})
    new = patched(base, **{FILE: "two\n", "new/b.c": "b\n", "Makefile": None, "same.c": "s\n"})
    steps, told = 0, list[bool]()
    for after in (0, 1):
        for step in range(1, 200):
            target = tmp_path / f"{after}-{step}"
            if not fresh:
                materialise(old, target, soon())
            position = ChangeLog(target).position()
            with monkeypatch.context():
                for name in names:
                    guard(name)
                left[:] = [step, after]
                try:
                    materialise(new, target, soon())
                except Killed:
                    steps += 1
                    left[0] = 0
                else:
                    break
                finally:
                    for name in names:
                        monkeypatch.setattr(Path, name, real[name])
            assert not target.exists() or fresh is False or (target / "scripts").is_dir()
            update(new if step % 2 else old, target)
            if position and step % 2:
                known = ChangeLog(target).since(position)
                told.append(known is not None)
                assert known is None or known == {
                    **{"Kconfig": False, "Makefile": False, "new/b.c": False, "old/a.c": False},
                    FILE: True,
                }
    assert fresh or any(told)
    assert steps > 10


def test_a_full_disk_is_told_as_such(
    base: KernelBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "src"
    update(patched(base), target)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        materialise(patched(base, **{FILE: "x\n"}), target, soon())


PATHS = st.sampled_from(["Kconfig", FILE, "a", "a/b", "a/b/c", "virt/kvm/n.c", "scripts/tool.sh"])
OVERLAYS = st.dictionaries(PATHS, st.sampled_from([None, "", "x\n", "y\n"]), max_size=5)


@settings(max_examples=25)
@given(overlays=st.lists(OVERLAYS, min_size=1, max_size=4))
def test_any_sequence_of_overlays(
    overlays: list[dict[str, str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("work")
    base = make_base(root / "base")
    before = read(base.path)
    for files in overlays:
        present = [path for path, text in files.items() if text is not None]
        if any(other.startswith(f"{path}/") for path in present for other in files):
            continue  # a path cannot be a file and a folder
        update(patched(base, **files), root / "src")
    assert read(base.path) == before


def test_damage_that_came_with_the_base_goes_with_it(base: KernelBase, tmp_path: Path) -> None:
    """Whoever finds it removes the base and its own work tree, but not those of other runs."""
    integrity.remember_stamps(base.path)
    target = tmp_path / "work/src"
    tree = patched(base, **{FILE: "edited"})
    update(tree, target)
    with (base.path / "Kconfig").open("a") as damaged:
        damaged.write("!")
    assert (target / "Kconfig").read_text().endswith("!")
    shutil.rmtree(base.path)
    make_base(base.path)
    integrity.remember_stamps(base.path)
    assert update(tree, target) == ["Kconfig"]
    assert update(tree, target) == []
