from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.machine import Accelerator, DiskFile, MachineSpec, MemoryFile
from toolkit.host import process
from toolkit.vm import qemu_argv

SPEC = MachineSpec(
    binary="/usr/bin/qemu-system-x86_64",
    accelerator=Accelerator("tcg", "max", "because"),
    machine_type="q35",
    memory_mib=1024,
    cpus=2,
    kernel=Path("/cache/kernel"),
    initrd=Path("/cache/initrd"),
    disk=None,
    cmdline=("console=ttyS0", "panic=-1"),
    devices=("-device", "virtio-net-pci,netdev=net0"),
    fw_cfg={"opt/toolkit/host_key": Path("/run/a,b/host_key")},
    console_log=Path("/run/a,b/console.log"),
    qmp_socket=Path("/tmp/x/qmp.sock"),
)


def value(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


def test_the_whole_command_line() -> None:
    expected = Path(__file__).parents[2] / "data/qemu/argv.txt"
    assert "\n".join(qemu_argv.argv(SPEC)) + "\n" == expected.read_text()


def test_a_machine_of_another_board() -> None:
    tcg = Accelerator("tcg", "max", "because", "virtualization=on")
    line = qemu_argv.argv(
        dataclasses.replace(SPEC, accelerator=tcg, machine_type="virt", generation="")
    )
    assert value(line, "-machine") == "virt,virtualization=on"
    assert not any("vmgenid" in word for word in line)
    memory = MemoryFile(Path("/m"), shared=True)
    line = qemu_argv.argv(dataclasses.replace(SPEC, accelerator=tcg, memory=memory))
    assert value(line, "-machine") == "q35,virtualization=on,memory-backend=ram"


def test_the_network_is_closed_and_the_port_free_and_on_loopback() -> None:
    netdev = value(qemu_argv.argv(SPEC), "-netdev").split(",")
    assert "restrict=on" in netdev
    assert "hostfwd=tcp:127.0.0.1:0-:22" in netdev


def test_a_disk_is_never_written() -> None:
    line = qemu_argv.argv(dataclasses.replace(SPEC, disk=DiskFile(Path("/cache/disk.img"))))
    assert "snapshot=on" in value(line, "-drive").split(",")


def test_a_disk_that_is_to_be_saved_is_written() -> None:
    disk = DiskFile(Path("/cache/a,b/disk.qcow2"), "qcow2", kept=True)
    line = qemu_argv.argv(dataclasses.replace(SPEC, disk=disk))
    words = value(line, "-drive")
    assert {"snapshot=off", "format=qcow2"} < set(words.split(","))
    assert words.endswith("file=/cache/a,,b/disk.qcow2")


def test_a_payload_is_a_disk_that_is_never_written_and_comes_last() -> None:
    line = qemu_argv.argv(dataclasses.replace(SPEC, payload=Path("/proc/1/fd/3,4")))
    backend = value(line, "-blockdev")
    assert "file.filename=/proc/1/fd/3,,4" in backend
    assert "read-only=on" in backend.split(",")
    devices = [word for at, word in enumerate(line) if line[at - 1] == "-device"]
    assert devices[-1] == f"virtio-blk-pci,drive=payload,serial={qemu_argv.PAYLOAD_SERIAL}"
    assert len(qemu_argv.PAYLOAD_SERIAL) <= 20  # linux/virtio_blk.h: VIRTIO_BLK_ID_BYTES


def test_kvm_takes_its_own_cpu() -> None:
    spec = dataclasses.replace(SPEC, accelerator=Accelerator("kvm", "host", "proved"))
    line = qemu_argv.argv(spec)
    assert (value(line, "-accel"), value(line, "-cpu")) == ("kvm", "host")


def test_a_clock_of_instructions_needs_one_thread_that_never_sleeps() -> None:
    counting = dataclasses.replace(SPEC.accelerator, icount=1)
    line = qemu_argv.argv(dataclasses.replace(SPEC, accelerator=counting))
    assert value(line, "-accel") == "tcg,thread=single"
    assert value(line, "-icount") == "shift=1,sleep=off"
    assert "-icount" not in qemu_argv.argv(SPEC)


def test_a_guest_s_cpus_may_take_turns() -> None:
    turns = Accelerator("tcg", "max", "", in_turns=True)
    line = qemu_argv.argv(dataclasses.replace(SPEC, accelerator=turns))
    assert value(line, "-accel") == "tcg,thread=single"


def test_the_script_is_the_same_machine_with_its_console_on_the_terminal() -> None:
    text = qemu_argv.script(SPEC, Path("/run/my keys/client"))
    body = text[text.index("exec ") :].replace("exec ", "printf '%s\\n' ", 1)
    done = process.run(["sh", "-c", body], deadline=Deadline.after(20), env={"SSH_PORT": "2222"})
    words = done.text.splitlines()
    assert value(words, "-serial") == "mon:stdio"
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in value(words, "-netdev")
    assert value(words, "-append") == "console=ttyS0 panic=-1"
    assert "-chardev" not in words
    assert "'/run/my keys/client'" in text


def test_the_port_is_read_from_the_monitor() -> None:
    text = (
        "Hub -1 (net0):\r\n"
        "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
        "  TCP[HOST_FORWARD]  12       127.0.0.1 41077       10.0.2.15    22     0     0\r\n"
    )
    assert qemu_argv.forwarded_port(text) == 41077
    with pytest.raises(InfrastructureError, match="does not say which port"):
        qemu_argv.forwarded_port("nothing")


def test_the_version() -> None:
    assert (
        qemu_argv.parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright")
        == "7.2.22"
    )
    assert qemu_argv.parse_version("strange\nlines") == "strange"


def test_memory_in_a_file_and_a_state_to_come() -> None:
    memory = MemoryFile(Path("/cache/a,b/memory"), shared=False)
    line = qemu_argv.argv(dataclasses.replace(SPEC, memory=memory, incoming=True))
    assert value(line, "-machine") == "q35,memory-backend=ram"
    backend = value(line, "-object")
    assert backend.startswith("memory-backend-file,id=ram,size=1024M,share=off,")
    assert backend.endswith("mem-path=/cache/a,,b/memory")
    assert value(line, "-incoming") == "defer"


def test_a_machine_that_is_saved_writes_its_memory_through() -> None:
    memory = MemoryFile(Path("/cache/memory"), shared=True)
    line = qemu_argv.argv(dataclasses.replace(SPEC, memory=memory))
    assert ",share=on," in value(line, "-object")
    assert "-incoming" not in line


def test_the_script_boots_by_itself() -> None:
    memory = MemoryFile(Path("/cache/memory"), shared=False)
    spec = dataclasses.replace(SPEC, memory=memory, incoming=True)
    assert qemu_argv.script(spec, Path("/run/key")) == qemu_argv.script(SPEC, Path("/run/key"))
