from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import Prebuilt
from toolkit.host import apt, process
from toolkit.host.apt import Package
from toolkit.host.cache import Cache
from toolkit.kernel.prebuilt import packages

IMAGE = "linux-image-6.12.117+deb12-cloud-amd64"
RELEASE = "6.12.117+deb12-cloud-amd64"
# An ELF header of 64 bits without sections: it uses no symbol.
MODULE = b"\x7fELF\x02\x01" + bytes(58)
SYMVERS = b"0x1\tprintk\tvmlinux\tE\t\n"
LISTED = [
    IMAGE,
    "linux-image-6.12.9+deb12-cloud-amd64",
    "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
    "linux-image-6.12.117+deb12-cloud-arm64",
    "linux-image-6.12.117+deb12-amd64",
    "linux-image-6.12-cloud-amd64-dbg",
    "linux-image-6.1.9-cloud-amd64",
]
SOURCE = Package("linux-source-6.12", "6.12.117-1~deb12u1", "all", "5" * 64)


def test_the_packages_of_a_kernel_have_its_names() -> None:
    assert packages.names(IMAGE) == (IMAGE, f"linux-headers-{RELEASE}")


def test_only_plain_cloud_kernels_of_the_release_are_looked_at() -> None:
    assert packages.images(LISTED, "6.12", "amd64") == [IMAGE, LISTED[1]]
    assert packages.images(LISTED, "6.1", "amd64") == ["linux-image-6.1.9-cloud-amd64"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for apt; returns the kernels whose packages it was asked for."""
    heard: list[str] = []

    def candidates(names: tuple[str, ...], *_: object) -> tuple[Package, ...]:
        heard.append(names[0])
        version = SOURCE.version if names[0] == IMAGE else "6.12.9-1"
        return tuple(Package(name, version, "amd64", name) for name in names)

    def run(argv: list[str], **_: object) -> process.Completed:
        text = "amd64\n" if "dpkg" in argv[0] else "\n".join(LISTED)
        return process.Completed(tuple(argv), 0, text.encode(), b"", 0.0)

    monkeypatch.setattr(apt, "candidates", candidates)
    monkeypatch.setattr(process, "run", run)
    return heard


def test_the_kernel_that_was_built_from_the_source_is_found(
    asked: list[str], tmp_path: Path
) -> None:
    found = packages.find(SOURCE, "6.12", Cache(tmp_path), soon())
    assert found
    assert [package.name for package in found] == list(packages.names(IMAGE))
    assert asked == [IMAGE]  # the newest first, by number


def test_no_other_version_will_do(asked: list[str], tmp_path: Path) -> None:
    other = Package(SOURCE.name, "6.12.118-1", "all", "6" * 64)
    assert packages.find(other, "6.12", Cache(tmp_path), soon()) is None
    assert len(asked) == 2


def test_a_kernel_that_no_list_has_any_more_is_passed_over(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def candidates(names: tuple[str, ...], *_: object) -> tuple[Package, ...]:
        asked.append(names[0])
        raise InfrastructureError("apt has no package")

    monkeypatch.setattr(apt, "candidates", candidates)
    assert packages.find(SOURCE, "6.12", Cache(tmp_path), soon()) is None
    assert len(asked) == 2


def unpacked(
    raw: Path, lib: str, module: bytes = lzma.compress(MODULE), symvers: bytes = SYMVERS
) -> None:
    """Lay out the two packages as dpkg-deb unpacks them, with one module."""
    headers = raw / f"usr/src/linux-headers-{RELEASE}"
    for name, content in {
        f"boot/vmlinuz-{RELEASE}": b"vmlinuz",
        f"boot/config-{RELEASE}": b"CONFIG_KVM=m\n",
        f"{lib}/modules/{RELEASE}/kernel/arch/x86/kvm/kvm.ko.xz": module,
        f"{lib}/modules/{RELEASE}/modules.builtin": b"",
        f"usr/src/linux-headers-{RELEASE}/Module.symvers": symvers,
        f"usr/src/linux-headers-{RELEASE}/vmlinux": b"BTF",
        f"usr/src/linux-headers-{RELEASE}/Makefile": b"all:\n",
    }.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
    (raw / f"{lib}/modules/{RELEASE}/build").symlink_to(headers)


@pytest.mark.parametrize("lib", ["lib", "usr/lib"])
def test_what_a_build_of_modules_takes_is_laid_out(tmp_path: Path, lib: str) -> None:
    raw, folder = tmp_path / "raw", tmp_path / "entry"
    unpacked(raw, lib)
    folder.mkdir()
    made = Prebuilt(folder, "key", RELEASE, IMAGE)
    packages.lay_out(raw, made)
    assert made.image.read_bytes() == b"vmlinuz"
    assert made.config.read_text() == "CONFIG_KVM=m\n"
    assert made.symvers.read_text().startswith("0x1")
    assert made.types.read_bytes() == b"BTF"
    assert (made.modules / "kernel/arch/x86/kvm/kvm.ko.xz").is_file()
    assert not (made.modules / "build").is_symlink()


@pytest.mark.parametrize(
    "name",
    [
        f"boot/vmlinuz-{RELEASE}",
        f"boot/config-{RELEASE}",
        f"usr/lib/modules/{RELEASE}",
        f"usr/src/linux-headers-{RELEASE}/Module.symvers",
    ],
)
def test_a_package_that_lacks_a_file_is_the_hosts_fault(tmp_path: Path, name: str) -> None:
    raw, folder = tmp_path / "raw", tmp_path / "entry"
    unpacked(raw, "usr/lib")
    folder.mkdir()
    (raw / name).rename(tmp_path / "gone")
    with pytest.raises(InfrastructureError) as raised:
        packages.lay_out(raw, Prebuilt(folder, "key", RELEASE, IMAGE))
    assert raised.value.what == f"the package {IMAGE} is damaged: {name}: No such file or directory"
    assert "which is built" in raised.value.hint


def test_an_entry_says_what_each_module_uses_and_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [Package(name, SOURCE.version, "amd64", "ab" * 32) for name in packages.names(IMAGE)]
    debs = [tmp_path / package.name / "package.deb" for package in found]

    def run(argv: list[str], **_: object) -> None:
        if "image" in argv[2]:
            unpacked(Path(argv[3]), "lib")

    for deb in debs:
        deb.parent.mkdir()
    monkeypatch.setattr(apt, "fetch", lambda *_: debs)
    monkeypatch.setattr(process, "run", run)
    cache = Cache(tmp_path / "cache")
    made, cached = packages.fetch(found, cache, soon())
    assert not cached
    assert packages.modules(made) == {
        "arch/x86/kvm/kvm": packages.Module("kernel/arch/x86/kvm/kvm.ko.xz", frozenset())
    }
    assert made.release == RELEASE
    assert made.package == f"{IMAGE} 6.12.117-1~deb12u1 (SHA-256 abababababab)"
    assert packages.fetch(found, cache, soon()) == (made, True)
    newer = [replace(package, sha256="c" * 64) for package in found]
    for deb in debs:
        deb.parent.mkdir(exist_ok=True)
    assert packages.fetch(newer, cache, soon())[0].key != made.key


@pytest.mark.parametrize(
    ("module", "symvers", "says"),
    [
        (b"no xz", SYMVERS, "kernel/arch/x86/kvm/kvm.ko.xz: damaged xz file"),
        (lzma.compress(MODULE)[:-9], SYMVERS, "kernel/arch/x86/kvm/kvm.ko.xz: damaged xz file"),
        (lzma.compress(b"text"), SYMVERS, "kernel/arch/x86/kvm/kvm.ko.xz: no 64-bit"),
        (
            lzma.compress(MODULE[:0x28] + b"\xff" * 8 + MODULE[0x30:]),
            SYMVERS,
            "kernel/arch/x86/kvm/kvm.ko.xz: damaged ELF file",
        ),
        (lzma.compress(MODULE), b"0x1\tprintk", "Module.symvers: line 1 is no export"),
        (lzma.compress(MODULE), b"\xff\xfe", "Module.symvers: 'utf-8' codec"),
    ],
)
def test_a_damaged_package_is_the_hosts_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: bytes, symvers: bytes, says: str
) -> None:
    found = [Package(name, SOURCE.version, "amd64", "ab" * 32) for name in packages.names(IMAGE)]

    def run(argv: list[str], **_: object) -> None:
        if "image" in argv[2]:
            unpacked(Path(argv[3]), "lib", module, symvers)

    monkeypatch.setattr(apt, "fetch", lambda *_: [tmp_path / each.name for each in found])
    monkeypatch.setattr(process, "run", run)
    with pytest.raises(InfrastructureError) as raised:
        packages.fetch(found, Cache(tmp_path / "cache"), soon())
    assert raised.value.what.startswith(f"the package {IMAGE} is damaged: {says}")
    assert raised.value.hint


def test_modules_are_read_packed_or_not_and_no_other_packing_is_guessed(tmp_path: Path) -> None:
    for name, content in (("a.ko", b"x"), ("b.ko.xz", lzma.compress(b"x")), ("c.ko.zst", b"")):
        (tmp_path / name).write_bytes(content)
    assert packages.content(tmp_path / "a.ko") == packages.content(tmp_path / "b.ko.xz") == b"x"
    with pytest.raises(InfrastructureError, match="packed in a way"):
        packages.content(tmp_path / "c.ko.zst")
