from __future__ import annotations

import pytest

from toolkit.formats.symvers import VMLINUX, Export
from toolkit.kernel.prebuilt import build
from toolkit.kernel.prebuilt.reach import ReachError

USES = {"kvm-amd": {"kvm_get", "printk"}, "vfio": {"printk"}, "net": set[str]()}
EXPORTS = {"printk": Export(1, VMLINUX), "kvm_get": Export(5, "kvm")}


def test_whoever_uses_a_changed_symbol_depends_on_it() -> None:
    assert build.dependents(USES, {"kvm_get"}) == {"kvm-amd"}
    assert build.dependents(USES, {"printk"}) == {"kvm-amd", "vfio"}
    assert build.dependents(USES, set()) == set()


def test_a_crc_that_does_not_fit_is_refused() -> None:
    build.check_fit({"kvm-amd": {"kvm_get": 5, "printk": 1, "elsewhere": 9}}, EXPORTS)
    with pytest.raises(ReachError, match="kvm-amd does not fit printk of vmlinux"):
        build.check_fit({"kvm-amd": {"kvm_get": 5, "printk": 2}}, EXPORTS)
