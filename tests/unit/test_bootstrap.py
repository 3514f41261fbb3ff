"""./bootstrap on hosts that it cannot set up, and on one where nothing is left to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cut", "sort", "cat", "cksum", "id", "env", "touch")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "toolkit/workflow").mkdir(parents=True)
    shutil.copy(PROJECT / "bootstrap", root)
    shutil.copy(PROJECT / "pyproject.toml", root)
    return root


def call(
    checkout: Path, programs: str, *words: str, path: str | None = None, machine: str = "x86_64"
) -> subprocess.CompletedProcess[str]:
    (checkout / "toolkit/workflow/host-programs.txt").write_text(programs)
    bin_folder = checkout / "bin"
    bin_folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (bin_folder / tool).symlink_to(found)
    (bin_folder / "python3").symlink_to(sys.executable)
    (bin_folder / "uname").write_text(f"#!/bin/sh\necho {machine}\n")
    (bin_folder / "uname").chmod(0o755)
    return subprocess.run(
        [str(checkout / "bootstrap"), *words],
        env={**os.environ, "PATH": path or str(bin_folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_apt_it_names_what_is_missing(checkout: Path) -> None:
    programs = (
        "# a list\nsh  dash  is there\nqemu-x  qemu-system-x86  is not\n/no/file  pkg  nor this\n"
    )
    done = call(checkout, programs, "true")
    assert done.returncode == 2
    assert "neither Debian nor Ubuntu" in done.stderr
    assert "qemu-x (Debian package qemu-system-x86)" in done.stderr
    assert "/no/file (Debian package pkg)" in done.stderr
    assert "dash" not in done.stderr


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        (("--toolchain", "clang-19"), ("clang-19", "ld.lld-19", "llvm-ar-19")),
        (("--toolchain=clang",), ("clang", "ld.lld", "llvm-ar")),
        (("--toolchain", "gcc-11"), ("gcc-11",)),
        (("--toolchain", "nonsense"), ()),
        (("--patch", "clang"), ()),
    ],
)
def test_the_toolchain_that_a_command_names_is_among_what_it_needs(
    checkout: Path, words: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    done = call(checkout, "/no/file  pkg  nor this\n", "toolkit", "build", *words)
    assert done.returncode == 2, "which nothing but /no/file can make it"
    named = [line.split()[0] for line in done.stderr.splitlines() if "(Debian package" in line]
    assert named == [*lacks, "/no/file"]
    packages = {"ld.lld-19": "lld-19", "ld.lld": "lld", "llvm-ar-19": "llvm-19", "llvm-ar": "llvm"}
    for program in lacks:
        assert f"{program} (Debian package {packages.get(program, program)})" in done.stderr


ARCHITECTURES = """\
x86_64:qemu-x            qemu-x86   boots
arm64:qemu-a             qemu-arm   boots
?arm64:extra             extra      is nice
native-x86_64:/no/x.a    libc       is linked
native-arm64:/no/a.a     libc       is linked
cross-arm64:aa64-gcc     gcc-aa64   compiles
cross-arm64:/no/cross.a  libc-aa64  is linked
"""


@pytest.mark.parametrize(
    ("machine", "words", "lacks"),
    [
        ("x86_64", (), ("qemu-x", "/no/x.a")),
        ("x86_64", ("--arch", "amd64"), ("qemu-x", "/no/x.a")),
        ("x86_64", ("--arch", "arm64"), ("qemu-a", "aa64-gcc", "/no/cross.a")),
        ("x86_64", ("--arch=aarch64",), ("qemu-a", "aa64-gcc", "/no/cross.a")),
        ("aarch64", (), ("qemu-a", "/no/a.a")),
        (
            "x86_64",
            ("--arch", "arm64", "--toolchain", "gcc-11"),
            ("aa64-gcc-11", "qemu-a", "aa64-gcc", "/no/cross.a"),
        ),
        ("x86_64", ("--arch", "mips"), ()),
    ],
)
def test_what_the_architecture_needs_that_a_command_names(
    checkout: Path, machine: str, words: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    programs = ARCHITECTURES + "/no/file  pkg  nor this\n"
    done = call(checkout, programs, "toolkit", "build", *words, machine=machine)
    assert done.returncode == 2, "which nothing but /no/file can make it"
    named = [line.split()[0] for line in done.stderr.splitlines() if "(Debian package" in line]
    assert named == [*lacks, "/no/file"]
    if "gcc-11" in words:
        assert "aa64-gcc-11 (Debian package gcc-11-aa64)" in done.stderr


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        ((), ()),
        (("--kernel", "debian:6.12"), ()),
        (("--kernel", "debian-image:6.12"), ("btf",)),
        (("--kernel=debian-image:6.12",), ("btf",)),
        (("--config", "distro"), ("btf",)),
        (("--config", "distro:cloud-amd64"), ("btf",)),
        (("--config", "defconfig"), ()),
    ],
)
def test_what_a_distribution_s_configuration_needs_comes_with_it(
    checkout: Path, words: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    programs = "distro:btf  pahole  for BTF\n/no/file  pkg  nor this\n"
    done = call(checkout, programs, "toolkit", "build", *words)
    assert done.returncode == 2, "which nothing but /no/file can make it"
    named = [line.split()[0] for line in done.stderr.splitlines() if "(Debian package" in line]
    assert named == [*lacks, "/no/file"]


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        (("--suite", "kvm"), False),
        (("--suite", "upstream-kvm"), False),
        (("--suite", "upstream:net*"), True),
        (("--suite", "kvm", "--suite=upstream:mm", "--suite", "kunit"), True),
        (("-s", "upstream:mm"), True),
        (("--suite", "upstream:mm", "--arch", "arm64"), False),
    ],
)
def test_the_libraries_of_the_tree_s_selftests_come_with_them(
    checkout: Path, words: tuple[str, ...], lacks: bool
) -> None:
    programs = "selftests:/no/cap.h  libcap-dev  clone3\n/no/file  pkg  nor this\n"
    done = call(checkout, programs, "toolkit", "build", *words)
    named = [line.split()[0] for line in done.stderr.splitlines() if "(Debian package" in line]
    assert named == [*(["/no/cap.h"] if lacks else []), "/no/file"]


def test_a_path_that_no_virtual_environment_can_have(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("a b:c"))
    done = call(moved, "qemu-x  qemu-system-x86  is not\n", "true", path=os.environ["PATH"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "move the checkout" in done.stderr
    assert str(moved) in done.stderr


def test_without_a_command_it_says_how_it_is_used(checkout: Path) -> None:
    done = call(checkout, "")
    assert done.returncode == 2
    assert "name a command to run" in done.stderr


@pytest.fixture
def environment(checkout: Path) -> Path:
    """Make a virtual environment whose pip writes down what it is asked for."""
    (checkout / ".venv/bin").mkdir(parents=True)
    python = checkout / "bin/python3"
    pyproject = (checkout / "pyproject.toml").read_bytes()
    checksum = subprocess.run(["cksum"], input=pyproject, capture_output=True, check=True).stdout
    (checkout / ".venv/.bootstrap").write_text(f"{python}\n{checkout}\n{checksum.decode()}")
    pip = checkout / ".venv/bin/pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >>{checkout}/asked\n')
    for program in ("toolkit", "tox"):
        shutil.copy(shutil.which("true") or "", checkout / ".venv/bin" / program)
    pip.chmod(0o755)
    return checkout


def asked(checkout: Path, *words: str) -> list[str]:
    """Return what pip is asked for, for the sake of a command."""
    shutil.rmtree(checkout / "bin", ignore_errors=True)
    log = checkout / "asked"
    log.unlink(missing_ok=True)
    done = call(checkout, "", *words)
    assert done.returncode == 0, done.stderr
    return log.read_text().splitlines() if log.exists() else []


def test_a_command_gets_the_packages_that_it_needs_and_once(environment: Path) -> None:
    toolkit = f"install --quiet --editable {environment}"
    assert asked(environment, "toolkit", "build") == [toolkit]
    assert asked(environment, "toolkit", "build") == []
    assert asked(environment, "toolkit", "bench") == [f"{toolkit}[bench]"]
    assert asked(environment, "toolkit", "matrix") == [f"{toolkit}[matrix]"]
    assert asked(environment, "tox") == ["install --quiet tox"]
    assert asked(environment, "sh", "-c", "true") == [
        "install --quiet pip>=25.1",
        "install --quiet --editable .[matrix] --group developer",
    ]
    assert asked(environment, "sh", "-c", "true") == []


def test_what_a_developer_has_does_for_toolkit_and_tox(environment: Path) -> None:
    assert len(asked(environment, "sh", "-c", "true")) == 2
    assert asked(environment, "tox") == asked(environment, "toolkit", "matrix") == []


def test_what_pip_builds_finds_a_home_where_there_is_none(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setuptools fails for a user whom the password database does not know, without HOME."""
    pip = environment / ".venv/bin/pip"
    pip.write_text(f'#!/bin/sh\necho "$HOME" >>{environment}/asked\n')
    monkeypatch.delenv("HOME")
    assert asked(environment, "tox") == [f"{environment}/.venv"]
    monkeypatch.setenv("HOME", "/home/me")
    assert asked(environment, "toolkit") == ["/home/me"]


