"""From a :class:`MachineSpec` to QEMU's command line. Pure: nothing here runs QEMU."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

from toolkit.core.errors import InfrastructureError
from toolkit.core.model.machine import Accelerator, MachineSpec

SSH_GUEST_PORT = 22
NETDEV = "net0"  # an image's profile hangs its network card on this one
PAYLOAD_SERIAL = "toolkit-payload"  # by which a guest finds that disk; virtio has 20 bytes for it
MANUAL_SSH_PORT = 2222  # where the saved script listens, for a person


def argv(spec: MachineSpec) -> list[str]:
    """Return the command line of a machine that the toolkit runs itself.

    The host side of the SSH port is 0: the host's kernel picks a free one, and QMP reports
    it, so that no two machines can collide.
    """
    line = _common(spec, ssh_port="0")
    if memory := spec.memory:
        share = "on" if memory.shared else "off"
        backend = f"memory-backend-file,id=ram,size={spec.memory_mib}M,share={share}"
        line += ["-object", f"{backend},mem-path={_escape(memory.path)}"]
    if spec.incoming:
        line += ["-incoming", "defer"]
    return [
        *line,
        *("-chardev", f"file,id=console,path={_escape(spec.console_log)}"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,path={_escape(spec.qmp_socket)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
    ]


def script(spec: MachineSpec, client_key: Path) -> str:
    """Return a shell script that boots the same machine with its console on the terminal."""
    plain = replace(spec, memory=None)
    line = shlex.join([*_common(plain, ssh_port="SSH_PORT"), "-serial", "mon:stdio"])
    # The -netdev word holds nothing that shlex would quote, so a variable in it is expanded.
    line = line.replace("SSH_PORT", '"$SSH_PORT"')
    return (
        "#!/bin/sh\n"
        "# Boots this run's machine by hand. The terminal is its console; ctrl-a x ends it.\n"
        f"# ssh -i {shlex.quote(str(client_key))} -p $SSH_PORT root@127.0.0.1\n"
        f'SSH_PORT="${{SSH_PORT:-{MANUAL_SSH_PORT}}}"\n'
        f"exec {_wrapped(line)}\n"
    )


def _wrapped(line: str) -> str:
    """Put each option on a line of its own."""
    return re.sub(r" (?=-[a-z])", " \\\n    ", line)


def _common(spec: MachineSpec, *, ssh_port: str) -> list[str]:
    accelerator = spec.accelerator
    forward = f"hostfwd=tcp:127.0.0.1:{ssh_port}-:{SSH_GUEST_PORT}"
    line = [
        *(spec.binary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", _machine(spec), *_accel(accelerator), "-cpu", accelerator.cpu),
        *("-smp", str(spec.cpus), "-m", f"{spec.memory_mib}M"),
        *(("-device", f"vmgenid,guid={spec.generation}") if spec.generation else ()),
        *("-kernel", str(spec.kernel), "-append", " ".join(spec.cmdline)),
        # restrict=on: the guest reaches nothing, and only the forwarded port reaches it.
        *("-netdev", f"user,id={NETDEV},restrict=on,{forward}"),
    ]
    if spec.initrd:
        line += ["-initrd", str(spec.initrd)]
    if disk := spec.disk:
        # snapshot=on: what the machine writes goes to a temporary file of its own.
        kept = "off" if disk.kept else "on"
        line += [
            "-drive",
            f"if=none,id=root,format={disk.format},snapshot={kept},file={_escape(disk.path)}",
            *("-device", "virtio-blk-pci,drive=root"),
        ]
    for name, path in spec.fw_cfg.items():
        line += ["-fw_cfg", f"name={name},file={_escape(path)}"]
    line += spec.devices
    if spec.payload:
        backend = f"driver=raw,file.driver=file,file.filename={_escape(spec.payload)}"
        line += ["-blockdev", f"{backend},node-name=payload,read-only=on"]
        line += ["-device", f"virtio-blk-pci,drive=payload,serial={PAYLOAD_SERIAL}"]
    return line


def _machine(spec: MachineSpec) -> str:
    options = [
        spec.machine_type,
        spec.accelerator.board,
        "memory-backend=ram" if spec.memory else "",
    ]
    return ",".join(filter(None, options))


def _accel(accelerator: Accelerator) -> list[str]:
    if accelerator.name != "tcg":
        return ["-accel", accelerator.name]
    if accelerator.icount is None:
        return ["-accel", f"tcg,thread={'single' if accelerator.in_turns else 'multi'}"]
    # sleep=off: a guest that waits for a timer is at once where the timer ends.
    return ["-accel", "tcg,thread=single", "-icount", f"shift={accelerator.icount},sleep=off"]


def _escape(path: Path) -> str:
    """Double the commas of a path: QEMU's own quoting inside an option."""
    return str(path).replace(",", ",,")


_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s")


def forwarded_port(info_usernet: str) -> int:
    """Return the host port out of what the monitor's ``info usernet`` printed."""
    match = _FORWARD.search(info_usernet)
    if match is None:
        raise InfrastructureError(
            "QEMU does not say which port it forwards to the guest",
            hint="is this QEMU built with user networking (slirp)?",
            detail=info_usernet.splitlines(),
        )
    return int(match[1])


def parse_version(text: str) -> str:
    """Return the version out of what ``qemu-system-… --version`` printed, or the whole line."""
    match = re.search(r"version (\S+)", text)
    return match[1] if match else text.split("\n", 1)[0].strip()
