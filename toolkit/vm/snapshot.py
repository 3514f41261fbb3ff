"""Saved machines on disk: memory, device state, keys, and what the kernel complained of.

An entry of the cache holds one. The memory is a sparse file that QEMU maps: a restored machine
copies only the pages it writes, so any number of them share one file and start at once. What a
machine has written to its image's disk lies in a qcow2 file over that. All of them are checked
against their checksums before the first use in a run; a damaged one is never restored.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.machine import MachineSpec, Splat
from toolkit.core.observer import Observer
from toolkit.host import integrity
from toolkit.host.cache import Cache, digest

FORMAT = 3  # a part of every key: raise it when older saved machines are of no use any more
MEMORY = "memory"
STATE = "state"
DISK = "disk.qcow2"
KEYS = "keys"
CONSOLE = "console.log"
_FACTS = "snapshot.json"
_KIND = "snapshot"
_BYTES = 4 << 30  # all saved machines together; each edit of a module makes one of 50 MB
_LATELY = 3600.0  # seconds for which a used one is kept in any case: it may still be in use
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved machine. ``splats`` is what its kernel complained of before it was saved."""

    path: Path
    splats: tuple[Splat, ...]
    checksums: Mapping[str, int]

    @property
    def memory(self) -> Path:
        """The machine's memory, a sparse file."""
        return self.path / MEMORY

    @property
    def state(self) -> Path:
        """What QEMU wrote of everything but the memory."""
        return self.path / STATE

    @property
    def disk(self) -> Path:
        """What the machine has written to its image's disk; there only if the image has one."""
        return self.path / DISK

    @property
    def keys(self) -> Path:
        """The folder with the keys that the machine knows."""
        return self.path / KEYS

    @property
    def console(self) -> Path:
        """What was on the console until the machine was saved."""
        return self.path / CONSOLE

    def damage(self) -> str:
        """Return "" if the files are as they were written, else what is wrong."""
        for name, wanted in self.checksums.items():
            try:
                actual = checksum(self.path / name)
            except OSError as error:
                return f"{name} cannot be read ({error.strerror})"
            if actual != wanted:
                return f"{name} has changed on disk"
        return ""


@dataclass(frozen=True, slots=True)
class Store:
    """The saved machines of a cache; ``observer`` is told of those that are damaged."""

    cache: Cache
    observer: Observer

    def find(self, key: str) -> Snapshot | None:
        """Return a saved machine; one that is damaged is removed and counts as none."""
        path = self.cache.find(_KIND, key)
        if path is None:
            return None
        saved = load(path)
        damage = saved.damage() if saved else "its description cannot be read"
        if not damage:
            return saved
        self.observer.notice(f"a saved machine is damaged and made again: {damage}")
        self.cache.discard(_KIND, key)
        return None

    def make(
        self, key: str, label: str, fill: Callable[[Path], None], deadline: Deadline
    ) -> Snapshot:
        """Return the saved machine of a key; where there is none, ``fill`` saves it."""
        path, _ = self.cache.make(_KIND, key, fill, deadline=deadline, label=label, checked=False)
        self.cache.trim(_KIND, _BYTES, unused=_LATELY)
        saved = load(path)
        assert saved is not None
        return saved

    def discard(self, saved: Snapshot) -> None:
        """Remove a saved machine that cannot be restored."""
        self.cache.discard(_KIND, saved.path.name)


def seal(folder: Path, splats: tuple[Splat, ...]) -> None:
    """Write down what :func:`load` and :meth:`Snapshot.damage` need to know of a saved machine."""
    facts = {
        "splats": [asdict(splat) for splat in splats],
        "checksums": {
            name: checksum(folder / name)
            for name in (MEMORY, STATE, DISK)
            if name != DISK or (folder / name).exists()
        },
    }
    (folder / _FACTS).write_text(json.dumps(facts))


def load(folder: Path) -> Snapshot | None:
    """Return the saved machine in a folder, or None when its facts cannot be read."""
    try:
        facts = json.loads((folder / _FACTS).read_text())
        splats = tuple(Splat(**splat) for splat in facts["splats"])
        return Snapshot(folder, splats, dict(facts["checksums"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def booted_key(spec: MachineSpec, *, kernel: str, image: str, qemu: str) -> str:
    """Return the key of a machine that was booted and nothing else.

    ``kernel`` is a digest of the kernel's content, so that a rebuild with the
    same result finds its machine; ``image`` is the image's own key, ``qemu`` the version of QEMU.
    """
    accelerator = spec.accelerator
    binary = Path(spec.binary).stat()
    return digest(
        FORMAT,
        [qemu, spec.binary, binary.st_size, binary.st_mtime_ns],
        [spec.machine_type, spec.memory_mib, spec.cpus, *spec.devices],
        [
            accelerator.name,
            accelerator.cpu,
            accelerator.icount,
            host_cpu() if accelerator.name == "kvm" else "",
            *([accelerator.board] if accelerator.board else []),
            *(["in turns"] if accelerator.in_turns else []),
        ],
        list(spec.cmdline),
        image,
        kernel,
    )


def host_cpu() -> str:
    """Return what a machine saved under KVM depends on: the host's CPU and its kernel."""
    lines = _CPUINFO.read_text(errors="replace").split("\n\n", 1)[0].splitlines()
    fields = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    return "\n".join([platform.release(), *(line for line in lines if line.startswith(fields))])


def checksum(path: Path) -> int:
    """Return a checksum against damage; a block of zeros is a hole, and a hole takes no time."""
    with path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        for offset, block in integrity.blocks(file):
            total = zlib.crc32(block, zlib.crc32(offset.to_bytes(8, "little"), total))
    return total


def copy_memory(source: Path, target: Path) -> None:
    """Copy a sparse file; blocks of zeros become holes."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        writer.truncate(os.fstat(reader.fileno()).st_size)
        for offset, block in integrity.blocks(reader):
            view = memoryview(block)
            while view:
                count = os.pwrite(writer.fileno(), view, offset)
                view, offset = view[count:], offset + count  # noqa: PLW2901
