from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from tests.unit.kernel.prebuilt.fake_kbuild import (
    FILES,
    RELEASE,
    make_builder,
    make_package,
    patched,
)
from toolkit.core.errors import BuildError
from toolkit.core.model.kernel import Fragment, KernelBuild
from toolkit.formats.symvers import Export
from toolkit.kernel import configure
from toolkit.kernel.prebuilt import resolve, stage
from toolkit.kernel.prebuilt.stage import Taken

KVM = "arch/x86/kvm/kvm.c"
NET = Fragment("image minimal", {"CONFIG_VIRTIO_NET": "y"})
SUITE = Fragment("kselftests/kvm/config", {"CONFIG_KVM_AMD": "m"})


def take(
    tmp_path: Path, changes: Mapping[str, str | None] | None = None, *more: Fragment
) -> tuple[Taken, bool]:
    return stage.take(
        make_builder(tmp_path),
        patched(tmp_path, changes or {}),
        make_package(tmp_path / "package"),
        [NET, SUITE, *more],
        {"CONFIG_VIRTIO_NET"},
        deadline=soon(),
        log=tmp_path / "build.log",
    )


def origins(kernel: KernelBuild) -> dict[str, str]:
    """Return by module of the archive whether it was built or is the package's own."""
    assert kernel.modules
    found = {}
    with tarfile.open(kernel.modules) as tar:
        for member in tar:
            if member.name.endswith(".ko") and (file := tar.extractfile(member)):
                name = member.name.removeprefix(f"lib/modules/{RELEASE}/kernel/")
                found[name] = "package" if b"package" in file.read() else "built"
    return found


def test_an_unpatched_kernel_is_the_package_with_the_modules_that_are_asked_for(
    tmp_path: Path,
) -> None:
    taken, cached = take(tmp_path)
    assert (taken.reason, cached) == ("", False)
    assert taken.kernel
    assert taken.kernel.release == RELEASE
    assert taken.kernel.image.read_bytes() == b"vmlinuz"
    assert taken.kernel.early == ("kernel/drivers/net/virtio_net.ko",)
    assert origins(taken.kernel) == dict.fromkeys(
        ("arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko", "drivers/net/virtio_net.ko"), "package"
    )
    assert (taken.kernel.headers / "include/linux/a.h").is_file()
    assert take(tmp_path) == (taken, True)


def test_only_the_module_that_the_series_touches_is_built(tmp_path: Path) -> None:
    taken, _ = take(tmp_path, {KVM: FILES[KVM].replace("= 1", "= 2")})
    assert taken.kernel
    assert origins(taken.kernel) == {
        "arch/x86/kvm/kvm.ko": "built",
        "arch/x86/kvm/kvm-amd.ko": "package",
        "drivers/net/virtio_net.ko": "package",
    }


def test_what_depends_on_a_symbol_with_another_crc_is_built_as_well(tmp_path: Path) -> None:
    taken, _ = take(tmp_path, {KVM: FILES[KVM].replace("kvm_get 5", "kvm_get 6")})
    assert taken.kernel
    built = [name for name, origin in origins(taken.kernel).items() if origin == "built"]
    assert sorted(built) == ["arch/x86/kvm/kvm-amd.ko", "arch/x86/kvm/kvm.ko"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kernel/fork.c": "int fork = 7;\n"}, "the series changes kernel/fork.o"),
        ({"include/linux/a.h": "#define A 2\n"}, "the series changes kernel/fork.o"),
        ({"scripts/tool.sh": "#!/bin/sh\n"}, "what is made of scripts/tool.sh is not known"),
        ({"scripts/Makefile.modpost": ""}, "kbuild of this kernel cannot take the exports"),
        ({KVM: "// EXPORT kvm_get g\n"}, "modpost of this tree lists exports otherwise: line 1"),
        (
            {KVM: '__attribute__((section("__versions"), used)) char odd = 1;\n'},
            "arch/x86/kvm/kvm.ko cannot be read as a module: damaged ELF file",
        ),
    ],
)
def test_what_is_in_the_kernel_itself_takes_the_whole_way(
    tmp_path: Path, changes: dict[str, str | None], reason: str
) -> None:
    taken, cached = take(tmp_path, changes)
    assert taken.kernel is None
    assert taken.reason.startswith(reason)
    assert not cached
    assert take(tmp_path, changes) == (taken, True)


def test_a_kernel_s_file_that_compiles_to_the_same_takes_the_package(tmp_path: Path) -> None:
    taken, _ = take(tmp_path, {"kernel/fork.c": FILES["kernel/fork.c"] + "/* why */\n"})
    assert taken.reason == ""


@pytest.mark.parametrize(
    ("fragment", "reason"),
    [
        (Fragment("--kconfig", {"CONFIG_OFF": "y"}), "--kconfig asks for CONFIG_OFF=y, and it h"),
        (Fragment("suite", {"CONFIG_OFF": "m"}, soft=True), "suite asks for CONFIG_OFF=m, and it"),
        (Fragment("--kconfig", {"CONFIG_KVM": "n"}), "--kconfig asks for CONFIG_KVM=n, and it has"),
        (Fragment("--kconfig", {"CONFIG_TYPO": "y"}), "--kconfig asks for CONFIG_TYPO=y, and it "),
    ],
)
def test_an_option_that_the_package_lacks_takes_the_whole_way(
    tmp_path: Path, fragment: Fragment, reason: str
) -> None:
    taken, _ = take(tmp_path, {}, fragment)
    assert taken.kernel is None
    assert taken.reason.startswith(reason)