on_debian = pytest.mark.skipif(
    not re.search(r"^ID(_LIKE)?=.*(debian|ubuntu)", Path("/etc/os-release").read_text(), re.M),
    reason="no Debian or Ubuntu",
)


@pytest.fixture
def lacking(environment: Path) -> Path:
    """Have apt install what is missing as root, while pip has to be there for it to go on."""
    others = environment / "others"
    others.mkdir()
    meeting = f"until [ -e {environment}/%s ]; do sleep 0.01; done\n"
    install = f"ln -s /bin/true {environment}/bin/qemu-x\n"
    for name, text in (
        ("id", "echo 0\n"),
        ("apt-get", f'[ "$1" = update ] || {{ {meeting % "asked"}{install}}}\n'),
    ):
        (others / name).write_text(f"#!/bin/sh\n{text}")
        (others / name).chmod(0o755)
    for tool in ("ln", "sleep", "timeout"):
        (others / tool).symlink_to(shutil.which(tool) or "")
    return environment


def call_lacking(checkout: Path) -> subprocess.CompletedProcess[str]:
    path = f"{checkout}/others:{checkout}/bin"
    return call(checkout, "qemu-x  qemu-x86  boots\n", "toolkit", "build", path=path)


@on_debian
def test_python_packages_are_installed_beside_the_host_s_and_once(lacking: Path) -> None:
    done = call_lacking(lacking)
    assert done.returncode == 0, done.stderr
    toolkit = f"install --quiet --editable {lacking}"
    assert (lacking / "asked").read_text().splitlines() == [toolkit]


