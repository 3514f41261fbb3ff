"""Where a run was made and of what, for a reader who wants to compare two results.

Nothing here identifies the host: no host name, no address, no user.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.model.kernel import Prebuilt
from toolkit.core.model.machine import GuestImage
from toolkit.core.model.provenance import Environment
from toolkit.host import limits, sandbox
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request


def of(reached: Reached, request: Request) -> Environment:
    """Return the environment of a run."""
    host = gather()
    config, kernel, image = reached.config, reached.kernel, reached.image
    prebuilt = reached.base.prebuilt if reached.base else None
    return Environment(
        host=host.system,
        processor=host.processor,
        cpus=host.cpus,
        memory_mib=host.memory_mib,
        python=host.python,
        architecture=request.arch.machine,
        toolchain=str(request.toolchain) if request.toolchain and reached.compiler else "",
        compiler=reached.compiler,
        start=_start(request, prebuilt) if config else "",
        config=config.key if config else "",
        build=kernel.key if kernel else "",
        package=prebuilt.package if kernel and prebuilt else "",
        image=f"{image.name} {image.key}" if image else "",
        machine=_machine(image, request.append) if image else "",
        sandbox=sandbox.describe(),
    )


def _start(request: Request, prebuilt: Prebuilt | None) -> str:
    return "package" if prebuilt else Path(request.start.name).name


def _machine(image: GuestImage, append: Sequence[str]) -> str:
    words = [f"{image.machine_type}, {image.cpus} CPUs, {image.memory_mib} MiB"]
    return ", ".join([*words, f"booted with {' '.join(append)}"] if append else words)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host's system, processor, processors that may be used, memory in MiB, and Python."""

    system: str
    processor: str
    cpus: int
    memory_mib: int
    python: str


@functools.cache
def gather(root: Path = Path("/")) -> HostFacts:
    """Return the facts; an unknown one is empty. ``root`` is where /etc and /proc lie."""
    return HostFacts(
        system=", ".join(filter(None, (_distribution(root), f"Linux {platform.release()}"))),
        processor=_field(root / "proc/cpuinfo", "model name"),
        cpus=limits.cpus(root),
        memory_mib=limits.memory_mib(root),
        python=platform.python_version(),
    )


def _distribution(root: Path) -> str:
    for name in ("etc/os-release", "usr/lib/os-release"):
        if named := _field(root / name, "PRETTY_NAME", "="):
            return named.strip("\"'")
    return ""


def _field(path: Path, name: str, separator: str = ":") -> str:
    """Return the first value called ``name`` in a file of names and values, or nothing."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return ""
