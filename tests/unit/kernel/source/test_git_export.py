"""A tree made from a near one is the tree that git archive gives."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import git, soon
from toolkit.core.errors import ToolFailedError
from toolkit.host import git as host_git
from toolkit.host import process
from toolkit.host.git import Repository
from toolkit.kernel.source import git_export
from toolkit.kernel.source.git_export import Near

Files = Mapping[str, tuple[str, bytes]]  # mode and content by path

PLAIN, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
ALWAYS: Files = {"Makefile": (PLAIN, b"all:\n")}
ATTRIBUTES = (
    b"a export-ignore\n",
    b"b/* export-ignore\n",
    b"* text eol=crlf\n",
    b"* ident export-subst\n",
)

_name = st.sampled_from(["a", "b", "c d", "\u00e9", "*", ":(top)a", "[a]"])
_path = st.lists(_name, min_size=1, max_size=3).map("/".join)
_entry = st.one_of(
    st.tuples(
        st.sampled_from([PLAIN, EXECUTABLE]),
        st.sampled_from([b"", b"one\n", b"two\r\n", b"$Id$\n", b"$Format:%H$\n", b"\0\xff"]),
    ),
    st.tuples(st.just(LINK), st.sampled_from([b"a", b"b/a", b"nowhere"])),
    st.tuples(st.just(SUBMODULE), st.sampled_from([b"1" * 40, b"2" * 40])),
)
_attributes = st.sampled_from(
    [
        {},
        *({".gitattributes": (PLAIN, text)} for text in ATTRIBUTES),
        {"b/.gitattributes": (PLAIN, b"a export-ignore\n")},
    ]
)


def _without_clashes(files: Files) -> Files:
    """Return the files without those that stand where another wants a folder."""
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    return {path: entry for path, entry in files.items() if path not in folders}


@st.composite
def histories(draw: st.DrawFn) -> list[Files]:
    """Three contents after each other; most changes do not touch the attributes."""
    attributes = [draw(_attributes)] * 3
    if draw(st.booleans()):
        attributes[2] = draw(_attributes)
    files = st.dictionaries(_path, _entry, max_size=8)
    return [_without_clashes({**ALWAYS, **draw(files), **each}) for each in attributes]


def repository(folder: Path, *contents: Files) -> tuple[Repository, list[str]]:
    """Make a repository with a commit for each content; return it and the names of the trees."""
    folder.mkdir()
    git(folder, "init", "-q")
    words: list[bytes] = []
    for number, files in enumerate(contents):
        words.append(b"commit refs/heads/c%d\ncommitter A <a@x> 0 +0000\ndata 0\n" % number)
        words.append(b"deleteall\n")
        for path, (mode, content) in files.items():
            if mode == SUBMODULE:
                words.append(b"M %s %s %s\n" % (mode.encode(), content, path.encode()))
            else:
                words.append(b"M %s inline %s\n" % (mode.encode(), path.encode()))
                words.append(b"data %d\n%s\n" % (len(content), content))
    argv = ["git", "fast-import", "--quiet"]
    subprocess.run(argv, cwd=folder, input=b"".join(words), check=True, capture_output=True)
    made = Repository(folder)
    return made, [made.tree_id(f"c{number}", soon()) for number in range(len(contents))]


def export(repo: Repository, tree: str, target: Path, near: Near | None = None) -> Near:
    target.parent.mkdir()
    git_export.export(repo, tree, target, near=near, report=lambda *_: None, deadline=soon())
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return Near(tree, target)


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is at each path: type and right to execute, and what it holds."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        kind = stat.S_IFMT(mode) | (0 if path.is_symlink() else mode & stat.S_IXUSR)
        held = b""
        if path.is_symlink():
            held = os.fsencode(path.readlink())
        elif path.is_file():
            held = path.read_bytes()
        found[str(path.relative_to(root))] = (kind, held)
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_it_is_what_git_archive_gives(contents: list[Files]) -> None:
    with tempfile.TemporaryDirectory() as name:
        tmp_path = Path(name)
        repo, ids = repository(tmp_path / "repo", *contents)
        near, before = None, {}
        for number, tree in enumerate(ids):
            whole = content(export(repo, tree, tmp_path / f"whole-{number}/tree").path)
            made = export(repo, tree, tmp_path / f"made-{number}/tree", near)
            assert content(made.path) == whole
            assert near is None or content(near.path) == before
            near, before = made, whole


BASE: Files = {**ALWAYS, "a/x": (PLAIN, b"one\n"), "a/y": (PLAIN, b"one\n")}


def shares(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_only_what_differs_takes_space(tmp_path: Path) -> None:
    changed = {**BASE, "a/y": (PLAIN, b"two\n"), "z": (PLAIN, b"new\n")}
    repo, (old, new) = repository(tmp_path / "repo", BASE, changed)
    near = export(repo, old, tmp_path / "old/tree")
    made = export(repo, new, tmp_path / "new/tree", near)
    assert shares(near.path / "a/x", made.path / "a/x")
    assert not shares(near.path / "a/y", made.path / "a/y")
    assert (near.path / "a/y").read_bytes() == b"one\n"


@pytest.mark.parametrize(
    "more",
    [
        {".gitattributes": (PLAIN, b"*.c diff=cpp\n")},
        {"a/.gitattributes": (PLAIN, b"")},
    ],
)
def test_what_reaches_further_is_made_anew(tmp_path: Path, more: Files) -> None:
    repo, (old, new) = repository(tmp_path / "repo", BASE, {**BASE, **more})
    near = export(repo, old, tmp_path / "old/tree")
    made = export(repo, new, tmp_path / "new/tree", near)
    assert not shares(near.path / "a/x", made.path / "a/x")
    assert content(made.path).keys() == {"Makefile", "a", "a/x", "a/y", *more}


def test_a_folder_without_files_is_none(tmp_path: Path) -> None:
    ignored = {".gitattributes": (PLAIN, b"*.h export-ignore\n"), "h/a.h": (PLAIN, b"")}
    one: Files = {**ALWAYS, **ignored, "sub": (SUBMODULE, b"1" * 40), "d/x": (PLAIN, b"")}
    two: Files = {**ALWAYS, **ignored, "sub/in": (SUBMODULE, b"1" * 40), "d/a.h": (PLAIN, b"")}
    repo, (old, new) = repository(tmp_path / "repo", one, two)
    near = export(repo, old, tmp_path / "old/tree")
    assert content(near.path).keys() == {".gitattributes", "Makefile", "d", "d/x"}
    made = export(repo, new, tmp_path / "new/tree", near)
    assert content(made.path).keys() == {".gitattributes", "Makefile"}
    assert shares(near.path / "Makefile", made.path / "Makefile")


def test_more_paths_than_a_command_line_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_git, "_ARGUMENTS", 10)
    changed = {**ALWAYS, **{f"folder/{number}": (PLAIN, b"x") for number in range(7)}}
    repo, (old, new) = repository(tmp_path / "repo", BASE, changed)
    near = export(repo, old, tmp_path / "old/tree")
    made = export(repo, new, tmp_path / "new/tree", near)
    assert content(made.path) == content(export(repo, new, tmp_path / "whole/tree").path)


@pytest.mark.parametrize("lost", ["objects", "links"])
def test_without_the_near_one_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    repo, (old, new) = repository(tmp_path / "repo", BASE, {**BASE, "b": (PLAIN, b"two\n")})
    near = export(repo, old, tmp_path / "old/tree")
    if lost == "objects":
        near = Near("3" * 40, near.path)
    real = process.run

    def run(argv: list[str], **options: object) -> process.Completed:
        if argv[0] == "cp" and lost == "links":
            (tmp_path / "new/tree/half").mkdir(parents=True)
            raise ToolFailedError(argv, 1)
        return real(argv, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", run)
    made = export(repo, new, tmp_path / "new/tree", near)
    assert not shares(near.path / "a/x", made.path / "a/x")
    assert content(made.path).keys() == {"Makefile", "a", "a/x", "a/y", "b"}
