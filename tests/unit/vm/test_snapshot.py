from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.model.machine import Accelerator, MachineSpec, Splat
from toolkit.vm import snapshot

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)
BLOCK = 1 << 18


def write_sparse(path: Path, blocks: dict[int, bytes], size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for number, content in blocks.items():
            file.seek(number * BLOCK)
            file.write(content)


@pytest.fixture
def saved(tmp_path: Path) -> snapshot.Snapshot:
    write_sparse(tmp_path / "memory", {3: b"x" * 100, 17: b"y"}, 64 * BLOCK)
    (tmp_path / "state").write_bytes(b"devices")
    snapshot.seal(tmp_path, (OOPS,))
    found = snapshot.load(tmp_path)
    assert found is not None
    return found


def test_a_saved_machine_is_read_back(saved: snapshot.Snapshot) -> None:
    assert saved.splats == (OOPS,)
    assert saved.damage() == ""


@pytest.mark.parametrize("offset", [0, 3 * BLOCK + 7, 40 * BLOCK, 64 * BLOCK - 1])
def test_one_flipped_bit_of_memory_is_damage(saved: snapshot.Snapshot, offset: int) -> None:
    with saved.memory.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    assert saved.damage() == "memory has changed on disk"


def test_a_file_that_is_cut_short_or_gone_is_damage(saved: snapshot.Snapshot) -> None:
    os.truncate(saved.memory, 63 * BLOCK)
    assert "memory has changed" in saved.damage()
    saved.memory.unlink()
    assert "memory cannot be read" in saved.damage()


def test_a_changed_state_is_damage(saved: snapshot.Snapshot) -> None:
    saved.state.write_bytes(b"Devices")
    assert saved.damage() == "state has changed on disk"


@pytest.mark.parametrize("facts", ["", "{}", "[]", '{"splats": [{}], "checksums": {}}'])
def test_facts_that_cannot_be_read(saved: snapshot.Snapshot, facts: str) -> None:
    (saved.path / "snapshot.json").write_text(facts)
    assert snapshot.load(saved.path) is None


@given(st.dictionaries(st.integers(0, 15), st.binary(max_size=50), max_size=5))
def test_a_copy_is_the_same_and_as_sparse(
    tmp_path_factory: pytest.TempPathFactory, blocks: dict[int, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    write_sparse(folder / "from", blocks, 16 * BLOCK)
    snapshot.copy_memory(folder / "from", folder / "to")
    assert (folder / "to").read_bytes() == (folder / "from").read_bytes()
    assert snapshot.checksum(folder / "to") == snapshot.checksum(folder / "from")
    assert (folder / "to").stat().st_blocks * 512 <= len(blocks) * BLOCK + 4096


def test_zeros_on_disk_are_as_good_as_a_hole(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(bytes(4 * BLOCK))
    write_sparse(tmp_path / "hole", {}, 4 * BLOCK)
    assert snapshot.checksum(tmp_path / "full") == snapshot.checksum(tmp_path / "hole")


def a_spec(tmp_path: Path) -> MachineSpec:
    binary = tmp_path / "qemu"
    binary.write_bytes(b"elf")
    return MachineSpec(
        binary=str(binary),
        accelerator=Accelerator("tcg", "max", ""),
        machine_type="q35",
        memory_mib=1024,
        cpus=2,
        kernel=tmp_path / "kernel",
        initrd=None,
        disk=None,
        cmdline=("quiet",),
        devices=("-device", "x"),
        fw_cfg={},
        console_log=tmp_path / "console",
        qmp_socket=tmp_path / "socket",
    )


def test_a_key_covers_all_that_a_saved_machine_depends_on(tmp_path: Path) -> None:
    spec = a_spec(tmp_path)

    def key(spec: MachineSpec, kernel: str = "k", image: str = "i", qemu: str = "7.2") -> str:
        return snapshot.booted_key(spec, kernel=kernel, image=image, qemu=qemu)

    same = replace(spec, kernel=tmp_path / "other", console_log=tmp_path / "elsewhere")
    assert key(same) == key(spec)
    others = [
        key(replace(spec, memory_mib=512)),
        key(replace(spec, cpus=1)),
        key(replace(spec, machine_type="pc")),
        key(replace(spec, cmdline=("quiet", "nokaslr"))),
        key(replace(spec, devices=())),
        key(replace(spec, accelerator=Accelerator("tcg", "qemu64", ""))),
        key(replace(spec, accelerator=Accelerator("kvm", "max", ""))),
        key(replace(spec, accelerator=Accelerator("tcg", "max", "", in_turns=True))),
        key(spec, kernel="other"),
        key(spec, image="other"),
        key(spec, qemu="8.0"),
    ]
    (tmp_path / "qemu").write_bytes(b"another")
    others.append(key(spec))
    assert len({key(a_spec(tmp_path)), *others}) == len(others) + 1
