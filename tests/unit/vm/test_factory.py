from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from toolkit.core.arch import ARM64, RISCV64, X86_64, Arch
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Accelerator, GuestImage, Splat
from toolkit.formats import cpio
from toolkit.host import limits, process
from toolkit.host.cache import Cache
from toolkit.vm import factory
from toolkit.vm.factory import MachineFactory


def an_image(*, cpus: int = 2, memory: int = 512) -> GuestImage:
    return GuestImage("it", "key", None, None, (), memory, cpus, "q35", (), "dropbear")


@pytest.mark.parametrize(
    ("accelerator", "lockdep", "memory", "machines"),
    [
        ("tcg", False, 512, 4),
        ("tcg", False, 1800, 1),
        ("tcg", False, 9000, 1),
        ("tcg", True, 512, 2),
        ("kvm", True, 512, 4),
    ],
)
def test_as_many_machines_work_as_the_host_has_capacity_for(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    memory: int,
    machines: int,
    *,
    lockdep: bool,
) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 4)
    monkeypatch.setattr(limits, "available_mib", lambda: 4000)
    word = "CONFIG_PROVE_LOCKING=y" if lockdep else "# CONFIG_PROVE_LOCKING is not set"
    config = f"CONFIG_SMP=y\n{word}\nCONFIG_KVM=m\n"
    assert factory.working_at_a_time(an_image(memory=memory), accelerator, config) == machines


def test_there_is_always_capacity_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 1)
    assert factory.working_at_a_time(an_image(cpus=4), "tcg", "CONFIG_PROVE_LOCKING=y\n") == 1


@pytest.mark.parametrize(("cpus", "machines"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_as_many_are_restored_at_a_time_as_their_cpus_have_cores(
    monkeypatch: pytest.MonkeyPatch, cpus: int, machines: int
) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 4)
    assert factory.restored_at_a_time(an_image(cpus=cpus)) == machines


def test_a_complaint_is_the_same_in_another_process_and_on_another_cpu() -> None:
    first = Splat("warning", "WARNING: CPU: 0 PID: 71 at a.c:1", "", fatal=False, line=1)
    other = Splat("oops", "Oops: 0002", "", fatal=False, line=9)
    again = Splat("warning", "WARNING: CPU: 1 PID: 73 at a.c:1", "", fatal=False, line=4)
    assert factory.merged((first, again), (again, other)) == (first, again, other)


def a_factory(folder: Path, arch: Arch) -> MachineFactory:
    initrd = folder / "image"
    initrd.write_bytes(cpio.pack([cpio.file("init", b"#!/bin/sh")]) + b"odd")
    kernel = KernelBuild(folder, "k", "6.12", folder, "d", None, folder, folder)
    image = dataclasses.replace(an_image(), initrd=initrd)
    tcg = Accelerator("tcg", arch.tcg_cpu, "asked for", arch.tcg_board)
    return MachineFactory(arch, Cache(folder / "cache"), kernel, image, tcg, "7.2")


def test_a_board_without_fw_cfg_has_its_files_behind_the_initramfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "find", lambda *_: "/usr/bin/qemu")
    (tmp_path / "key").write_bytes(b"secret")
    files = {"opt/toolkit/host_key": tmp_path / "key"}
    riscv = a_factory(tmp_path, RISCV64).spec(tmp_path, files, tmp_path / "socket")
    assert not riscv.fw_cfg
    assert riscv.initrd
    whole, own = riscv.initrd.read_bytes(), (tmp_path / "image").read_bytes()
    assert whole.startswith(own + b"\0")
    assert riscv.initrd != tmp_path / "image"
    entries = {entry.path: entry for entry in cpio.unpack(whole[-(-len(own) // 4) * 4 :])}
    assert entries["opt/toolkit/host_key/raw"].content == b"secret"
    assert entries["opt/toolkit/host_key/raw"].mode & 0o777 == 0o400
    assert "opt/toolkit" in entries
    assert not riscv.generation
    x86 = a_factory(tmp_path, X86_64).spec(tmp_path, files, tmp_path / "socket")
    assert (x86.fw_cfg, x86.initrd) == (files, tmp_path / "image")
    assert x86.generation


def test_a_kernel_that_dies_before_its_serial_driver_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "find", lambda *_: "/usr/bin/qemu")

    def cmdline(arch: Arch) -> tuple[str, ...]:
        return a_factory(tmp_path, arch).spec(tmp_path, {}, tmp_path / "socket").cmdline

    assert "earlycon" not in cmdline(X86_64)
    assert cmdline(ARM64) == (*cmdline(X86_64), "earlycon")
    assert "earlycon" in cmdline(RISCV64)


def test_machines_are_saved_where_the_board_says_that_they_are_restored(tmp_path: Path) -> None:
    assert a_factory(tmp_path, X86_64).cannot_save() == ""
    assert "no vmgenid for arm64" in a_factory(tmp_path, ARM64).cannot_save()
