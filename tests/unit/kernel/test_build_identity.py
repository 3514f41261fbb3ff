from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.model.kernel import KernelBuild
from toolkit.kernel.build_identity import identity, normalised
from toolkit.kernel.toolchain import GCC, Toolchain

SOURCE = "int twice(int x)\n{\n\treturn x * FACTOR;\n}\n"


def build(
    folder: Path, *flags: str, factor: int = 2, source: str = SOURCE, kernel: bytes | None = None
) -> KernelBuild:
    folder.mkdir()
    (folder / "x.c").write_text(source)
    subprocess.run(
        ["gcc", "-c", *flags, f"-DFACTOR={factor}", "-o", "x.ko", "x.c"], cwd=folder, check=True
    )
    with tarfile.open(folder / "modules.tar", "w") as archive:
        archive.add(folder / "x.ko", "lib/modules/6.12.0/x.ko")
    if kernel is None:
        shared = ["gcc", "-shared", "-nostdlib", "-Wl,--build-id", *flags]
        subprocess.run([*shared, "-o", "vmlinux", "x.ko"], cwd=folder, check=True)
    else:
        (folder / "vmlinux").write_bytes(kernel)
    return KernelBuild(
        path=folder,
        key=folder.name,
        release="6.12.0",
        image=folder / "vmlinux",
        image_digest="",
        modules=folder / "modules.tar",
        headers=folder,
        config=folder / "config",
    )


def test_what_is_never_executed_makes_no_difference(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain")
    debug = build(tmp_path / "debug", "-g", source="/* a comment */\n" + SOURCE)
    assert plain.image.read_bytes() != debug.image.read_bytes()
    assert identity(plain, GCC, soon()) == identity(debug, GCC, soon())


def test_code_makes_a_difference(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other", factor=3)
    assert identity(one, GCC, soon()) != identity(other, GCC, soon())


@pytest.mark.parametrize("same", [True, False])
def test_an_image_that_is_no_elf_file_is_taken_as_it_is(tmp_path: Path, same: bool) -> None:
    one = build(tmp_path / "one", kernel=b"MZ packed")
    other = build(tmp_path / "other", kernel=b"MZ packed" if same else b"MZ other")
    assert (identity(one, GCC, soon()) == identity(other, GCC, soon())) is same


@pytest.mark.parametrize("triplet", ["aarch64-linux-gnu", "riscv64-linux-gnu"])
def test_the_tools_of_another_architecture_read_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triplet: str
) -> None:
    """The host's own objcopy does not know the format of another architecture's objects."""
    names = tmp_path / "bin"
    names.mkdir()
    called = names / f"{triplet}-objcopy"
    called.write_text(f'#!/bin/sh\necho called >{tmp_path}/called\nexec objcopy "$@"\n')
    called.chmod(0o755)
    monkeypatch.setenv("PATH", f"{names}:{os.environ['PATH']}")
    made = build(tmp_path / "one").image
    assert normalised(made, tmp_path / "scratch", Toolchain("gcc", triplet), soon())
    assert (tmp_path / "called").exists()
