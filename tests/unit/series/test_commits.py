from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import git, make_base, make_tree, soon
from toolkit.core.errors import UserError
from toolkit.host.git import Repository
from toolkit.series import catalog, commits, patching, reader
from toolkit.series.place import Commits

FILE = "virt/kvm/eventfd.c"


def commit(repository: Path, line: int, text: str, message: str) -> None:
    lines = (repository / FILE).read_text().splitlines()
    lines[line] = text
    (repository / FILE).write_text("\n".join(lines) + "\n")
    git(repository, "commit", "-q", "-a", "-m", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A tree with a tag v6.12, and two commits on a branch topic."""
    tree = make_tree(tmp_path / "linux")
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-f", ".")
    git(tree, "commit", "-q", "-m", "Linux 6.12")
    git(tree, "tag", "v6.12")
    git(tree, "checkout", "-q", "-b", "topic")
    commit(tree, 10, "first", "kvm: one\n\nWhy.\n\nFrom me to you")
    commit(tree, 40, "second", "kvm: two")
    return tree


def test_the_commits_of_a_range_in_order(repository: Path) -> None:
    found = catalog.resolve(f"git:{repository}@v6.12..topic", repository / "none")
    assert found.name == "linux@v6.12..topic"
    assert [patch.subject for patch in found.patches] == ["kvm: one", "kvm: two"]
    assert [patch.name for patch in found.patches] == ["0001-kvm-one.patch", "0002-kvm-two.patch"]
    assert found.patches[0].message.startswith("Why.\n\nFrom me to you")
    assert found.posting.base_commit == Repository(repository).commit("v6.12", soon()).id
    assert found.mailing is None


def test_nobody_s_settings_play_a_part(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "format.attach": "xyz",
        "format.coverLetter": "true",
        "format.noprefix": "true",
        "format.suffix": ".x",
        "format.subjectPrefix": "RFC",
        "format.signature": "-- me",
        "format.useAutoBase": "true",
        "format.thread": "true",
        "format.headers": "X-A: b",
        "format.notes": "true",
        "format.numbered": "false",
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.external": "false",
        "diff.orderFile": "nowhere",
        "diff.context": "0",
        "diff.interHunkContext": "50",
        "diff.relative": "true",
        "diff.suppressBlankEmpty": "true",
        "diff.algorithm": "patience",
        "format.filenameMaxLength": "10",
        "log.showSignature": "true",
    }
    wanted = reader.read(Commits(repository, "v6.12", "topic"))
    for name, value in settings.items():
        git(repository, "config", name, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    found = reader.read(Commits(repository / "virt", "v6.12", "topic"))
    assert found.patches == wanted.patches
    assert found.cover is None


def test_what_it_gives_is_what_the_branch_has(repository: Path, tmp_path: Path) -> None:
    series = catalog.resolve(f"git:{repository}@v6.12..topic", tmp_path)
    tree = patching.apply(make_base(tmp_path / "base"), series, soon())
    assert tree.files[FILE].content == git(repository, "show", f"topic:{FILE}")


def test_a_file_with_crlf_keeps_it(repository: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    for folder in (repository, base.path):
        (folder / "crlf.txt").write_bytes(b"a\r\nb\r\nc\r\n")
    git(repository, "add", "-f", "crlf.txt")
    git(repository, "commit", "-q", "-m", "CRLF")
    (repository / "crlf.txt").write_bytes(b"a\r\nB\r\nc\r\n")
    git(repository, "commit", "-q", "-a", "-m", "kvm: \u00fc\n\n\u00dc")
    series = catalog.resolve(f"git:{repository}@topic~1..topic", tmp_path)
    tree = patching.apply(base, series, soon())
    assert {name: file.content for name, file in tree.files.items()} == {
        "crlf.txt": b"a\r\nB\r\nc\r\n"
    }
    assert series.patches[0].message == "\u00dc"


def test_a_diff_that_a_message_quotes_is_not_applied(repository: Path, tmp_path: Path) -> None:
    quoted = git(repository, "diff", "topic~1", "topic").decode()
    git(repository, "checkout", "-q", "topic~1")
    commit(repository, 20, "third", f"kvm: not as\n\n{quoted}\n\nEnd.\n---\nA note.")
    base = make_base(tmp_path / "base")
    series = catalog.resolve(f"git:{repository}@v6.12..HEAD", tmp_path)
    tree = patching.apply(base, series, soon())
    assert tree.files[FILE].content == git(repository, "show", f"HEAD:{FILE}")
    message = series.patches[1].message
    assert message.startswith(" diff --git a/")
    assert message.endswith("End.")


def test_merges_are_left_out_and_named(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "side", "v6.12")
    commit(repository, 25, "third", "kvm: three")
    git(repository, "merge", "-q", "--no-edit", "topic")
    files, base, notices = commits.read(Commits(repository, "main", "side"), soon())
    assert len(files) == 3
    assert base == Repository(repository).commit("main", soon()).id
    assert notices == ("left out: 1 merge of linux@main..side",)


def test_commits_that_change_nothing_are_left_out_and_named(repository: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "kvm: nothing")
    found = reader.read(Commits(repository, "v6.12", "topic"))
    assert [patch.subject for patch in found.patches] == ["kvm: one", "kvm: two"]
    assert found.notices == ("left out: 1 commit without a change of linux@v6.12..topic",)
    with pytest.raises(UserError, match=r"no commit of linux@topic~1\.\.topic changes a file"):
        reader.read(Commits(repository, "topic~1", "topic"))


def test_a_worktree_and_a_shallow_clone(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "beside"), "main")
    found = reader.read(Commits(tmp_path / "beside", "main", "topic"))
    assert [patch.subject for patch in found.patches] == ["kvm: one", "kvm: two"]
    git(tmp_path, "clone", "-q", "--depth=2", "-b", "topic", f"file://{repository}", "shallow")
    found = reader.read(Commits(tmp_path / "shallow", "HEAD~1", ""))
    assert [patch.subject for patch in found.patches] == ["kvm: two"]


@pytest.mark.parametrize(
    ("after", "until", "what"),
    [
        ("topic", "v6.12", "linux@topic..v6.12 holds no commit"),
        ("v6.13", "topic", "has no revision 'v6.13'"),
        ("--all", "topic", "has no revision '--all'"),
        ("^v6.12", "topic", "has no revision '^v6.12'"),
    ],
)
def test_ranges_that_hold_nothing(repository: Path, after: str, until: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(Commits(repository, after, until))
    assert what in caught.value.what
    assert caught.value.hint


def test_what_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        reader.read(Commits(tmp_path / "none", "a", "b"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is no git repository"):
        reader.read(Commits(tmp_path / "empty", "a", "b"))


def test_a_range_that_is_too_large(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "MAX_BYTES", 800)
    with pytest.raises(UserError, match="is larger than"):
        reader.read(Commits(repository, "v6.12", "topic"))
    (repository / "large").write_text("x\n" * 4096)
    git(repository, "add", "-f", "large")
    git(repository, "commit", "-q", "-m", "large")
    monkeypatch.setattr(commits, "MAX_BYTES", 4096)
    with pytest.raises(UserError, match=r"a commit of \w+\.\.\w+ is larger than"):
        reader.read(Commits(repository, "topic~1", "topic"))
    monkeypatch.setattr(commits, "MAX_MAILS", 1)
    with pytest.raises(UserError, match="holds 3 commits, and 1 is the most"):
        reader.read(Commits(repository, "v6.12", "topic"))


def test_what_to_watch_is_where_branches_are(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "beside"), "main")
    common = (repository / ".git").resolve()
    found = catalog.places(f"git:{tmp_path / 'beside'}@main..topic", tmp_path / "none")
    assert set(found) == {common / "refs", common / "worktrees/beside/HEAD"}
    assert catalog.places(f"git:{tmp_path}@a..b", tmp_path / "none") == ()
    assert catalog.places("a@example.org", tmp_path / "none") == ()
