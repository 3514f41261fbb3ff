import os
import shutil
from pathlib import Path

import pytest

from tests.unit.fake_tree import git, make_tree, soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, UserError
from toolkit.kernel.source.tree_snapshot import Listing, listing, snapshot

SOURCES = {
    "Makefile",
    ".gitignore",
    "Kconfig",
    "virt/kvm/eventfd.c",
    "virt/kvm/Makefile.kvm",
    "scripts/tool.sh",
    "scripts/include",
    "include/linux/a.h",
}
PRODUCTS = {
    ".config": "",
    ".config.old": "",
    "vmlinux": "",
    "vmlinux.o": "",
    "Module.symvers": "",
    "include/config/auto.conf": "",
    "include/generated/autoconf.h": "",
    "arch/x86/include/generated/asm/x.h": "",
    "virt/kvm/eventfd.o": "",
    "virt/kvm/.eventfd.o.cmd": "",
    "virt/kvm/kvm.ko": "",
    "virt/kvm/kvm.mod.c": "",
    "scripts/kconfig/parser.tab.c": "",
}


def built(root: Path) -> Path:
    make_tree(root, **PRODUCTS, **{"arch/x86/kernel/vmlinux.lds.S": "x\n"})
    shutil.copy("/bin/true", root / "scripts/fixdep")
    return root


def copy(tree: Path, target: Path, previous: Path | None = None) -> Listing:
    files = listing(tree, soon())
    snapshot(
        tree, files, target, previous=previous, report=lambda done, total: None, deadline=soon()
    )
    return files


def test_a_clean_tree_is_taken_whole(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", **{"drivers/fw/a.o": "shipped\n"})
    assert listing(tree, soon()).keys() == SOURCES | {"drivers/fw/a.o"}


def test_what_a_build_left_stays_out(tmp_path: Path) -> None:
    tree = built(tmp_path / "tree")
    assert listing(tree, soon()).keys() == SOURCES | {"arch/x86/kernel/vmlinux.lds.S"}


def test_git_tells_sources_from_products(tmp_path: Path) -> None:
    tree = built(tmp_path / "tree")
    (tree / ".gitignore").write_text(".*\n!.gitignore\n*.o\n/include/config/\n")
    git(tree, "init", "-q")
    git(tree, "add", ".")
    (tree / "untracked.c").write_text("x\n")
    (tree / "ignored.o").write_text("x\n")
    (tree / "Kconfig").unlink()
    found = listing(tree, soon()).keys()
    assert "untracked.c" in found
    assert not {"ignored.o", ".config", "include/config/auto.conf", "Kconfig"} & found
    assert not any(path.startswith(".git/") for path in found)


def test_a_repository_that_tracks_a_part_is_not_asked(tmp_path: Path) -> None:
    """Debian's tree ignores all of itself, so git knows only what was added by force."""
    tree = make_tree(tmp_path / "tree")
    git(tree, "init", "-q")
    git(tree, "add", "-f", "virt")
    assert listing(tree, soon()).keys() == SOURCES


def test_another_users_repository_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree", **{".gitignore": "*.o\n", "virt/kvm/old.o": "x\n"})
    git(tree, "init", "-q")
    git(tree, "add", ".")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # setup.c in git's source
    with pytest.raises(UserError, match="belongs to another user") as caught:
        listing(tree, soon())
    assert f"safe.directory {tree}" in caught.value.hint


def test_a_repository_that_git_cannot_read_gives_no_products(tmp_path: Path) -> None:
    """Such as a work tree that was copied without its repository."""
    tree = make_tree(tmp_path / "tree", **{"virt/kvm/old.o": "x\n"})
    (tree / ".git").write_text("gitdir: /nowhere\n")
    assert listing(tree, soon()).keys() == SOURCES | {".git"}


def test_a_snapshot_keeps_content_times_modes_and_links(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    os.utime(tree / "Kconfig", ns=(10**18, 10**18 + 1))
    files = copy(tree, tmp_path / "one")
    assert listing(tmp_path / "one", soon()) == files
    assert (tmp_path / "one/scripts/include").is_symlink()


def test_the_next_snapshot_shares_what_is_the_same(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    copy(tree, tmp_path / "one")
    (tree / "Kconfig").write_text("mainmenu z\n")
    os.utime(tree / "Kconfig", ns=(10**18, 10**18))
    (tree / "include/linux/a.h").unlink()
    files = copy(tree, tmp_path / "two", tmp_path / "one")
    assert listing(tmp_path / "two", soon()) == files
    same = {
        path
        for path in files
        if (tmp_path / "one" / path).lstat().st_ino == (tmp_path / "two" / path).lstat().st_ino
    }
    assert same == files.keys() - {"Kconfig"}
    assert (tmp_path / "one/Kconfig").read_text() == "mainmenu x\n"


def test_the_tree_is_not_written_to(tmp_path: Path) -> None:
    tree = built(tmp_path / "tree")
    git(tree, "init", "-q")
    git(tree, "add", "-f", ".")
    before = {path: path.lstat().st_mtime_ns for path in tree.rglob("*")}
    copy(tree, tmp_path / "one")
    assert {path: path.lstat().st_mtime_ns for path in tree.rglob("*")} == before


def test_the_deadline_is_kept(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with pytest.raises(DeadlineError):
        listing(tree, Deadline.after(-1))
