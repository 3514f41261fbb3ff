"""Which commit a series is tested on: real repositories of a few small kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import MAKEFILE, edit, git, linked_checkouts, mail, make_tree, soon
from toolkit.core.errors import RejectedError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.host.git import Repository
from toolkit.series import catalog, patching
from toolkit.workflow import base_choice
from toolkit.workflow.base_choice import Asked

FILE = "virt/kvm/eventfd.c"
OLD = "".join(f"old {number}\n" for number in range(1, 61))


def release(repository: Path, tag: str, *, text: str = "") -> str:
    """Commit and tag the kernel of this version, after writing its file; return the commit."""
    _, major, minor = tag.partition("-")[0].replace("v", ".").split(".")[:3]
    patchlevel = MAKEFILE.replace("VERSION = 6", f"VERSION = {major}", 1)
    patchlevel = patchlevel.replace("PATCHLEVEL = 12", f"PATCHLEVEL = {minor}")
    (repository / "Makefile").write_text(patchlevel.replace("SUBLEVEL = 117", "SUBLEVEL = 0"))
    if text:
        (repository / FILE).write_text(text)
    git(repository, "commit", "-q", "-a", "--allow-empty", "-m", tag)
    git(repository, "tag", tag)
    return git(repository, "rev-parse", "HEAD").decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """v6.1, v6.9, v6.10-rc1, v6.10 as the patch wants them; v6.11 and HEAD do not have that."""
    tree = make_tree(tmp_path / "linux")
    whole = (tree / FILE).read_text()
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-f", ".")
    release(tree, "v6.1", text=OLD)
    release(tree, "v6.9", text=whole)
    release(tree, "v6.10-rc1")
    release(tree, "v6.10")
    release(tree, "v6.11", text=whole.replace("line 10\n", "line ten\n"))
    git(tree, "tag", "v-none")
    git(tree, "tag", "v2.tree", "HEAD^{tree}")
    git(tree, "commit", "-q", "--allow-empty", "-m", "after it")
    return tree


@pytest.fixture
def patch(tmp_path: Path) -> str:
    path = tmp_path / "fix.patch"
    path.write_bytes(mail(edit(FILE)))
    return str(path)


def asked(kernel: str, patch: str | None) -> Asked:
    return Asked(kernel, patch, None, Path("/nonexistent"))


def commit_of(repository: Path, revision: str) -> str:
    return Repository(repository).commit(revision, soon()).id


def with_base(patch: str, base: str) -> str:
    """Return a series that says what it was made on."""
    path = Path(patch).with_name("based.patch")
    text = Path(patch).read_bytes().replace(b"-- \n", f"base-commit: {base}\n-- \n".encode())
    path.write_bytes(text)
    return str(path)


# --- auto ----------------------------------------------------------------------------------------


def test_auto_finds_the_newest_version_that_the_series_applies_to(
    repository: Path, patch: str
) -> None:
    chosen = base_choice.choose(asked(f"auto:{repository}", patch), soon())
    assert chosen.kernel == f"git:{repository}@{commit_of(repository, 'v6.10')}"
    (notice,) = chosen.notices
    assert notice.startswith(f"kernel: v6.10 of {repository}, Linux 6.10.0; tried before: HEAD (")
    assert notice.endswith("), v6.11")


def test_auto_takes_the_head_where_it_can(repository: Path, patch: str) -> None:
    git(repository, "checkout", "-q", "v6.9")
    chosen = base_choice.choose(asked(f"auto:{repository}", patch), soon())
    assert chosen.kernel.endswith(commit_of(repository, "v6.9"))
    assert "tried before" not in chosen.notices[0]


def test_auto_takes_the_base_commit_first(repository: Path, patch: str) -> None:
    base = commit_of(repository, "v6.9")
    chosen = base_choice.choose(asked(f"auto:{repository}", with_base(patch, base)), soon())
    assert chosen.kernel == f"git:{repository}@{base}"
    assert f"base-commit {base[:12]}" in chosen.notices[0]


def test_auto_goes_on_where_the_base_commit_does_not_do(repository: Path, patch: str) -> None:
    """Its prerequisites may be missing there."""
    base = commit_of(repository, "v6.1")
    chosen = base_choice.choose(asked(f"auto:{repository}", with_base(patch, base)), soon())
    assert chosen.kernel.endswith(commit_of(repository, "v6.10"))
    assert f"tried before: base-commit {base[:12]}, HEAD" in chosen.notices[0]


def test_auto_with_nothing_that_it_applies_to(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.patch"
    path.write_bytes(mail(edit(FILE).replace("-line 10", "-line zehn")))
    with pytest.raises(UserError, match="applies to none of 6 bases") as caught:
        base_choice.choose(asked(f"auto:{repository}", str(path)), soon())
    assert len(caught.value.detail) == 6
    assert all("does not apply: hunk at line 7" in line for line in caught.value.detail)
    assert caught.value.detail[1].startswith("v6.11: 0001-kvm-change-a-thing.patch")
    lost = with_base(str(path), "1234567890" * 4)
    with pytest.raises(UserError) as caught:
        base_choice.choose(asked(f"auto:{repository}", lost), soon())
    assert "made on commit 123456789012, which" in caught.value.hint


def test_auto_is_no_place_for_everything_else(
    repository: Path, patch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="finds a base for a series"):
        base_choice.choose(asked(f"auto:{repository}", None), soon())
    with pytest.raises(UserError, match="there is no folder"):
        base_choice.choose(asked("auto:/nonexistent", patch), soon())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is no git repository"):
        base_choice.choose(asked(f"auto:{tmp_path / 'empty'}", patch), soon())
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(UserError, match="no commit of a Linux kernel"):
        base_choice.choose(asked(f"auto:{tmp_path / 'empty'}", patch), soon())
    monkeypatch.chdir(repository)
    assert base_choice.choose(asked("auto", patch), soon()).kernel.startswith(f"git:{repository}@")


def test_auto_of_a_range_is_where_the_range_begins(repository: Path, tmp_path: Path) -> None:
    """Though the branch itself, which HEAD is, has all of it."""
    git(repository, "checkout", "-q", "-b", "topic", "v6.9")
    (repository / FILE).write_text((repository / FILE).read_text().replace("line 40\n", "forty\n"))
    git(repository, "commit", "-q", "-a", "-m", "forty")
    chosen = base_choice.choose(asked("auto", f"git:{repository}@v6.9..topic"), soon())
    assert chosen.kernel == f"git:{repository}@{commit_of(repository, 'v6.9')}"


def test_commits_that_are_alike_are_tried_once(
    repository: Path, patch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 40):
        release(repository, f"v7.{number}")
    tried = []
    apply = patching.apply

    def counted(*rest: object) -> object:
        tried.append(rest)
        return apply(*rest)  # type: ignore[arg-type]

    monkeypatch.setattr(patching, "apply", counted)
    chosen = base_choice.choose(asked(f"auto:{repository}", patch), soon())
    assert chosen.kernel.endswith(commit_of(repository, "v6.10"))
    assert len(tried) == 2
    assert "and 35 more" in chosen.notices[0]
    monkeypatch.setattr(base_choice, "MAX_TRIALS", 1)
    with pytest.raises(UserError, match="applies to none of"):
        base_choice.choose(asked(f"auto:{repository}", patch), soon())


def test_auto_takes_each_kernel_s_own_form_of_a_carried_series(
    repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "patches/topic/v1"
    for base, text in (("6.1", edit(FILE).replace("line ", "old ")), ("6.11", edit(FILE, 20))):
        (folder / base).mkdir(parents=True)
        (folder / base / "0001-x.patch").write_bytes(mail(text))
    (folder / "series.yaml").write_text("title: x\nbases: {'6.1': null, '6.11': null}\n")
    named = Asked(f"auto:{repository}", "v1", None, tmp_path / "patches")
    assert base_choice.choose(named, soon()).kernel.endswith(commit_of(repository, "HEAD"))
    (folder / "6.11/0001-x.patch").write_bytes(mail(edit(FILE, 10)))
    chosen = base_choice.choose(named, soon())
    assert chosen.kernel.endswith(commit_of(repository, "v6.1"))
    assert "v6.10" in chosen.notices[0]  # for which it has no form


def test_a_worktree_a_shallow_clone_and_a_submodule(
    repository: Path, patch: str, tmp_path: Path
) -> None:
    for name, tag in linked_checkouts(repository, tmp_path, "v6.9", "v6.10").items():
        chosen = base_choice.choose(asked(f"auto:{tmp_path / name}", patch), soon())
        assert chosen.kernel == f"git:{tmp_path / name}@{commit_of(repository, tag)}"


# --- git:PATH --------------------------------------------------------------------------------


def test_a_repository_without_a_revision_is_taken_at_the_base_commit(
    repository: Path, patch: str
) -> None:
    base = commit_of(repository, "v6.9")
    based = with_base(patch, base)
    chosen = base_choice.choose(asked(f"git:{repository}", based), soon())
    assert chosen.kernel == f"git:{repository}@{base}"
    assert chosen.notices == ("kernel: v6.9, the base-commit of the series (@HEAD takes HEAD)",)
    for kernel in (f"git:{repository}@HEAD", f"git:{repository}@v6.11", f"tree:{repository}"):
        assert base_choice.choose(asked(kernel, based), soon()).kernel == kernel


def test_a_base_commit_that_the_repository_does_not_have_is_named(
    repository: Path, patch: str
) -> None:
    kernel = f"git:{repository}"
    chosen = base_choice.choose(asked(kernel, with_base(patch, "12ab" * 10)), soon())
    assert chosen.kernel == kernel
    assert "made on commit 12ab12ab12ab, which" in chosen.notices[0]
    assert base_choice.choose(asked(kernel, patch), soon()) == base_choice.Chosen(kernel)
    assert base_choice.choose(asked(kernel, None), soon()) == base_choice.Chosen(kernel)


def test_a_series_that_is_not_there_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no series 'v9'"):
        base_choice.choose(Asked("debian:6.12", "v9", None, tmp_path), soon())


# --- what does not apply ----------------------------------------------------------------------


def rejected(kernel: str, patch: str) -> RejectedError:
    """Return the error for a base whose file is another one."""
    series = catalog.resolve(patch, Path("/nonexistent"))
    base = KernelBase(kernel, "6.12.117", Path("/nonexistent"), "key")
    try:
        patching.apply(base, series, soon())
    except RejectedError as error:
        return base_choice.explained(error, base, series, patch, soon())
    raise AssertionError


def test_what_does_not_apply_says_what_it_was_made_for(repository: Path, patch: str) -> None:
    base = commit_of(repository, "v6.9")
    based = with_base(patch, base)
    for kernel in (f"git:{repository}@v6.11", f"tree:{repository}"):
        hint = rejected(kernel, based).hint
        assert f"it was made for v6.9 ({base[:12]}): --kernel git:{repository}@{base[:12]}." in hint
    hint = rejected("debian:6.12", based).hint
    assert f"made for commit {base[:12]}, not for Linux 6.12.117: --kernel auto:PATH" in hint
    lost = with_base(patch, "12ab" * 10)
    assert "made for commit 12ab12ab12ab, which" in rejected(f"git:{repository}", lost).hint
    assert "made for" not in rejected("debian:6.12", patch).hint.partition(", or give")[0]


def test_a_stable_kernel_s_patch_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fix.patch"
    path.write_bytes(mail(edit(FILE), "[PATCH 6.1.y] fix it"))
    assert rejected("debian:6.12", str(path)).hint.startswith("it was posted for Linux 6.1. Else ")


def test_a_range_says_where_it_begins(repository: Path) -> None:
    commit = commit_of(repository, "v6.10")
    hint = rejected("debian:6.12", f"git:{repository}@v6.10..v6.11").hint
    assert f"made for v6.10 ({commit[:12]}): --kernel git:{repository}@{commit[:12]}." in hint
