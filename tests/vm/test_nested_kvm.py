"""A CI runner with nested virtualisation, simulated: the toolkit inside a machine that has SVM.

There `--accel auto` must choose KVM by itself, and the suite must pass under it. That machine has
one CPU: with two, QEMU 7.2's emulation of SVM corrupted its memory in one run of four. It keeps a
periodic tick: without, one of some fifty runs stood still for 391 s, timers and all, as if the
interrupt were lost that is to set the timer again.
"""

from __future__ import annotations

import importlib
import json
import tarfile
from pathlib import Path

from tests.vm.conftest import DATA, PROJECT, Toolkit

# What `toolkit test --from` imports beyond the standard library; Debian's Python runs the same
# wheels as this one when their versions agree.
PACKAGES = (
    *("annotated_types", "bcrypt", "cffi", "click", "cryptography", "filelock", "invoke", "jinja2"),
    *("junitparser", "markdown_it", "markupsafe", "mdurl", "nacl", "paramiko", "platformdirs"),
    *("pydantic", "pydantic_core", "pygments", "qemu", "rich", "typing_inspection", "yaml"),
)
MODULES = ("_cffi_backend", "typing_extensions")
# The inner kernel goes without XSAVE: what KVM offers of it on an emulated CPU does not add up, and
# the kernel warns (fpu__init_system_xstate in arch/x86/kernel/fpu/xstate.c).
COMMAND = """
set -e
mkdir /opt/t && tar -x -C /opt/t
cd /opt/t/project
export PYTHONPATH=/opt/t/project:/opt/t/packages
run="--run-dir /opt/t/run --append noxsave"
python3 -m toolkit test --from /opt/t/saved --test '*args*' $run >&2
cat /opt/t/run/result.json
"""


def test_auto_chooses_kvm_where_it_works(toolkit: Toolkit, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    built = toolkit.run("build", "--patch", "v4", "--save", str(saved))
    assert built.code == 0, built
    archive = tmp_path / "all.tar"
    pack(archive, saved)
    runner = ("--image", str(DATA / "images/runner"), "--append", "nohz=off highres=off")
    ended = toolkit.run("shell", "--patch", "v4", *runner, "--", "sh", "-c", COMMAND, stdin=archive)
    assert ended.code == 0, ended
    inner = json.loads(ended.out)
    assert inner["accelerator"] == "kvm", inner["accelerator_reason"]
    assert inner["verdict"] == "pass"
    statuses = [leaf["status"] for leaf in inner["leaves"]]
    assert statuses.count("pass") >= 15


def pack(archive: Path, saved: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        tar.add(saved, "saved")
        for name in ("toolkit", "patches", "kselftests", "vm-images"):
            tar.add(PROJECT / name, f"project/{name}", filter=without_caches)
        for name in PACKAGES:
            (folder,) = importlib.import_module(name).__path__
            tar.add(folder, f"packages/{name}", filter=without_caches)
        site_packages = Path(importlib.import_module("yaml").__path__[0]).parent
        for info in site_packages.glob("*.dist-info"):
            tar.add(info, f"packages/{info.name}")  # some ask for their own version
        for name in MODULES:
            file = importlib.import_module(name).__file__
            assert file
            tar.add(file, f"packages/{Path(file).name}")


def without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("__pycache__") else member
