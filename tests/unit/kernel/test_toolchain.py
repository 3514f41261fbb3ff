from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.arch import X86_64
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.kernel import toolchain
from toolkit.kernel.toolchain import CLANG, GCC, Toolchain


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gcc", ()),
        ("gcc-11", ("CC=gcc-11", "HOSTCC=gcc-11")),
        ("clang", ("LLVM=1",)),
        ("clang-19", ("LLVM=-19",)),
    ],
)
def test_what_make_is_told(name: str, words: tuple[str, ...]) -> None:
    assert toolchain.parse(name, X86_64).words == words


@pytest.mark.parametrize(
    ("name", "words", "compiling", "gcov", "label"),
    [
        (
            "gcc",
            ("CROSS_COMPILE=aarch64-linux-gnu-",),
            ("aarch64-linux-gnu-gcc",),
            "aarch64-linux-gnu-gcov",
            "aarch64-linux-gnu-gcc",
        ),
        (
            "gcc-12",
            ("CROSS_COMPILE=aarch64-linux-gnu-", "CC=aarch64-linux-gnu-gcc-12"),
            ("aarch64-linux-gnu-gcc-12",),
            "aarch64-linux-gnu-gcov-12",
            "aarch64-linux-gnu-gcc-12",
        ),
        (
            "clang",
            ("LLVM=1",),
            ("clang", "--target=aarch64-linux-gnu"),
            None,
            "aarch64-linux-gnu-clang",
        ),
    ],
)
def test_a_cross_compiler(
    name: str, words: tuple[str, ...], compiling: tuple[str, ...], gcov: str | None, label: str
) -> None:
    cross = Toolchain(name, "aarch64-linux-gnu")
    assert cross.words == words
    assert cross.compiling == compiling
    assert cross.label == label
    assert Toolchain(name).label == name
    assert gcov is None or cross.gcov == gcov
    assert next(iter(cross.programs)) == compiling[0]


def test_packages_of_cross_compilers() -> None:
    assert Toolchain("gcc-13", "x86_64-linux-gnu").programs == {
        "x86_64-linux-gnu-gcc-13": "gcc-13-x86-64-linux-gnu",
        "x86_64-linux-gnu-ld": "binutils-x86-64-linux-gnu",
        "gcc": "gcc",  # of the programs that a build makes for itself
    }


def test_what_clang_compiles_for_is_part_of_its_version(programs: Path) -> None:
    add(programs, "clang", "clang 14")
    add(programs, "ld.lld", "LLD 14")
    add(programs, "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc 12")
    add(programs, "aarch64-linux-gnu-ld", "ld 2.40")
    assert Toolchain("clang").version(soon()) == "clang 14; LLD 14"
    assert Toolchain("clang", "aarch64-linux-gnu").version(soon()).endswith("; aarch64-linux-gnu")
    assert Toolchain("gcc", "aarch64-linux-gnu").version(soon()) == (
        "aarch64-linux-gnu-gcc 12; ld 2.40"
    )
    assert toolchain.installed("aarch64-linux-gnu") == [Toolchain("gcc", "aarch64-linux-gnu")]
    assert toolchain.installed("riscv64-linux-gnu") == []


def test_the_compiler_s_further_flags_tell_its_builds_from_others(programs: Path) -> None:
    assert programs.is_dir()
    plain, optimised = (toolchain.parse("gcc-12", X86_64, each) for each in ("", " -O3  -DX=1 "))
    assert optimised.words == (*plain.words, "KCFLAGS=-O3 -DX=1")
    assert optimised.version(soon()) == f"{plain.version(soon())}; KCFLAGS=-O3 -DX=1"
    assert optimised.label.startswith(f"{plain.label}-")
    assert str(optimised) == "gcc-12, KCFLAGS=-O3 -DX=1"
    assert optimised.programs == plain.programs


@pytest.mark.parametrize(
    "flags", ["O3", "-O3;ls", "-O3 $(id)", "-D'x'", "-DX=`id`", "-O3 -", '--"', "-f\\"]
)
def test_what_is_no_flag_is_the_callers_fault(flags: str) -> None:
    with pytest.raises(UserError, match="is no flag"):
        toolchain.parse("gcc", X86_64, flags)


@pytest.mark.parametrize("name", ["", "cc", "gcc-", "gcc-0", "clang14", "/usr/bin/gcc", "gcc;ls"])
def test_no_toolchain_is_the_callers_fault(name: str) -> None:
    with pytest.raises(UserError, match="is no toolchain") as caught:
        toolchain.parse(name, X86_64)
    assert "clang-19" in caught.value.hint


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a PATH of one folder, with gcc 12 in it, twice."""
    folder = tmp_path / "bin"
    folder.mkdir()
    # What sandboxes and watches children is found as on any host.
    for name in ("setpriv", "sh"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", f"{folder}:/nonexistent")
    for name in ("gcc", "gcc-12", "ld"):
        add(folder, name, f"{name} (Debian) 12.2.0")
    return folder


def add(folder: Path, name: str, version: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{version}'\necho Copyright\n")
    (folder / name).chmod(0o755)


def test_what_is_missing_is_named_with_what_to_install(programs: Path) -> None:
    GCC.require()
    add(programs, "ld.lld-19", "LLD 19")
    with pytest.raises(InfrastructureError) as caught:
        toolchain.parse("clang-19", X86_64).require()
    assert caught.value.what.startswith("clang-19, llvm-ar-19, llvm-nm-19, ")
    assert "ld.lld-19" not in caught.value.what
    hint = "--toolchain clang-19: apt-get install clang-19 llvm-19; this host has gcc, gcc-12"
    assert caught.value.hint == hint
    with pytest.raises(InfrastructureError) as caught:
        toolchain.parse("gcc-11", X86_64).require()
    assert caught.value.what == "gcc-11 is not installed on this host"
    assert caught.value.hint.startswith("--toolchain gcc-11: apt-get install gcc-11;")


def test_the_versions_of_compiler_and_linker_tell_toolchains_apart(programs: Path) -> None:
    for name in CLANG.programs:
        add(programs, name, f"Debian {name} version 14.0.6")
    versions = {each.name: each.version(soon()) for each in toolchain.installed()}
    assert versions == {
        "gcc": "gcc (Debian) 12.2.0; ld (Debian) 12.2.0",
        "gcc-12": "gcc-12 (Debian) 12.2.0; ld (Debian) 12.2.0",
        "clang": "Debian clang version 14.0.6; Debian ld.lld version 14.0.6",
    }


def test_installed_toolchains_are_whole_and_in_the_order_of_their_versions(programs: Path) -> None:
    for name in ("gcc-9", "gcc-ar", "gcc-nm-12", "clang-cpp-14", "c++", "clang-19"):
        add(programs, name, name)
    assert [each.name for each in toolchain.installed()] == ["gcc", "gcc-9", "gcc-12"]
    assert "clang-19" not in Toolchain("clang-19").missing()
