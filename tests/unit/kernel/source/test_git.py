from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import FILES, add_submodule, git, linked_checkouts
from tests.unit.kernel.source.fetching import fetch
from toolkit.core.errors import UserError
from toolkit.host.cache import Cache
from toolkit.kernel import source
from toolkit.kernel.source import git as git_source


def test_git_names_with_several_at_signs(tmp_path: Path) -> None:
    (tmp_path / "a@b").mkdir()
    assert source.parse(f"git:{tmp_path}/a@b@HEAD@{{1}}") == git_source.Git(
        f"git:{tmp_path}/a@b@HEAD@{{1}}", tmp_path / "a@b", "HEAD@{1}"
    )
    assert source.parse(f"git:{tmp_path}/a@b") == git_source.Git(
        f"git:{tmp_path}/a@b", tmp_path / "a@b", "HEAD"
    )


@pytest.fixture
def repository(tree: Path) -> Path:
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-f", ".")
    git(tree, "commit", "-q", "-m", "one")
    git(tree, "tag", "v6.12")
    (tree / "Kconfig").write_text("mainmenu two\n")
    git(tree, "commit", "-q", "-a", "-m", "two")
    return tree


def test_a_commit_and_not_what_lies_in_the_folder(repository: Path, cache: Cache) -> None:
    (repository / "Kconfig").write_text("not committed\n")
    base, found = fetch(f"git:{repository}@v6.12", cache)
    assert not found
    assert {
        str(path.relative_to(base.path)): path.read_text()
        for path in base.path.rglob("*")
        if path.is_file() and not path.is_symlink()
    } == FILES
    head, _ = fetch(f"git:{repository}", cache)
    assert (head.path / "Kconfig").read_text() == "mainmenu two\n"
    assert head.key != base.key


def test_the_same_tree_is_kept_once(
    repository: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(f"git:{repository}@main", cache)
    git(repository, "commit", "-q", "--allow-empty", "-m", "three")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert fetch(f"git:{repository}/virt@main", cache)[1]


def test_commits_of_one_repository_follow_each_other(
    repository: Path, cache: Cache, tmp_path: Path
) -> None:
    old, _ = fetch(f"git:{repository}@v6.12", cache)
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"))
    new, found = fetch(f"git:{tmp_path}/other@main", cache)
    assert not found
    assert old.lineage == new.lineage != ""
    assert (new.path / "Kconfig").read_text() == "mainmenu two\n"
    assert (old.path / "Makefile").stat().st_ino == (new.path / "Makefile").stat().st_ino
    git(tmp_path, "clone", "-q", str(repository), "clone")
    assert fetch(f"git:{tmp_path}/clone@main", cache)[0].lineage not in ("", old.lineage)


def test_a_repository_s_own_attributes_reach_every_file(repository: Path, cache: Cache) -> None:
    fetch(f"git:{repository}@v6.12", cache)
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("*.h export-ignore\n")
    new, _ = fetch(f"git:{repository}@main", cache)
    assert not (new.path / "include").exists()


@pytest.mark.parametrize("text", ["", "[]", '["x", 1]', '{"a": 1}', '["' + "1" * 40 + '", ""]'])
def test_a_pointer_to_a_near_tree_may_be_damaged(repository: Path, cache: Cache, text: str) -> None:
    fetch(f"git:{repository}@v6.12", cache)
    (pointer,) = (cache.root / "source").glob("latest-*.json")
    pointer.write_text(text)
    new, _ = fetch(f"git:{repository}@main", cache)
    assert (new.path / "Kconfig").read_text() == "mainmenu two\n"


def test_an_unknown_revision_lists_the_nearest(repository: Path, cache: Cache) -> None:
    with pytest.raises(UserError) as caught:
        fetch(f"git:{repository}@v6.21", cache)
    assert caught.value.what.endswith("has no revision 'v6.21'")
    assert caught.value.hint == "there is v6.12"
    with pytest.raises(UserError, match="has no revision '--help'"):
        fetch(f"git:{repository}@--help", cache)


def test_no_repository(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(UserError, match="no git repository"):
        fetch(f"git:{tmp_path}/plain@main", cache)
    with pytest.raises(UserError, match="there is no folder"):
        fetch(f"git:{tmp_path}/none@main", cache)


def test_shallow_clones_worktrees_and_submodules(
    repository: Path, cache: Cache, tmp_path: Path
) -> None:
    texts = {"v6.12": "mainmenu x\n", "main": "mainmenu two\n"}
    keys = {}
    for name, revision in linked_checkouts(repository, tmp_path, "v6.12", "main").items():
        for scheme in ("git", "tree"):
            base, _ = fetch(f"{scheme}:{tmp_path / name}", cache)
            assert (base.path / "Kconfig").read_text() == texts[revision]
            assert (base.path / "scripts/include").is_symlink()
            keys[name, scheme] = base.key
    assert keys["shallow", "git"] == keys["whole/sub", "git"]  # the tree's name is the key
    assert keys["worktree", "git"] != keys["shallow", "git"]


def test_a_kernel_with_a_submodule_in_it(repository: Path, cache: Cache, tmp_path: Path) -> None:
    """git archive has nothing of it but, at most, an empty folder."""
    add_submodule(repository, repository)
    git(repository, "commit", "-q", "-m", "with a submodule")
    base, _ = fetch(f"git:{repository}", cache)
    assert (base.path / ".gitmodules").is_file()
    assert not list(base.path.glob("sub/*"))
    assert fetch(f"tree:{repository}", cache)[0].release == "6.12.117"
