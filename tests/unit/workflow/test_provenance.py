from __future__ import annotations

import platform
from pathlib import Path

from toolkit.core.model.kernel import KernelConfig
from toolkit.core.model.machine import GuestImage
from toolkit.workflow import provenance
from toolkit.workflow.reached import Reached

IMAGE = GuestImage("minimal", "k3y", None, None, (), 1024, 2, "q35", (), "dropbear")


def test_it_tells_what_the_run_came_to() -> None:
    reached = Reached(config=KernelConfig("", "c0nf"), image=IMAGE, compiler="gcc 12")
    made = provenance.of(reached, ("nokaslr", "quiet"))
    assert (made.config, made.image, made.build) == ("c0nf", "minimal k3y", "")
    assert made.compiler == "gcc 12"
    assert made.machine == "q35, 2 CPUs, 1024 MiB, booted with nokaslr quiet"
    assert made.cpus >= 1
    assert made.memory_mib > 0


def test_it_does_not_name_the_host() -> None:
    made = provenance.of(Reached(), ())
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
