from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, mail
from toolkit.core.errors import UserError
from toolkit.core.model.series import Explained, KnownFailure
from toolkit.series import catalog

MANIFEST = """\
title: "kvm: iosignalfd"
bases:
  6.12:
  6.1:
    kernels: [6.1, 5.15]
    folder: old
    order: [0002-b.patch, 0001-a.patch]
kconfig: [CONFIG_EVENTFD=y]
suites: [kvm, "upstream:filesystems/eventfd"]
known-failures:
  - test: kvm/x/*
    reason: it cannot work
    review: "printks"
unrun:
  - file: virt/kvm/a.c
    line: " return -ENOMEM;"
    function: f
    reason: nobody can
survives:
  - file: virt/kvm/a.c
    line: " p = kzalloc();"
    operator: gfp
    reason: it is all the same
  - fault: 51-no-grace-period
    reason: it is rare
links: [https://lore.example.org/x]
"""


def write(root: Path, name: str, text: str = MANIFEST) -> Path:
    folder = root / name
    for base in ("6.12", "old"):
        (folder / base).mkdir(parents=True)
        for patch in ("0001-a", "0002-b"):
            (folder / base / f"{patch}.patch").write_bytes(mail(edit("a.c"), f"[PATCH] {patch}"))
    (folder / "6.12" / "0000-cover-letter.patch").write_bytes(mail("", "[PATCH 0/2] The cover"))
    (folder / "series.yaml").write_text(text)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "patches"
    write(root, "iosignalfd/v4")
    write(root, "iosignalfd/v10")
    write(root, "doorbell/v1")
    return root


def refused(name: str, root: Path, release: str | None = "6.12.117") -> UserError:
    with pytest.raises(UserError) as caught:
        catalog.resolve(name, root, release)
    return caught.value


def test_names_are_in_natural_order(root: Path) -> None:
    (root / "README").write_text("no series\n")
    (root / "doorbell/v2").mkdir()
    assert catalog.names(root) == ["doorbell/v1", "iosignalfd/v4", "iosignalfd/v10"]
    assert catalog.names(root / "nowhere") == []


def test_all_that_the_manifest_says(root: Path) -> None:
    found = catalog.resolve("v4", root, "6.12.117")
    assert found.name == "iosignalfd/v4"
    assert found.title == "kvm: iosignalfd"
    assert found.base == "6.12"
    assert [patch.name for patch in found.patches] == ["0001-a.patch", "0002-b.patch"]
    assert found.patches[0].path == root / "iosignalfd/v4/6.12/0001-a.patch"
    assert found.kconfig == ("CONFIG_EVENTFD=y",)
    assert found.suites == ("kvm", "upstream:filesystems/eventfd")
    assert found.known_failures == (KnownFailure("kvm/x/*", "it cannot work", "printks"),)
    assert found.unrun == (Explained("virt/kvm/a.c", "nobody can", "return -ENOMEM;", "f"),)
    assert found.survives == (
        Explained("virt/kvm/a.c", "it is all the same", "p = kzalloc();", operator="gfp"),
        Explained("", "it is rare", fault="51-no-grace-period"),
    )
    assert found.cover_letter == "Why.\n\n---"
    assert found.origin == root / "iosignalfd/v4"


@pytest.mark.parametrize(
    ("release", "base"),
    [
        ("6.12.117", "6.12"),
        ("6.12.0-rc1", "6.12"),
        ("6.1.192", "6.1"),
        ("5.15.3", "6.1"),
        (None, "6.12"),
    ],
)
def test_the_base_follows_the_kernel(root: Path, release: str | None, base: str) -> None:
    found = catalog.resolve("v4", root, release)
    assert found.base == base
    if base == "6.1":
        assert [patch.name for patch in found.patches] == ["0002-b.patch", "0001-a.patch"]


@pytest.mark.parametrize("release", ["6.11.2", "6.120.1", "6.13.0", "7.0.0"])
def test_no_base_for_a_kernel(root: Path, release: str) -> None:
    error = refused("v4", root, release)
    assert f"no patches for Linux {release}" in error.what
    assert "6.1 and 6.12" in error.hint


def test_ways_to_name_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for name in (
        "v4",
        "iosignalfd/v4",
        "iosignalfd/v4/",
        "./iosignalfd/v4",
        str(root / "iosignalfd/v4"),
    ):
        assert catalog.resolve(name, root, "6.12.1").name == "iosignalfd/v4", name
    assert catalog.resolve("doorbell", root, "6.12.1").name == "doorbell/v1"


def test_a_series_wins_over_a_folder_of_that_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v4").mkdir()
    assert catalog.resolve("v4", root, "6.12.1").name == "iosignalfd/v4"
    assert "has no patch in it" in refused("./v4", root).what


def test_an_ambiguous_name(root: Path) -> None:
    error = refused("iosignalfd", root)
    assert error.what == "'iosignalfd' may be iosignalfd/v4, iosignalfd/v10"
    write(root, "doorbell/v4")
    assert "doorbell/v4, iosignalfd/v4" in refused("v4", root).what


def test_an_unknown_name_lists_the_nearest_first(root: Path) -> None:
    error = refused("dorbell/v1", root)
    assert error.what == "there is no series 'dorbell/v1'"
    assert error.hint.startswith("there is doorbell/v1, ")
    assert "iosignalfd/v10" in error.hint
    assert refused("iosignalf", root).hint.startswith("there is iosignalfd/")
    assert "there is none below" in refused("v4", root / "nowhere").hint
    assert "there is no /none" in refused("/none", root).what
    assert "there is no series ''" in refused("", root).what