@on_debian
def test_python_packages_that_fail_beside_the_host_s_end_it(lacking: Path) -> None:
    pip = lacking / ".venv/bin/pip"
    pip.write_text(f"{pip.read_text()}exit 1\n")
    done = call_lacking(lacking)
    assert done.returncode == 3
    assert "pip could not install" in done.stderr
    assert not (lacking / ".venv/.bootstrap-toolkit").exists()


@on_debian
def test_what_runs_beside_ends_with_an_installation_that_fails(lacking: Path) -> None:
    pip, apt = lacking / ".venv/bin/pip", lacking / "others/apt-get"
    pip.write_text(f"{pip.read_text()}exec sleep 60\n")
    apt.write_text(apt.read_text().replace("ln -s", "exit 1 #"))
    started = time.monotonic()
    assert call_lacking(lacking).returncode == 3
    assert time.monotonic() - started < 50, "its output is open until the last process has ended"


@on_debian
def test_who_is_not_root_and_has_no_sudo_is_told_what_root_has_to_install(
    checkout: Path,
) -> None:
    programs = "sh  dash  is there\nqemu-x  qemu-system-x86  is not\n"
    others = checkout / "others"
    others.mkdir()
    for name, text in (("id", "echo 1000"), ("apt-get", f"touch {checkout}/called")):
        (others / name).write_text(f"#!/bin/sh\n{text}\n")
        (others / name).chmod(0o755)
    done = call(checkout, programs, "true", path=f"{others}:{checkout / 'bin'}")
    assert done.returncode == 3
    assert "not root and no sudo: let root run: apt-get install qemu-system-x86" in done.stderr
    assert not (checkout / "called").exists()


def test_packages_that_pip_could_not_install_are_tried_again(environment: Path) -> None:
    pip = environment / ".venv/bin/pip"
    working = pip.read_text()
    pip.write_text("#!/bin/sh\nexit 1\n")
    done = call(environment, "", "tox")
    assert done.returncode == 3
    assert "pip could not install" in done.stderr
    pip.write_text(working)
    assert asked(environment, "tox") == ["install --quiet tox"]


def test_with_nothing_to_do_it_runs_the_command_and_passes_its_status(environment: Path) -> None:
    (environment / ".venv/.bootstrap-developer").touch()
    done = call(environment, "sh  dash  is there\n", "sh", "-c", "echo $PATH; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(f"{environment}/.venv/bin:")
    assert done.stderr == ""


def test_what_is_optional_is_not_missed(checkout: Path) -> None:
    done = call(checkout, "?absent package it would be nice\nnone none it is needed\n", "true")
    assert done.returncode == 2
    assert "none (Debian package none)" in done.stderr
    assert "absent" not in done.stderr


def test_the_list_names_a_package_and_a_purpose_for_each_program() -> None:
    for line in (PROJECT / "toolkit/workflow/host-programs.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert len(line.split(None, 2)) == 3, line
