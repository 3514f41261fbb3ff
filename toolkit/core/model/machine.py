"""A machine: its image, its accelerator and everything that QEMU is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_MEMORY_MIB = 1 << 20  # of one machine: beyond that a manifest has a slip of the pen


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A user land to boot: an initramfs, a root disk or both, and its QEMU profile."""

    name: str
    key: str
    initrd: Path | None
    disk: Path | None
    cmdline: tuple[str, ...]
    memory_mib: int
    cpus: int
    machine_type: str
    devices: tuple[str, ...]  # further QEMU arguments, from the rendered profile
    host_key_type: str  # dropbear or openssh: the format that the SSH server reads
    user: str = "root"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Which accelerator runs the machines, and why that one."""

    name: str  # kvm or tcg
    cpu: str  # QEMU's -cpu
    reason: str
    board: str = ""  # further options of QEMU's -machine
    # tcg only: the guest's clock counts instructions, each 2**icount ns; None: it is real
    icount: int | None = None
    in_turns: bool = False  # tcg only: one thread runs all of the guest's CPUs


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file that is a machine's memory: written through, or only read and copied on write."""

    path: Path
    shared: bool


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file that is a machine's root disk. Unless ``kept``, what the machine writes is lost."""

    path: Path
    format: str = "raw"  # or qcow2, over another file
    kept: bool = False


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """Everything that QEMU's command line depends on (:func:`toolkit.vm.qemu_argv.argv`)."""

    binary: str
    accelerator: Accelerator
    machine_type: str
    memory_mib: int
    cpus: int
    kernel: Path
    initrd: Path | None
    disk: DiskFile | None
    cmdline: tuple[str, ...]
    devices: tuple[str, ...]
    fw_cfg: Mapping[str, Path]
    console_log: Path
    qmp_socket: Path
    # Its vmgenid: a new one makes a restored kernel reseed its random pool. "": it has none.
    generation: str = "auto"
    memory: MemoryFile | None = None  # None: anonymous memory, which cannot be saved
    incoming: bool = False  # waits for a saved state instead of booting
    payload: Path | None = None  # a disk to read archives from (toolkit.vm.transfer_disk)


@dataclass(frozen=True, slots=True)
class Splat:
    """A complaint of the kernel found on its console, in its own words."""

    kind: str  # panic, oops, bug, warning, kasan, lockdep, rcu-stall, hung-task, soft-lockup …
    title: str  # the line that names it
    text: str  # the whole report
    fatal: bool  # the machine cannot go on after it
    line: int  # where it begins on the console, counted from 1
    during: str = ""  # suite/program that ran, or boot
    decoded: str = ""  # the report with files and lines in its stack traces, where it was possible
