from __future__ import annotations

import io
import tarfile
from pathlib import Path

from toolkit.formats import modalias

ALIASES = """# Aliases extracted from modules themselves.
alias cpu:type:x86,ven*fam*mod*:feature:*00C2* kvm_amd
alias cpu:type:x86,ven*fam*mod*:feature:*0085* kvm_intel
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias devname:kvm kvm
alias broken
"""
FEATURES = ",".join(f"{number:04X}" for number in range(0x86, 0x200))


def test_takes_the_vendor_whose_feature_the_cpu_has() -> None:
    cpu = f"cpu:type:x86,ven0002fam000Fmod006B:feature:,{FEATURES}\n"
    assert len(cpu) > 256
    assert modalias.wanted(ALIASES, [cpu, "", "acpi:PNP0303:"]) == ["kvm_amd"]


def test_no_device_wants_nothing() -> None:
    assert modalias.wanted(ALIASES, []) == []
    assert modalias.wanted("", ["pci:v00001AF4d1sv1sd1bc1sc1i1"]) == []


def test_reads_the_aliases_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "modules.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("lib/modules/6.12.1/modules.alias")
        member.size = len(ALIASES)
        tar.addfile(member, io.BytesIO(ALIASES.encode()))
    assert modalias.read_aliases(path) == ALIASES
    with tarfile.open(path, "w"):
        pass
    assert modalias.read_aliases(path) == ""
