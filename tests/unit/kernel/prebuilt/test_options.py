from __future__ import annotations

from collections.abc import Collection

import pytest

from toolkit.kernel.prebuilt import options
from toolkit.kernel.prebuilt.reach import ReachError

DEBIAN = """
CONFIG_CC_VERSION_TEXT="gcc-12 (Debian)"
CONFIG_RUSTC_VERSION=0
CONFIG_KVM=m
CONFIG_NR_CPUS=8192
# CONFIG_OFF is not set
"""


def mentioned(names: Collection[str]) -> set[str]:
    return {"CONFIG_IN_BASE"} & set(names)


def test_options_that_only_the_series_knows_are_new() -> None:
    after = DEBIAN.replace("RUSTC_VERSION=0", "RUSTC_VERSION=109500").replace("gcc-12", "gcc")
    after += "CONFIG_RUSTC_HAS_X=y\nCONFIG_DOORBELL=m\nCONFIG_HAVE_IT=y\n# CONFIG_IT is not set\n"
    found = options.new_options(DEBIAN, after, mentioned)
    assert found == {"CONFIG_DOORBELL", "CONFIG_HAVE_IT"}
    assert options.new_options(DEBIAN, DEBIAN, mentioned) == frozenset()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("CONFIG_KVM=m", "CONFIG_KVM=y", "makes CONFIG_KVM=y of the kernel's m"),
        ("CONFIG_KVM=m", "", "makes CONFIG_KVM=n of the kernel's m"),
        ("# CONFIG_OFF is not set", "CONFIG_OFF=y", "makes CONFIG_OFF=y of the kernel's n"),
        ("CONFIG_KVM=m", "CONFIG_KVM=m\nCONFIG_IN_BASE=y", "turns on CONFIG_IN_BASE"),
    ],
)
def test_another_kernel_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(ReachError, match=why):
        options.new_options(DEBIAN, DEBIAN.replace(old, new), mentioned)


def test_the_package_s_own_configuration_is_what_kconfig_makes_of_it() -> None:
    here = DEBIAN.replace("gcc-12", "x86_64-linux-gnu-gcc-12")
    here += 'CONFIG_BUILD_SALT=""\nCONFIG_MODULE_SIG_ALL=y\nCONFIG_SYSTEM_TRUSTED_KEYS=""\n'
    options.check_same(DEBIAN, here)
    with pytest.raises(ReachError, match="CONFIG_GCC_VERSION is 130000, and it was n"):
        options.check_same(DEBIAN, f"{DEBIAN}CONFIG_GCC_VERSION=130000\n")


def test_what_the_kernel_lacks_of_what_is_asked() -> None:
    wanted = {"CONFIG_KVM": "y", "CONFIG_NR_CPUS": "8", "CONFIG_MISSING": "m", "CONFIG_OFF": "n"}
    found = options.unmet(DEBIAN, {name: (value, "image") for name, value in wanted.items()})
    assert [(item.option, item.wanted, item.got, item.origin) for item in found] == [
        ("CONFIG_NR_CPUS", "8", "8192", "image"),
        ("CONFIG_MISSING", "m", "n", "image"),
    ]
