"""Machines for one run: each booted with the run's kernel, its modules and its suites in place."""

from __future__ import annotations

import base64
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit import keys, machine, process, qemu, selftests
from toolkit.arch import Arch
from toolkit.deadline import Deadline
from toolkit.guest import GuestSession
from toolkit.machine import Machine
from toolkit.model import (
    Accelerator,
    BuiltSuite,
    GuestImage,
    KernelBuild,
    MachineSpec,
    Observer,
    Splat,
    StageRecord,
)

BOOT_SECONDS = 180.0  # from QEMU's start to SSH, under emulation on a busy host


@dataclass(slots=True)
class Testbed:
    """What every machine of a run is made of, and where its evidence goes.

    ``on_boot_splats`` hears what a kernel complained of before its machine was ready, and
    ``stages`` gets a record for each boot.
    """

    arch: Arch
    kernel: KernelBuild
    image: GuestImage
    accelerator: Accelerator
    suites: Sequence[BuiltSuite]
    folder: Path
    observer: Observer
    deadline: Deadline
    stages: list[StageRecord]
    on_boot_splats: Callable[[str, tuple[Splat, ...]], None]
    append: tuple[str, ...] = ()
    booted: int = field(default=0, init=False)

    @contextlib.contextmanager
    def boot(self) -> Iterator[tuple[Machine, GuestSession]]:
        """Boot a machine and yield it with a session in it; on leaving it is stopped.

        Raises :class:`BootError` when the kernel does not come up, and
        :class:`MachineLostError` when QEMU does not.
        """
        self.booted += 1
        number = f"-{self.booted}" if self.booted > 1 else ""
        name, began = f"boot{number}", time.monotonic()
        self.observer.stage_started(name)
        limit = self.deadline.sooner(BOOT_SECONDS)
        with contextlib.ExitStack() as stack:
            # A socket's path is short (unix(7): 108 bytes), so it is not in the run's folder.
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-")))
            made = keys.make_keys(self.folder / f"keys{number}", self.image.host_key_type)
            spec = self._spec(number, made.fw_cfg, scratch / "qmp.sock")
            script = self.folder / f"qemu{number}.sh"
            script.write_text(qemu.script(spec, made.client_key))
            script.chmod(0o755)
            vm = stack.enter_context(machine.start(spec, limit))
            vm.wait_ready(limit)
            if complaints := vm.splats():
                self.on_boot_splats(name, complaints)
            session = stack.enter_context(
                GuestSession.connect(
                    vm.ssh_port,
                    user=self.image.user,
                    client_key=made.client_key,
                    host_key=base64.b64decode(made.host_public.split()[1]),
                    deadline=limit,
                    alive=vm.dead,
                )
            )
            selftests.load_kernel(session, self.kernel, limit)
            for built in self.suites:
                selftests.install(session, built.name, built.path, limit)
            seconds = round(time.monotonic() - began, 3)
            record = StageRecord(name, seconds, False, f"SSH on port {vm.ssh_port}")
            self.stages.append(record)
            self.observer.stage_finished(record)
            yield vm, session

    def _spec(self, number: str, fw_cfg: Mapping[str, Path], socket: Path) -> MachineSpec:
        return MachineSpec(
            binary=process.find(self.arch.qemu, self.arch.qemu_package),
            accelerator=self.accelerator,
            machine_type=self.image.machine_type,
            memory_mib=self.image.memory_mib,
            cpus=self.image.cpus,
            kernel=self.kernel.image,
            initrd=self.image.initrd,
            disk=self.image.disk,
            cmdline=(*self.image.cmdline, *self.append),
            devices=self.image.devices,
            fw_cfg=fw_cfg,
            console_log=self.folder / f"console{number}.log",
            qmp_socket=socket,
        )
