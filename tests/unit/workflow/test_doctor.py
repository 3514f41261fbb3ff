from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.arch import X86_64
from toolkit.core.deadline import Deadline
from toolkit.core.paths import Paths
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache
from toolkit.host.sandbox import Support
from toolkit.vm import accelerator
from toolkit.vm.accelerator import Facts, Proof
from toolkit.workflow import doctor, host_programs
from toolkit.workflow.doctor import Finding
from toolkit.workflow.host_programs import Program


def places(folder: Path) -> Paths:
    return Paths(root=folder, cache=folder / "c", runs=folder / "r", history=folder / "h")


def faults(places: Paths) -> list[str]:
    return [each.text for each in doctor.examine_host(places, X86_64) if each.good is False]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a host with every program, room enough and a short TMPDIR."""
    monkeypatch.setattr(host_programs, "listed", lambda: (Program("/dev/null", "a", "is there"),))
    monkeypatch.setattr(doctor, "_NEEDED_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")


@pytest.mark.usefixtures("complete")
def test_nothing_is_wrong_on_a_complete_host(tmp_path: Path) -> None:
    assert faults(places(tmp_path)) == []
    # The folders of a first run were made and left empty.
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "c", tmp_path / "r"]


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("folder", "variable"), [("cache", "XDG_CACHE_HOME"), ("runs", "XDG_STATE_HOME")]
)
def test_a_folder_that_cannot_be_written(tmp_path: Path, folder: str, variable: str) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file/below"
    (text,) = faults(dataclasses.replace(places(tmp_path), **{folder: place}))
    assert text.startswith(f"{place}: cannot be written: Not a directory; set {variable}")


@pytest.mark.usefixtures("complete")
def test_a_cache_that_make_cannot_work_in(tmp_path: Path) -> None:
    (text,) = faults(places(tmp_path / "my files"))
    assert "my files" in text
    assert "set XDG_CACHE_HOME" in text


def test_too_little_room_for_a_first_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NEEDED_BYTES", 1 << 62)
    (text,) = faults(places(tmp_path))
    assert f"GiB free below {tmp_path}/c (a first run takes about 4294967296)" in text


@pytest.mark.usefixtures("complete")
def test_a_temporary_folder_too_deep_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    (text,) = faults(places(tmp_path))
    assert "too long for QEMU's monitor" in text
    assert "set TMPDIR" in text
    spaced = dataclasses.replace(places(tmp_path), cache=tmp_path / "a cache")
    assert len(faults(spaced)) == 2


def test_an_optional_program_that_is_absent_is_told_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = (
        Program("/none/needed", "a-package", "it is needed"),
        Program("/none/extra", "b-package", "it would be nice", optional=True),
    )
    monkeypatch.setattr(host_programs, "listed", lambda: listed)
    findings = [(each.good, each.text) for each in doctor.examine_host(places(tmp_path), X86_64)]
    assert findings[0] == (False, "/none/needed: missing (it is needed)")
    good, text = findings[1]
    assert good is None
    assert "optional (it would be nice)" in text
    assert "b-package" in text
    assert findings[2] == (False, "install: apt-get install a-package")


def test_the_list_tells_the_optional_from_the_needed() -> None:
    listed = [program for program in host_programs.listed() if program.condition != "selftests"]
    optional = {program.name: program.package for program in listed if program.optional}
    assert optional == {
        "spatch": "coccinelle",
        "pahole": "pahole",
        "openssl": "openssl",
        "/usr/include/openssl/opensslv.h": "libssl-dev",
    }
    assert all(not program.name.startswith("?") for program in host_programs.listed())


def accelerators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: Facts) -> list[str]:
    """Return what is said on a host with this KVM, under which a kernel boots."""
    qemu = tmp_path / "qemu"
    qemu.touch()
    monkeypatch.setattr(process, "find", lambda *_: str(qemu))
    monkeypatch.setattr(accelerator, "look", lambda _arch: facts)
    monkeypatch.setattr(accelerator, "_remembered", lambda *_: Proof(""))
    cache = Cache(tmp_path / "cache")
    found = doctor.examine_accelerator(X86_64, cache, Deadline.after(30), again=False)
    return [each.text for each in found]


def test_a_kvm_without_nesting_is_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Facts("", "kvm_amd", "nested virtualisation is off (kvm_amd.nested=0)")
    inner, others = accelerators(tmp_path, monkeypatch, facts)
    assert inner.startswith("accelerator with KVM in the guest: tcg (KVM cannot be used: a suite")
    assert others.startswith("accelerator without KVM in the guest: kvm (kvm_amd; a kernel boots")


@pytest.mark.parametrize("facts", [Facts("", "kvm_amd with nested SVM"), Facts("no device")])
def test_one_accelerator_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: Facts
) -> None:
    (text,) = accelerators(tmp_path, monkeypatch, facts)
    assert text.startswith(f"accelerator: {'tcg' if facts.fault else 'kvm'} (")


def sandbox_line(places: Paths) -> Finding:
    (line,) = [
        each for each in doctor.examine_host(places, X86_64) if each.text.startswith("sandbox: ")
    ]
    return line


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("support", "good", "words"),
    [
        (Support(("--unshare-user",), "bubblewrap 0.8.0"), True, "bubblewrap 0.8.0: what a build"),
        (Support((), "bubblewrap 0.8.0"), True, "without user name spaces"),
        (Support(None, "bwrap is not installed"), None, "none, so what a build runs can do all"),
    ],
)
def test_whether_a_build_is_confined_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    support: Support,
    good: bool | None,
    words: str,
) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda: support)
    line = sandbox_line(places(tmp_path))
    assert line.good is good
    assert words in line.text
    assert support.detail in line.text


def test_each_toolchain_is_shown_and_what_clang_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("setpriv", "sh"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    for name in ("gcc", "ld", "clang", "clang-19"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} 12.2\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nonexistent")
    findings = [(each.good, each.text) for each in doctor.examine_toolchains(X86_64, soon())]
    assert findings[0] == (True, "--toolchain gcc: gcc 12.2; ld 12.2")
    assert findings[1][0] is None
    assert findings[1][1].startswith("--toolchain clang: lacks ld.lld, llvm-ar, ")
    assert findings[1][1].endswith("is optional; install: apt-get install lld llvm")
    assert len(findings) == 2
