"""One kernel for each architecture, each booted for a few programs: KVM inside, and its deaths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.vm.conftest import Toolkit
from toolkit.core.arch import KNOWN, Arch
from toolkit.core.errors import InfrastructureError
from toolkit.workflow import host_programs

RINGS = "kvm/iosignalfd_mmio_test/doorbell.iosignalfd.slot_added_and_removed_live"
# By program: what it has drivers/misc/lkdtm do, which leaf says so, its status and what it says.
DEATHS = {
    "panic": ("PANIC", "panic.sh", "crash", "Kernel panic - not syncing: dumptest"),
    "hang": ("SOFTLOCKUP", "hang.sh", "timeout", r"did not end within \d+ s"),
    "splat": ("WARNING", "splat.sh/dmesg", "fail", "WARNING: .*lkdtm_WARNING"),
}


@pytest.mark.parametrize("arch", KNOWN.values(), ids=lambda arch: arch.name)
def test_doorbells_ring_and_deaths_are_told_alike(
    toolkit: Toolkit, tmp_path: Path, arch: Arch
) -> None:
    try:
        host_programs.require(arch)
    except InfrastructureError as error:
        pytest.skip(f"{error.what} ({error.hint})")
    words = ["--arch", arch.name, "--patch", "v6", "--suite", "kvm", "--timeout-factor", "0.2"]
    for option in ("CONFIG_LKDTM=m", "CONFIG_RUNTIME_TESTING_MENU=y"):
        words += ["--kconfig", option]
    for name in ("iosignalfd_mmio_test", *(f"{name}.sh" for name in DEATHS)):
        words += ["--test", name]
    for name, (crash, *_) in DEATHS.items():
        program = tmp_path / f"{name}.sh"
        lkdtm = "/sys/kernel/debug/provoke-crash/DIRECT"
        program.write_text(f"#!/bin/sh\nmodprobe lkdtm\necho {crash} >{lkdtm}\n")
        program.chmod(0o755)
        words += ["--program", str(program)]
    ended = toolkit.run("build-and-test", *words)
    assert ended.code == 1, ended
    assert ended.result["environment"]["architecture"] == arch.machine
    leaves = {leaf["id"]: leaf for leaf in ended.result["leaves"]}
    assert leaves[RINGS]["status"] == "pass"
    for name, (_, where, status, message) in DEATHS.items():
        leaf = leaves[f"program-{name}.sh/{where}"]
        assert leaf["status"] == status, ended
        assert re.search(message, leaf["message"]), leaf


def test_an_unknown_architecture_is_refused_at_once(toolkit: Toolkit) -> None:
    ended = toolkit.run("build", "--patch", "v6", "--arch", "mips")
    assert ended.code == 2, ended
    assert f"architectures: {', '.join(KNOWN)}" in ended.err
