import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.unit.fake_tree import FILES, git, make_tree, soon
from toolkit.core.errors import InfrastructureError, ToolMissingError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Silent
from toolkit.host import apt
from toolkit.host.cache import Cache
from toolkit.kernel import source, tree_snapshot


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "linux-6.12")


def fetch(spec: str, cache: Cache, sha256: str | None = None) -> tuple[KernelBase, bool]:
    return source.provider(spec, sha256).fetch(cache, Silent(), soon())


def same(one: Path, other: Path) -> bool:
    argv = ["diff", "-r", "--no-dereference", "--exclude=.git", str(one), str(other)]
    return subprocess.run(argv, check=False).returncode == 0


# --- names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "what", "hint"),
    [
        ("", "names no kernel source", "debian:6.12"),
        ("debian:", "names no kernel version", "debian:6.12"),
        ("debian:6.12; rm", "names no kernel version", "debian:6.12"),
        ("debian:-o", "names no kernel version", "debian:6.12"),
        ("fedora:40", "names no kernel source", "tree:PATH"),
        ("git:", "names no kernel source", "git:PATH@REV"),
        ("tarball:linux.tar", "has no checksum", "tarball:linux.tar#sha256=HEX"),
        ("tarball:linux.tar#sha256=12", "64 hex digits", ""),
        ("tarball:linux.tar#md5=12", "only one #sha256", ""),
    ],
)
def test_specs_that_are_refused(spec: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        source.provider(spec)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_bare_folder_is_explained(tree: Path) -> None:
    with pytest.raises(UserError) as caught:
        source.provider(str(tree))
    assert caught.value.hint.startswith(f"did you mean tree:{tree}?")


def test_a_checksum_goes_with_a_tarball_only() -> None:
    with pytest.raises(UserError, match="goes with a tarball"):
        source.provider("debian:6.12", "0" * 64)


def test_git_names_with_several_at_signs(tmp_path: Path) -> None:
    (tmp_path / "a@b").mkdir()
    assert source.provider(f"git:{tmp_path}/a@b@HEAD@{{1}}") == source.Git(
        f"git:{tmp_path}/a@b@HEAD@{{1}}", tmp_path / "a@b", "HEAD@{1}"
    )
    assert source.provider(f"git:{tmp_path}/a@b") == source.Git(
        f"git:{tmp_path}/a@b", tmp_path / "a@b", "HEAD"
    )


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n", "6.12.117"),
        ("VERSION = 6\nPATCHLEVEL = 13\nSUBLEVEL = 0\nEXTRAVERSION = -rc2\n", "6.13.0-rc2"),
        ("VERSION=5\nPATCHLEVEL=4\nVERSION = 9\n", "5.4.0"),
    ],
)
def test_release(tmp_path: Path, text: str, release: str) -> None:
    (tmp_path / "Makefile").write_text(text)
    assert source.release(tmp_path) == release


@pytest.mark.parametrize("text", [None, "", "VERSION = 6\n", "VERSION = x\nPATCHLEVEL = y\n"])
def test_no_kernel(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "Makefile").write_text(text)
    with pytest.raises(UserError, match="holds no Linux kernel"):
        source.release(tmp_path)


# --- tarballs ----------------------------------------------------------------------------


def pack(tree: Path) -> tuple[Path, str]:
    path = tree.with_suffix(".tar.xz")
    with tarfile.open(path, "w:xz") as tar:
        tar.add(tree, tree.name)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("form", ["path", "url", "apart"])
def test_a_tarball(tree: Path, cache: Cache, form: str) -> None:
    path, sha256 = pack(tree)
    place = path.as_uri() if form == "url" else str(path)
    spec = f"tarball:{place}" if form == "apart" else f"tarball:{place}#sha256={sha256.upper()}"
    base, found = fetch(spec, cache, sha256 if form == "apart" else None)
    assert not found
    assert (base.name, base.release) == (spec, "6.12.117")
    assert same(tree, base.path)
    path.unlink()
    again, found = fetch(f"tarball:elsewhere#sha256={sha256}", cache)
    assert found
    assert again.key == base.key
    assert sorted(path.name for path in base.path.parent.iterdir()) == [
        ".sealed.json",
        ".stamps",
        "release",
        "tree",
    ]


def test_a_tarball_with_another_checksum_is_not_unpacked(tree: Path, cache: Cache) -> None:
    path, sha256 = pack(tree)
    for place in (str(path), path.as_uri()):
        with pytest.raises(UserError, match=sha256):
            fetch(f"tarball:{place}#sha256={'0' * 64}", cache)
    with pytest.raises(UserError, match="cannot read"):
        fetch(f"tarball:none.tar#sha256={'0' * 64}", cache)
    assert [path for path in (cache.root / "source").iterdir() if path.is_dir()] == []


