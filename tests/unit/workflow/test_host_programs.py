from __future__ import annotations

import platform

import pytest

from toolkit.core.arch import ARM64, KNOWN, X86_64, Arch
from toolkit.core.errors import InfrastructureError
from toolkit.kernel.toolchain import GCC, Toolchain
from toolkit.workflow import host_programs
from toolkit.workflow.host_programs import Program


@pytest.fixture(params=["x86_64", "aarch64", "riscv64"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What uname -m says on this host."""
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


@pytest.mark.parametrize("target", KNOWN.values(), ids=lambda each: each.name)
def test_the_list_agrees_with_what_is_called(machine: str, target: Arch) -> None:
    needed = {each.name: each.package for each in host_programs.needed(target)}
    assert needed[target.qemu] == target.qemu_package
    called = Toolchain(GCC.name, target.cross).programs
    assert called.items() <= needed.items()
    others = [each for each in KNOWN.values() if each is not target]
    assert not {each.qemu for each in others} & needed.keys()
    assert len([name for name in needed if name.endswith("/libc.a")]) == 1


def test_what_a_distribution_s_configuration_needs_is_optional() -> None:
    pahole = next(each for each in host_programs.needed(X86_64) if each.name == "pahole")
    assert pahole.optional


def test_what_another_architecture_needs_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    listed = (
        Program("/none/anything", "a", "for all"),
        Program("/none/qemu", "b", "boots", condition="arm64"),
        Program("/none/gcc", "c", "compiles", condition="cross-arm64"),
        Program("/none/as", "c", "compiles", condition="cross-arm64"),
        Program("/none/own", "d", "compiles", condition="native-arm64"),
        Program("/none/extra", "e", "is nice", optional=True, condition="arm64"),
    )
    monkeypatch.setattr(host_programs, "listed", lambda: listed)
    host_programs.require(X86_64)
    with pytest.raises(InfrastructureError) as caught:
        host_programs.require(ARM64)
    assert caught.value.what.endswith("for arm64 need: /none/qemu, /none/gcc, /none/as")
    assert caught.value.hint.startswith("apt-get install b c; ./bootstrap ")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    host_programs.require(ARM64)