def test_a_host_without_pahole_takes_the_whole_way_and_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path / "package")
    package.config.write_text(f"{package.config.read_text()}CONFIG_DEBUG_INFO_BTF=y\n")
    builder, tree = make_builder(tmp_path), patched(tmp_path)

    def reason(pahole: str) -> str:
        monkeypatch.setattr(configure, "pahole_version", lambda _: pahole)
        monkeypatch.setattr(resolve, "pahole_version", lambda _: pahole)
        log = tmp_path / "build.log"
        return stage.take(builder, tree, package, [], (), deadline=soon(), log=log)[0].reason

    btf = "with the compiler of this host CONFIG_DEBUG_INFO_BTF is n, and it was y"
    assert reason("") == f"{btf}; pahole is not installed (Debian package pahole)"
    assert reason("v1.26") == btf


def made_modules(log: Path) -> list[bool]:
    """Return of each make that built modules whether it gave them debug information."""
    lines = [line for line in log.read_text().splitlines() if "kvm.ko" in line and line[0] == "$"]
    return ["CONFIG_DEBUG_INFO_BTF=" not in line.split() for line in lines]


@pytest.mark.parametrize(
    ("more", "debug_info"),
    [("", [False]), ('__attribute__((section(".BTF_ids"))) int ids = 1;\n', [False, True])],
)
def test_a_module_has_debug_information_only_where_it_needs_btf(
    tmp_path: Path, more: str, debug_info: list[bool]
) -> None:
    taken, _ = take(tmp_path, {KVM: f"{FILES[KVM]}{more}"})
    assert taken.kernel
    assert made_modules(tmp_path / "build.log") == debug_info
    assert origins(taken.kernel)["arch/x86/kvm/kvm.ko"] == "built"


def test_modules_have_debug_information_where_somebody_asks(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    option = "CONFIG_DEBUG_INFO_BTF"
    package.config.write_text(f"{package.config.read_text()}{option}=y\n")
    tree = patched(
        tmp_path,
        {KVM: FILES[KVM].replace("= 1", "= 2")},
        {"Kconfig": f"{FILES['Kconfig']}config DEBUG_INFO_BTF\n"},
    )
    asked = [SUITE, Fragment("upstream:bpf", {option: "y"})]
    builder, log = make_builder(tmp_path), tmp_path / "build.log"
    taken, _ = stage.take(builder, tree, package, asked, (), deadline=soon(), log=log)
    assert taken.kernel, taken.reason
    assert made_modules(log) == [True]


def test_a_wish_that_no_kernel_knows_is_said_and_dropped(tmp_path: Path) -> None:
    taken, _ = take(tmp_path, {}, Fragment("upstream:x", {"CONFIG_GONE": "y"}, soft=True))
    assert taken.kernel
    assert taken.notice == "Kconfig dropped CONFIG_GONE=y, asked for by upstream:x"


def test_a_module_that_the_series_brings_comes_with_its_option(tmp_path: Path) -> None:
    changes = {
        "drivers/misc/Kconfig.new": "config DOORBELL\n",
        "drivers/misc/Makefile": f"{FILES['drivers/misc/Makefile']}"
        "obj-$(CONFIG_DOORBELL) += doorbell.o\n",
        "drivers/misc/doorbell.c": "// IMPORT kvm_get\nint doorbell;\n",
    }
    series = Fragment("series", {"CONFIG_DOORBELL": "m"})
    taken, _ = take(tmp_path, changes, series)
    assert taken.kernel, taken.reason
    assert origins(taken.kernel)["drivers/misc/doorbell.ko"] == "built"
    assert "CONFIG_DOORBELL=m" in taken.kernel.config.read_text().splitlines()


def test_what_does_not_compile_is_the_series_fault(tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        take(tmp_path, {KVM: "int broken\n"})


def test_the_verdict_on_the_package_does_not_depend_on_what_was_built_before(
    tmp_path: Path,
) -> None:
    edit = {KVM: FILES[KVM].replace("= 1", "= 2")}
    take(tmp_path, {"kernel/fork.c": "int fork = 7;\n"})
    take(tmp_path, {KVM: FILES[KVM].replace("kvm_get 5", "kvm_get 6")})
    after, _ = take(tmp_path, edit)
    (tmp_path / "fresh").mkdir()
    fresh, _ = take(tmp_path / "fresh", edit)
    assert after.kernel
    assert fresh.kernel
    assert origins(after.kernel) == origins(fresh.kernel)
    assert after.kernel.key == fresh.kernel.key


def test_modules_are_taken_with_all_that_they_depend_on() -> None:
    exports = {"get": Export(1, "kvm"), "printk": Export(2, "vmlinux"), "irq": Export(3, "bypass")}
    uses = {"amd": ["get", "printk"], "kvm": ["irq"], "bypass": [], "net": ["printk"]}
    assert stage.needed(uses, exports, ["amd", "builtin"]) == {"amd", "kvm", "bypass"}
    assert stage.needed(uses, exports, ["net"]) == {"net"}


def test_an_option_that_the_base_only_mentions_takes_the_whole_way(tmp_path: Path) -> None:
    changes = {"drivers/misc/Kconfig.new": "config FUTURE\n"}
    series = Fragment("series", {"CONFIG_FUTURE": "y"})
    taken, _ = take(tmp_path, changes, series)
    assert taken.reason == "the series turns on CONFIG_FUTURE, which the kernel's own files mention"
