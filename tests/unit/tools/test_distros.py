"""What tools.distros makes of this host's configuration; what it then does needs root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from toolkit.core.errors import InfrastructureError, UserError
from tools import distros


def test_sources_are_those_of_the_host_for_another_distribution() -> None:
    targets = (
        "http://a.example/debian/ bookworm main\n"
        "http://a.example/debian/ bookworm contrib\n"
        "http://a.example/debian/ bookworm main\n"
        "http://b.example/security/ bookworm-security main\n"
        "http://c.example/node/ nodistro main\n"
        "http://d.example/debian/ bookwormish main\n"
    )
    assert distros.sources(targets, "bookworm", "trixie") == [
        "deb http://a.example/debian/ trixie contrib",
        "deb http://a.example/debian/ trixie main",
        "deb http://b.example/security/ trixie-security main",
    ]
    with pytest.raises(UserError, match="no sources of noble"):
        distros.sources(targets, "noble", "trixie")


def test_the_environment_goes_before_pip_s_files() -> None:
    listing = (
        ":env:.timeout='180'\n"
        ":env:.no-input='true'\n"
        "global.timeout='7'\n"
        "global.extra-index-url='https://a.example/simple file:///b c'\n"
        'user.trusted-host="it\'s"\n'
        "WARNING: something else\n"
    )
    assert distros.pip_settings(listing) == {
        "timeout": "180",
        "no-input": "true",
        "extra-index-url": "https://a.example/simple file:///b c",
        "trusted-host": "it's",
    }


def test_what_pip_s_settings_name_is_carried_along(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "local index/simple").mkdir(parents=True)
    (tmp_path / "ca.pem").touch()
    text, places = distros.carry(
        {
            "cert": str(tmp_path / "ca.pem"),
            "find-links": f"{tmp_path}/wheels {tmp_path}/absent https://a.example/links",
            "extra-index-url": f"https://a.example/simple file://{tmp_path}/local%20index/simple",
            "timeout": "180",
        }
    )
    assert text.splitlines() == [
        "[global]",
        "cert = /carried/0",
        f"find-links = /carried/1 {tmp_path}/absent https://a.example/links",
        "extra-index-url = https://a.example/simple file:///carried/2/simple",
        "timeout = 180",
    ]
    assert places == [
        (tmp_path / "ca.pem", "carried/0"),
        (tmp_path / "wheels", "carried/1"),
        (tmp_path / "local index", "carried/2"),
    ]


def test_the_script_mounts_and_passes_the_status_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, stubs = tmp_path / "a root", tmp_path / "stubs"
    root.mkdir()
    stubs.mkdir()
    for name, then in (("mount", ""), ("chroot", "exit 7")):
        (stubs / name).write_text(f'#!/bin/sh\necho {name} "$@"\n{then}\n')
        (stubs / name).chmod(0o755)
    monkeypatch.setenv("https_proxy", "http://p.example")
    monkeypatch.setenv("SECRET", "1")
    (tmp_path / "pem").touch()
    text = distros.script(root, [(tmp_path / "pem", "carried/0")], "tox -e 'a b'")
    done = subprocess.run(
        ["sh", "-c", text],
        env={"PATH": f"{stubs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    *mounts, chroot = done.stdout.splitlines()
    assert mounts == [
        f"mount --bind {root} {root}",
        "mount -t proc proc proc",
        "mount --rbind /sys sys",
        "mount --rbind /dev dev",
        f"mount --bind -o ro {tmp_path}/pem carried/0",
    ]
    assert (root / "carried/0").is_file()
    assert chroot.startswith("chroot . env -i HOME=/root ")
    assert " XDG_CACHE_HOME=/root/cache " in chroot
    assert " https_proxy=http://p.example " in chroot
    assert "SECRET" not in chroot
    assert chroot.endswith("sh -c cd /root/toolkit && exec ./bootstrap tox -e 'a b'")


def test_a_folder_with_a_mount_in_it_is_left_alone(tmp_path: Path) -> None:
    root, mounts = tmp_path / "a root", tmp_path / "mountinfo"
    (root / "proc").mkdir(parents=True)
    mounts.write_text(f"22 1 0:21 / {tmp_path}/a\\040root/proc rw - proc proc rw\n")
    with pytest.raises(InfrastructureError, match="mounted below"):
        distros.remove(root, mounts)
    assert root.exists()
    mounts.write_text(f"22 1 0:21 / {tmp_path}/another rw - proc proc rw\n")
    distros.remove(root, mounts)
    assert not root.exists()


def test_the_commands_are_the_readme_s() -> None:
    readme = (distros.CHECKOUT / "README.md").read_text()
    for command in distros.README.values():
        assert f"./bootstrap {command}" in readme
