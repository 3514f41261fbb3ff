from __future__ import annotations

import platform

import pytest

from toolkit.core import arch
from toolkit.core.arch import ARM64, KNOWN, RISCV64, X86_64, Arch
from toolkit.core.errors import UserError


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("x86_64", X86_64),
        ("amd64", X86_64),
        ("arm64", ARM64),
        ("aarch64", ARM64),
        ("riscv64", RISCV64),
    ],
)
def test_each_goes_by_its_names(name: str, wanted: Arch) -> None:
    assert arch.parse(name) is wanted


def test_an_unknown_one_is_the_callers_fault() -> None:
    with pytest.raises(UserError, match="'mips'") as caught:
        arch.parse("mips")
    assert caught.value.hint == "architectures: x86_64, arm64, riscv64"
    with pytest.raises(UserError) as caught:
        arch.parse("riscv")
    assert caught.value.hint.startswith("did you mean riscv64? ")


@pytest.mark.parametrize(
    ("machine", "cross"),
    [
        ("x86_64", [ARM64, RISCV64]),
        ("AMD64", [ARM64, RISCV64]),
        ("aarch64", [X86_64, RISCV64]),
        ("riscv64", [X86_64, ARM64]),
        ("s390x", [X86_64, ARM64, RISCV64]),
    ],
)
def test_a_cross_compiler_is_for_all_but_the_hosts_own(
    monkeypatch: pytest.MonkeyPatch, machine: str, cross: list[Arch]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert [each for each in KNOWN.values() if each.cross] == cross
    assert all(each.cross == each.triplet for each in cross)


def test_the_hosts_own_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert arch.host_arch() is ARM64
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(UserError, match="this host is s390x") as caught:
        arch.host_arch()
    assert "--arch" in caught.value.hint
