"""What a host offers to jobs, as Dask's resources: what `toolkit doctor` finds there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.core import arch
from toolkit.host import limits
from toolkit.kernel import toolchain
from toolkit.matrix import jobs, version
from toolkit.vm import accelerator
from toolkit.workflow import host_programs

Offers = Mapping[str, float]
Needs = tuple[tuple[str, float], ...]  # of a job: by name, each at most once

_VERSION = "toolkit "
_HOME = "work folder of "
_GIT = "git:"
_ALWAYS = "setpriv"  # without which nothing is started


def of_this_host(kernels: Iterable[str], stations: int = 1) -> dict[str, float]:
    """Return what one of so many stations on this host offers; it has built ``kernels`` before.

    A host without QEMU for an architecture offers no VM of it, and one that lacks something else no
    build. Whether its KVM is fit for a job, the job's first machine proves.
    """
    offered: dict[str, float] = {of_version(version.this()): 1}
    common = {each.name for each in host_programs.listed() if not each.condition}
    for each in arch.KNOWN.values():
        programs = host_programs.needed(each)
        lacking = {its.name for its in programs if not its.optional and not its.found()}
        if not lacking & common:
            offered[jobs.SOURCES] = 1
        if not lacking & {each.qemu, _ALWAYS}:
            offered |= {
                jobs.of_arch(jobs.VM, each.name): 1,
                jobs.MEMORY: limits.memory_mib() // stations,
            }
            if not accelerator.look(each).fault:
                offered[jobs.of_arch(jobs.KVM, each.name)] = 1
        if not lacking - {each.qemu}:
            offered[jobs.of_arch(jobs.BUILD, each.name)] = 1
            for its in toolchain.installed(each.cross):
                offered[jobs.toolchain(its.name, each.name)] = 1
    return offered | {at_home(kernel): 1 for kernel in kernels}


def at_home(kernel: str) -> str:
    """Return what a worker offers that has built this kernel, or another of its repository."""
    return f"{_HOME}{kernel.rpartition('@')[0] if kernel.startswith(_GIT) else kernel}"


def of_version(toolkit: str) -> str:
    """Return what a worker with this version of the toolkit offers once, and each job takes."""
    return f"{_VERSION}{toolkit}"


def lacks(offered: Offers, needs: Needs) -> list[str]:
    """Return what a worker does not have of what a job needs, in words."""
    found = []
    for name, amount in needs:
        if offered.get(name, 0) >= amount:
            continue
        kind, _, rest = name.partition(" ")
        if name == jobs.MEMORY:
            found.append(f"{amount:.0f} MiB of memory")
        elif name.startswith(_VERSION):
            found.append(f"this {name} (it has {version_of(offered) or 'none'})")
        else:
            found.append(_LACKING[kind].format(rest) if kind in _LACKING else name)
    return found


def version_of(offered: Offers) -> str:
    """Return the version of a worker's toolkit; "" of a worker that is none of the toolkit's."""
    names = (name for name in offered if name.startswith(_VERSION))
    return next((name.removeprefix(_VERSION) for name in names), "")


_LACKING = {
    jobs.VM: "QEMU for {}",
    jobs.KVM: "a usable /dev/kvm for {}",
    jobs.BUILD: "some of what builds for {} need (toolkit doctor names it)",
    jobs.TOOLCHAIN: "the toolchain {}",
}