def test_a_plain_folder_and_an_mbox(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "0001-x.patch").write_bytes(mail(edit("a"), "[PATCH] kvm: x"))
    found = catalog.resolve(str(folder), root, "6.13.0")
    assert (found.name, found.title, found.base) == ("mine", "kvm: x", "")
    box = tmp_path / "box.mbox"
    box.write_bytes(mail(edit("a"), "[PATCH 1/1] kvm: x"))
    found = catalog.resolve(str(box), root, "6.13.0")
    assert (found.name, found.title) == ("box", "kvm: x")
    assert found.patches[0].name == "0001-kvm-x.patch"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("filesystems/", "../", "is no plain file name"),
        ("6.12:", "6.12: {foldr: x}", "unknown key 'foldr' in bases.6.12"),
        ("folder: old", "folder: ../..", "no plain file name"),
        ("folder: old", "folder: none", "there is no folder"),
        ("[6.1, 5.15]", "[six]", "no kernel version"),
        ("CONFIG_EVENTFD=y", "EVENTFD", "not of the form CONFIG_NAME=y"),
        ("reason: it cannot work", 'reason: ""', "reason is empty"),
        ('line: " return -ENOMEM;"\n    function: f', 'line: " "', "name a line or a function"),
        ("0001-a.patch]", "0001-c.patch]", "names 0001-c.patch, which is not in"),
        ("[0002-b.patch, 0001-a.patch]", "[0001-a.patch]", "0002-b.patch nowhere"),
        ("0001-a.patch]", "0001-a.patch, 0001-a.patch]", "0001-a.patch twice"),
        ('title: "kvm: iosignalfd"', "title:", "valid string"),
    ],
)
def test_faults_in_the_manifest(root: Path, old: str, new: str, what: str) -> None:
    path = root / "iosignalfd/v4/series.yaml"
    path.write_text(MANIFEST.replace(old, new, 1))
    assert what in refused("v4", root, "6.1.5").what


def test_a_version_is_not_chosen_where_there_is_one(root: Path) -> None:
    for read in (catalog.resolve, catalog.describe):
        with pytest.raises(UserError, match="is one version of a series"):
            read("v4", root, version=3)


def test_list_says_name_bases_and_title(root: Path) -> None:
    (root / "doorbell/v1/series.yaml").write_text("title: [\n")
    lines = catalog.list_series(root)
    assert lines[0].startswith("doorbell/v1     -")
    assert "series.yaml:2:1" in lines[0]
    assert lines[1] == "iosignalfd/v4   6.1 6.12  kvm: iosignalfd"
    assert catalog.list_series(root / "nowhere") == []


def test_show(root: Path) -> None:
    text = "\n".join(catalog.describe("v4", root))
    assert "for Linux 6.1, 5.15:\n  0002-b.patch: 0002-b\n" in text
    assert "for Linux 6.12:\n  0001-a.patch: 0001-a\n" in text
    assert "known failures:\n  kvm/x/*: it cannot work\n" in text


def test_prefixes(root: Path) -> None:
    whole = catalog.resolve("v4", root, "6.12.1")
    first, last = catalog.prefixes(whole)
    assert first.name == "iosignalfd/v4:1"
    assert first.patches == whole.patches[:1]
    assert last == whole


def test_a_patch_that_adds_nothing_is_refused(root: Path) -> None:
    (root / "iosignalfd/v4/6.12/0002-b.patch").write_bytes(mail("only words\n"))
    assert refused("v4", root).what == "0002-b.patch changes no file"
    (root / "iosignalfd/v4/6.12/0002-b.patch").write_text(create("x"))
    assert catalog.resolve("v4", root).patches[1].subject == "0002-b"


def test_listing_does_without_the_slow_imports() -> None:
    import subprocess
    import sys

    code = (
        "import pathlib, sys; from toolkit.series.catalog import list_series;"
        "list_series(pathlib.Path('.'));"
        "assert not {'pydantic', 'rich', 'paramiko'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "named",
    [
        "operator: gfp",
        "file: a.c",
        "file: a.c\n    operator: gfp",
        "fault: x\n    file: a.c\n    function: f",
    ],
)
def test_an_explained_survivor_has_a_place_or_is_a_fault(root: Path, named: str) -> None:
    write(
        root,
        "iosignalfd/v8",
        f"{MANIFEST}survives:\n  - {named}\n    reason: so\n".replace(
            MANIFEST[MANIFEST.index("survives:") : MANIFEST.index("links:")], ""
        ),
    )
    with pytest.raises(UserError, match="name a file with a line or a function, or else a fault"):
        catalog.resolve("v8", root, "6.12.117")


@pytest.mark.parametrize("name", ["x" * 5000, f"{'a' * 250}@{'b' * 250}/x"])
def test_a_name_that_is_too_long_names_no_series(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="there is no series"):
        catalog.resolve(name, tmp_path)


def test_bases_with_many_digits_are_sorted(tmp_path: Path) -> None:
    names = ["6.9", f"6.{'9' * 5000}", "6.012", "6.1"]
    assert sorted(names, key=catalog._natural) == ["6.1", "6.9", "6.012", names[1]]
