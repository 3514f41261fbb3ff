import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.host import apt
from toolkit.host.apt import (
    Member,
    Package,
    candidates,
    contents,
    fetch,
    merged,
    resolve,
)
from toolkit.host.apt_lists import apt_stamp
from toolkit.host.cache import Cache

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="the host has no dpkg-deb")

RECORDS = """\
Package: tool
Version: 2
Architecture: amd64
Description: a tool
 SHA256: not this one
SHA256: aaaa

Package: tool
Version: 1
Architecture: amd64
SHA256: bbbb

Package: tool
Version: 3
Architecture: i386
SHA256: cccc

Package: text
Version: 1
Architecture: all
SHA256: dddd

Package: local
Version: 1
Architecture: amd64
Status: install ok installed

"""


def soon() -> Deadline:
    return Deadline.after(60)


def make_deb(folder: Path, name: str, files: dict[str, str], links: dict[str, str]) -> Path:
    """Build a tiny package; a path that ends in * is executable."""
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    )
    for path, content in files.items():
        target = root / path.rstrip("*")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(0o755 if path.endswith("*") else 0o644)
    for path, goal in links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(goal)
    deb = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", root, deb], check=True, stdout=-3)
    return deb


def fake_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs of these names (with _ for -) first on the path."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, body in scripts.items():
        program = tools / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


# --- which version -----------------------------------------------------------------------


def test_records_of_other_architectures_and_without_checksum_are_left_out() -> None:
    assert apt.parse_records(RECORDS, "amd64") == {
        "tool": Package("tool", "2", "amd64", "aaaa"),
        "text": Package("text", "1", "all", "dddd"),
    }


def test_apts_answer_is_remembered_while_its_lists_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "records").write_text(RECORDS)
    fake_tools(
        tmp_path,
        monkeypatch,
        dpkg="echo amd64",
        apt_cache=f"echo run >>{tmp_path}/runs; cat {tmp_path}/records",
    )
    cache = Cache(tmp_path / "cache")
    for stamp in ("old", "old", "new"):
        found = candidates(["text", "tool"], cache, soon(), stamp)
        assert [(package.name, package.version) for package in found] == [
            ("text", "1"),
            ("tool", "2"),
        ]
    assert (tmp_path / "runs").read_text() == "run\n" * 2


def test_a_package_that_apt_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tools(tmp_path, monkeypatch, dpkg="echo amd64", apt_cache="exit 100")
    with pytest.raises(InfrastructureError, match="apt has no package tool for amd64") as caught:
        candidates(["tool"], Cache(tmp_path / "cache"), soon(), "stamp")
    assert "apt-get update" in caught.value.hint


def test_the_stamp_follows_apts_files(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "Packages").write_text("1")
    before = apt_stamp([lists])
    (lists / "lock").write_text("")
    assert apt_stamp([lists]) == before
    (lists / "Packages").write_text("12")
    assert apt_stamp([lists]) != before


# --- downloads ---------------------------------------------------------------------------


def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> Package:
    """Make apt-get a script that downloads ``content``; return the package whose file that is."""
    fake_tools(
        tmp_path,
        monkeypatch,
        apt_get=f'echo "$@" >>{tmp_path}/runs; printf {content} >tool_1_amd64.deb',
    )
    return Package("tool", "1", "amd64", hashlib.sha256(b"content").hexdigest())


def test_a_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = downloads(tmp_path, monkeypatch, "content")
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        (path,) = fetch([package], cache, soon())
        assert path.read_bytes() == b"content"
    assert (tmp_path / "runs").read_text().count("download tool:amd64=1\n") == 1


def test_a_download_that_differs_from_its_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = downloads(tmp_path, monkeypatch, "tampered")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(InfrastructureError, match="does not have the SHA-256"):
        fetch([package], cache, soon())
    assert not list((tmp_path / "cache").glob("deb/*/package.deb"))


def test_a_failing_download_tells_what_apt_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(tmp_path, monkeypatch, apt_get="echo 'E: 404 Not Found' >&2; exit 100")
    with pytest.raises(InfrastructureError, match="cannot download tool") as caught:
        fetch([Package("tool", "1", "amd64", "00")], Cache(tmp_path / "cache"), soon())
    assert caught.value.detail == ("E: 404 Not Found",)
    assert "apt-get update" in caught.value.hint


# --- contents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("./bin/sh", "usr/bin/sh"),
        ("/lib64/ld.so", "usr/lib64/ld.so"),
        ("usr/sbin/x", "usr/sbin/x"),
        ("/etc/bin/x", "etc/bin/x"),
        ("/usr/lib/../../lib/a", "usr/lib/a"),
        ("../../etc/passwd", "etc/passwd"),
    ],
)
def test_merged(path: str, expected: str) -> None:
    assert merged(path) == expected


@needs_dpkg
def test_contents_are_files_and_links_by_merged_path(tmp_path: Path) -> None:
    deb = make_deb(
        tmp_path,
        "one",
        {"bin/tool*": "program", "etc/conf": "text"},
        {"usr/lib/libx.so.1": "libx.so.1.2", "lib64/ld.so": "/lib/ld-real.so"},
    )
    assert contents(deb, soon()) == {
        "usr/bin/tool": Member(b"program", executable=True),
        "etc/conf": Member(b"text", executable=False),
        "usr/lib/libx.so.1": Member(b"", executable=False, target="usr/lib/libx.so.1.2"),
        "usr/lib64/ld.so": Member(b"", executable=False, target="usr/lib/ld-real.so"),
    }


def test_links_lead_to_files_and_never_in_circles() -> None:
    tree = {
        "usr/lib/a": Member(b"", executable=False, target="usr/lib/b"),
        "usr/lib/b": Member(b"here", executable=False),
        "c": Member(b"", executable=False, target="c"),
    }
    found = resolve(tree, "/lib/a")
    assert found and found.content == b"here"
    assert resolve(tree, "c") is None
    assert resolve(tree, "missing") is None
