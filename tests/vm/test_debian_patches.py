"""Debian's own patches of Linux, as they come: most were never made by git format-patch."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from toolkit.formats import patchfile
from toolkit.series import reader

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASES = {"6.1": "bookworm", "6.12": "trixie"}


@pytest.fixture(scope="module")
def apt(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An apt of its own, with the host's mirror for sources; nothing of the host is changed."""
    root = tmp_path_factory.mktemp("apt")
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (root / name).mkdir(parents=True)
    (root / "status").write_text("")
    suites = " ".join(RELEASES.values())
    (root / "parts/debian.sources").write_text(
        f"Types: deb-src\nURIs: {mirror()}\nSuites: {suites}\n"
        f"Components: main\nSigned-By: {KEYRING}\n"
    )
    parts = root / "parts"  # apt takes a list in the new form from a folder alone
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::State": root,
        "Dir::State::Lists": root / "lists",
        "Dir::State::Status": root / "status",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Retries": "2",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run(
        ["apt-get", *words, "update"], check=False, capture_output=True, text=True
    )
    if done.returncode != 0 or not any((root / "lists").glob("*_Sources*")):
        pytest.skip(f"no Debian mirror can be reached: {done.stderr[-300:]}")
    return words


def mirror() -> str:
    """Return where this host gets Debian from."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    for place in places:
        text = place.read_text() if place.is_file() else ""
        if match := re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian)/?\s", text, re.M):
            return match[1]
    pytest.skip("this host gets no Debian packages")


@pytest.mark.parametrize("base", RELEASES)
def test_every_patch_reads_as_git_quiltimport_reads_it(
    base: str, apt: list[str], tmp_path: Path
) -> None:
    archive = download(base, apt, tmp_path)
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    folder = tmp_path / "debian/patches"
    listed = [
        line.split()[0]
        for line in (folder / "series").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    found = reader.read(folder)
    print(f"Linux {base}: {len(found.patches)} patches of {archive.name}")
    assert found.notices == ()
    assert [patch.name for patch in found.patches] == listed
    assert len(listed) > 50
    for patch in found.patches:
        subject, author, names = quiltimport(folder / patch.name, tmp_path)
        assert (patch.subject, patch.author) == (subject, author), patch.name
        parts = patchfile.sections(patch)
        assert {part.paths[-1] for part in parts} == names, patch.name


def download(base: str, apt: list[str], folder: Path) -> Path:
    """Return the newest source package's debian folder that the mirror has."""
    listed = subprocess.run(
        ["apt-cache", *apt, "showsrc", "linux"], capture_output=True, text=True, check=True
    ).stdout
    versions = re.findall(rf"^Version: ({re.escape(base)}\.\S+)", listed, re.MULTILINE)
    errors = ""
    for version in reversed(versions):
        source = ["source", "--download-only", "--diff-only", f"linux={version}"]
        done = subprocess.run(
            ["apt-get", *apt, *source], check=False, cwd=folder, capture_output=True, text=True
        )
        if archives := list(folder.glob("linux_*.debian.tar.*")):
            return archives[0]
        errors += done.stderr
    pytest.skip(f"the mirror has no source of Linux {base}: {errors[-300:]}")


def quiltimport(file: Path, tmp_path: Path) -> tuple[str, str, set[str]]:
    """Return what git-quiltimport.sh takes a file for: subject, author, and files touched."""
    message, diff = tmp_path / "message", tmp_path / "diff"
    done = subprocess.run(
        ["git", "mailinfo", message, diff], input=file.read_bytes(), capture_output=True, check=True
    )
    info = dict(line.split(": ", 1) for line in done.stdout.decode().splitlines() if ": " in line)
    touched = subprocess.run(
        ["git", "apply", "--numstat", "-z", diff], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    names = {row.split(b"\t")[2].decode() for row in touched.split(b"\0") if row}
    subject = info.get("Subject") or file.name.removesuffix(".patch")
    author = f"{info['Author']} <{info['Email']}>" if "Email" in info else ""
    return " ".join(subject.split()), author, names
