from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import GuestImage
from toolkit.formats import cpio
from toolkit.host.cache import Cache
from toolkit.vm import preload

NEEDS = {
    "virtio_net": ["net_failover", "failover"],
    "net_failover": ["failover"],
    "failover": [],
    "virtio_blk": [],
    "odd": ["lost"],
    "round": ["circle"],
    "circle": ["round"],
}


def test_a_module_comes_after_what_it_needs_and_once() -> None:
    assert preload.in_order(["virtio_blk", "virtio_net", "failover"], NEEDS) == [
        *("virtio_blk", "failover", "net_failover", "virtio_net"),
    ]
    assert sorted(preload.in_order(["round"], NEEDS)) == ["circle", "round"]


def test_a_module_that_the_kernel_lacks_is_named() -> None:
    with pytest.raises(InfrastructureError, match="has no module lost"):
        preload.in_order(["odd"], NEEDS)


def modules_tar(path: Path) -> Path:
    """Write an archive of lib/modules with virtio_net and what it needs."""
    files = {
        "modules.dep": b"kernel/net/virtio_net.ko: kernel/net/failover.ko\n"
        b"kernel/net/failover.ko:\n",
        "kernel/net/virtio_net.ko": b"net",
        "kernel/net/failover.ko": b"failover",
    }
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"lib/modules/6.12.117+deb12-cloud-amd64/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBuild:
    return KernelBuild(
        path=tmp_path,
        key="kernel",
        release="6.12.117+deb12-cloud-amd64",
        image=tmp_path / "kernel",
        image_digest="digest",
        modules=modules_tar(tmp_path / "modules.tar"),
        headers=tmp_path,
        config=tmp_path / "config",
        early=("kernel/net/virtio_net.ko",),
    )


@pytest.fixture
def image(tmp_path: Path) -> GuestImage:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(cpio.pack([cpio.file("init", b"#!/bin/sh\n", 0o755)]) + b"\0")
    return GuestImage(
        name="minimal",
        key="image",
        initrd=initrd,
        disk=None,
        cmdline=("panic=-1",),
        memory_mib=512,
        cpus=2,
        machine_type="q35",
        devices=(),
        host_key_type="dropbear",
    )


def test_an_image_gets_the_modules_behind_its_own_archive(
    image: GuestImage, kernel: KernelBuild, tmp_path: Path
) -> None:
    joined = preload.with_modules(image, kernel, Cache(tmp_path / "cache"), soon())
    assert joined.key != image.key
    assert joined.cmdline == ("panic=-1", "rdinit=/preload")
    assert image.initrd
    assert joined.initrd
    whole, first = joined.initrd.read_bytes(), image.initrd.read_bytes()
    assert whole.startswith(first)
    padding = -len(first) % 4
    argv = ["cpio", "-i", "--quiet"]
    more = whole[len(first) + padding :]
    subprocess.run(argv, cwd=tmp_path, input=more, check=True)
    names = sorted(path.name for path in (tmp_path / "preload.d").iterdir())
    assert names == ["00-failover.ko", "01-virtio_net.ko"]
    assert (tmp_path / "preload.d/01-virtio_net.ko").read_bytes() == b"net"
    assert (tmp_path / "preload").stat().st_mode & 0o111


def test_other_modules_make_another_image(
    image: GuestImage, kernel: KernelBuild, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    both = preload.with_modules(image, kernel, cache, soon())
    fewer = replace(kernel, early=("kernel/net/failover.ko",))
    assert preload.with_modules(image, fewer, cache, soon()).key not in {image.key, both.key}


def test_a_kernel_that_needs_none_boots_the_image_as_it_is(
    image: GuestImage, kernel: KernelBuild, tmp_path: Path
) -> None:
    built = replace(kernel, early=())
    assert preload.with_modules(image, built, Cache(tmp_path / "cache"), soon()) is image


def test_the_program_loads_them_in_that_order_and_becomes_the_image_s_init(tmp_path: Path) -> None:
    archive = cpio.pack(preload.entries([("b.ko", b""), ("a.ko", b"")]))
    subprocess.run(["cpio", "-i", "--quiet"], cwd=tmp_path, input=archive, check=True)
    program = (tmp_path / "preload").read_text().replace("/preload.d", f"{tmp_path}/preload.d")
    program = program.replace("exec /init", "exec echo init").replace("insmod", "echo")
    (tmp_path / "preload").write_text(program)
    done = subprocess.run([tmp_path / "preload"], capture_output=True, text=True, check=True)
    assert [Path(line).name for line in done.stdout.split()] == ["00-b.ko", "01-a.ko", "init"]