def test_a_tarball_that_is_no_kernel(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README").write_text("x\n")
    path, sha256 = pack(tmp_path / "other")
    with pytest.raises(UserError, match="holds no Linux kernel"):
        fetch(f"tarball:{path}#sha256={sha256}", cache)


# --- git ---------------------------------------------------------------------------------


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


# --- trees -------------------------------------------------------------------------------


def test_a_tree_is_snapshotted_when_it_changed(tree: Path, cache: Cache) -> None:
    base, found = fetch(f"tree:{tree}", cache)
    assert not found
    assert same(tree, base.path)
    assert fetch(f"tree:{tree}/", cache)[1]
    (tree / "Kconfig").write_text("mainmenu two\n")
    newer, found = fetch(f"tree:{tree}", cache)
    assert not found
    assert newer.key != base.key
    assert same(tree, newer.path)
    assert (base.path / "Kconfig").read_text() == FILES["Kconfig"]
    assert (base.path / "Makefile").stat().st_ino == (newer.path / "Makefile").stat().st_ino


def test_a_tree_that_changes_meanwhile(
    tree: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, edits = tree_snapshot.snapshot, [2]

    def snapshot(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]
        if edits[0]:
            edits[0] -= 1
            (tree / "Kconfig").write_text("mainmenu x\n" * (9 - edits[0]))

    monkeypatch.setattr(tree_snapshot, "snapshot", snapshot)
    base, _ = fetch(f"tree:{tree}", cache)
    assert same(tree, base.path)
    edits[0] = 99
    (tree / "more.c").write_text("x\n")
    with pytest.raises(UserError, match="keeps changing"):
        fetch(f"tree:{tree}", cache)


def test_a_tree_that_is_none(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        fetch(f"tree:{tmp_path}/none", cache)
    with pytest.raises(UserError, match="holds no Linux kernel"):
        fetch(f"tree:{tmp_path}", cache)


# --- Debian ------------------------------------------------------------------------------


@pytest.fixture
def deb(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for apt: one package, version by version; returns what was downloaded."""
    archive, _ = pack(tree)
    folder = tmp_path / "pkg"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: linux-source-6.12\nVersion: 1\nArchitecture: all\n"
        "Maintainer: A <a@example.org>\nDescription: x\n"
    )
    (folder / "usr/src").mkdir(parents=True)
    os.link(archive, folder / "usr/src/linux-source-6.12.tar.xz")
    store = tmp_path / "store"
    store.mkdir()
    argv = ["dpkg-deb", "--build", str(folder), str(store / "package.deb")]
    subprocess.run(argv, check=True, capture_output=True)
    downloads: list[str] = []

    def candidates(names: list[str], *_: object) -> tuple[apt.Package, ...]:
        if names != ["linux-source-6.12"]:
            raise InfrastructureError("apt knows no package")
        return (apt.Package(names[0], "6.12.117-1", "all", "5" * 64),)

    def get(packages: list[apt.Package], *_: object) -> list[Path]:
        downloads.append(packages[0].name)
        return [store / "package.deb"]

    monkeypatch.setattr(apt, "candidates", candidates)
    monkeypatch.setattr(apt, "fetch", get)
    return downloads


def test_a_debian_package(deb: list[str], tree: Path, cache: Cache) -> None:
    base, found = fetch("debian:6.12", cache)
    assert not found
    assert (base.name, base.release) == ("debian:6.12", "6.12.117")
    assert same(tree, base.path)
    assert fetch("debian:6.12", cache) == (base, True)
    assert deb == ["linux-source-6.12"]


@pytest.mark.usefixtures("deb")
def test_an_unknown_debian_package(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source.Debian, "_known", staticmethod(lambda _: ["debian:6.12"]))
    with pytest.raises(UserError) as caught:
        fetch("debian:6.99", cache)
    assert caught.value.what == "apt knows no package linux-source-6.99"
    assert caught.value.hint.startswith("apt knows debian:6.12; run `apt-get update`")


def test_a_host_without_apt(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> tuple[apt.Package, ...]:
        raise ToolMissingError("apt-cache", "apt")

    monkeypatch.setattr(apt, "candidates", missing)
    with pytest.raises(UserError) as caught:
        fetch("debian:6.12", cache)
    assert "needs apt" in caught.value.what
    assert "tree:PATH" in caught.value.hint
