from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from toolkit.core.model.kernel import KernelBase, KernelBuild, KernelConfig, Prebuilt
from toolkit.core.model.machine import GuestImage
from toolkit.kernel.starting_config import StartingConfig
from toolkit.kernel.toolchain import Toolchain
from toolkit.workflow import provenance
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request

IMAGE = GuestImage("minimal", "k3y", None, None, (), 1024, 2, "q35", (), "dropbear")


def test_it_tells_what_the_run_came_to() -> None:
    reached = Reached(config=KernelConfig("", "c0nf"), image=IMAGE, compiler="gcc 12")
    made = provenance.of(
        reached, Request(None, toolchain=Toolchain("clang-19"), append=("nokaslr", "quiet"))
    )
    assert (made.config, made.image, made.build) == ("c0nf", "minimal k3y", "")
    assert (made.toolchain, made.compiler) == ("clang-19", "gcc 12")
    assert made.start == "tiny"
    assert made.machine == "q35, 2 CPUs, 1024 MiB, booted with nokaslr quiet"
    assert made.cpus >= 1
    assert made.memory_mib > 0


def test_a_file_that_the_configuration_begins_with_goes_by_its_name_alone() -> None:
    request = Request(None, start=StartingConfig("/home/me/linux/.config", "CONFIG_A=y\n"))
    assert provenance.of(Reached(config=KernelConfig("", "c0nf")), request).start == ".config"
    assert provenance.of(Reached(), request).start == ""


def test_a_kernel_that_was_not_built_goes_by_its_package(tmp_path: Path) -> None:
    package = "linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1 (SHA-256 abab)"
    prebuilt = Prebuilt(tmp_path, "key", "6.12.117+deb12-cloud-amd64", package)
    base = KernelBase("debian-image:6.12", "6.12.117", tmp_path, "key", prebuilt=prebuilt)
    kernel = KernelBuild(tmp_path, "k", "6.12.117", tmp_path, "d", None, tmp_path, tmp_path)
    config = KernelConfig("", "c0nf")
    made = provenance.of(Reached(base=base, config=config, kernel=kernel), Request(None))
    assert (made.package, made.start) == (package, "package")
    whole = replace(base, prebuilt=None)
    made = provenance.of(Reached(base=whole, config=config, kernel=kernel), Request(None))
    assert (made.package, made.start) == ("", "tiny")


def test_it_does_not_name_the_host() -> None:
    made = provenance.of(Reached(), Request(None))
    assert made.host
    assert platform.node() not in (made.host, made.processor, made.machine)


def test_facts_come_from_the_system_s_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Some Linux 1"\n')
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nmodel name\t: A CPU\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:       2048000 kB\n")
    facts = provenance.gather(tmp_path)
    assert facts.system.startswith("Some Linux 1, Linux ")
    assert (facts.processor, facts.memory_mib) == ("A CPU", 2000)


def test_a_host_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    facts = provenance.gather(tmp_path)
    assert (facts.processor, facts.memory_mib) == ("", 0)
