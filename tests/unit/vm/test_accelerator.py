import functools
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.core.arch import ARM64, RISCV64, X86_64, Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError
from toolkit.core.model.machine import Accelerator
from toolkit.host.cache import Cache
from toolkit.vm import accelerator
from toolkit.vm.accelerator import Facts, Proof, boot, decide, look

GOOD = Facts("", "kvm_amd with nested SVM")
PLAIN = Facts("", "kvm_amd", "nested virtualisation is off (kvm_amd.nested=0)")
PANIC = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"


def soon() -> Deadline:
    return Deadline.after(30)


probe = functools.partial(accelerator.probe, arch=X86_64)


def fake_qemu(folder: Path, body: str) -> str:
    """Return a program that finds its console's path in $serial, counts its runs, runs ``body``."""
    program = folder / "fake-qemu"
    program.write_text(
        '#!/bin/sh\necho run >>"${0%/*}/runs"\n'
        "for word; do case $word in file:*) serial=${word#file:};; esac; done\n" + body
    )
    program.chmod(0o755)
    return str(program)


def runs(folder: Path) -> int:
    file = folder / "runs"
    return len(file.read_text().splitlines()) if file.exists() else 0


# --- deciding ----------------------------------------------------------------------------


def test_auto_takes_kvm_when_a_kernel_booted() -> None:
    chosen = decide("auto", GOOD, Proof(""), X86_64, nested=True)
    assert (chosen.name, chosen.cpu) == ("kvm", "host")
    assert "kvm_amd with nested SVM" in chosen.reason


@pytest.mark.parametrize(
    ("facts", "proof", "reason"),
    [
        (Facts("/dev/kvm cannot be opened (Permission denied)"), None, "Permission denied"),
        (GOOD, Proof("a kernel printed nothing within 15 s"), "printed nothing"),
        (GOOD, None, "no kernel was at hand"),
        (PLAIN, Proof(""), "a suite needs KVM in the guest, and nested virtualisation is off"),
    ],
)
def test_without_proof_auto_is_tcg_and_kvm_an_error(
    facts: Facts, proof: Proof | None, reason: str
) -> None:
    chosen = decide("auto", facts, proof, X86_64, nested=True)
    assert (chosen.name, chosen.cpu) == ("tcg", "max,-erms")
    assert reason in chosen.reason
    with pytest.raises(InfrastructureError, match="KVM cannot be used") as caught:
        decide("kvm", facts, proof, X86_64, nested=True)
    assert reason in caught.value.what
    assert "--accel" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "config", "in_turns"),
    [
        ("tcg", "CONFIG_JUMP_LABEL=y\n", True),
        ("tcg", "# CONFIG_JUMP_LABEL is not set\nCONFIG_HAVE_ARCH_JUMP_LABEL=y\n", False),
        ("kvm", "CONFIG_JUMP_LABEL=y\n", False),
    ],
)
def test_a_kernel_that_patches_its_code_is_emulated_in_one_thread(
    name: str, config: str, in_turns: bool
) -> None:
    chosen = Accelerator(name, "max", "why")
    suited = accelerator.suited(chosen, config, X86_64, "7.2.22")
    assert suited == replace(chosen, in_turns=in_turns)


@pytest.mark.parametrize(
    ("name", "arch", "version", "in_turns"),
    [
        ("tcg", RISCV64, "7.2.22", True),
        ("tcg", RISCV64, "8.0.5", True),
        ("tcg", RISCV64, "8.1.0", False),
        ("tcg", RISCV64, "10.0.2", False),
        ("tcg", RISCV64, "of no number", True),
        ("kvm", RISCV64, "7.2.22", False),
        ("tcg", ARM64, "7.2.22", False),
        ("tcg", X86_64, "of no number", False),
    ],
)
def test_firmware_that_cannot_start_a_second_cpu_is_emulated_in_one_thread(
    name: str, arch: Arch, version: str, in_turns: bool
) -> None:
    chosen = Accelerator(name, "max", "why")
    assert accelerator.suited(chosen, "", arch, version) == replace(chosen, in_turns=in_turns)


def test_tcg_needs_no_proof() -> None:
    assert decide("tcg", Facts("no KVM"), None, X86_64, nested=True).reason == "asked for"


@pytest.mark.parametrize("facts", [GOOD, PLAIN])
def test_any_kvm_does_where_nothing_needs_it_in_the_guest(facts: Facts) -> None:
    chosen = decide("kvm", facts, Proof(""), X86_64, nested=False)
    assert (chosen.name, chosen.cpu) == ("kvm", "host,-svm,-vmx")
    assert "nothing needs KVM in the guest" in chosen.reason
    with pytest.raises(InfrastructureError, match="printed nothing") as caught:
        decide("kvm", facts, Proof("a kernel printed nothing"), X86_64, nested=False)
    assert "whose /dev/kvm you may open" in caught.value.hint


def test_the_hint_is_about_what_is_missing() -> None:
    for facts, nested in ((PLAIN, True), (Facts("no device"), False)):
        with pytest.raises(InfrastructureError) as caught:
            decide("kvm", facts, None, X86_64, nested=nested)
        assert ("kvm_amd.nested=1" in caught.value.hint) == nested


# --- looking -----------------------------------------------------------------------------


def sysfs(folder: Path, module: str, value: str) -> Path:
    parameters = folder / module / "parameters"
    parameters.mkdir(parents=True)
    (parameters / "nested").write_text(value + "\n")
    return folder


def test_no_device(tmp_path: Path) -> None:
    assert "No such file" in look(X86_64, tmp_path / "kvm", tmp_path).fault


def test_a_device_that_is_no_kvm(tmp_path: Path) -> None:
    facts = look(X86_64, Path("/dev/null"), sysfs(tmp_path, "kvm_amd", "1"))
    assert facts.fault == "/dev/null is no KVM (Inappropriate ioctl for device)"


@pytest.fixture
def some_kvm(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device that answers as KVM does, but does not report its CPU features."""
    monkeypatch.setattr(accelerator, "api_version", lambda descriptor: 12)
    return Path("/dev/null")


def test_another_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "api_version", lambda descriptor: 11)
    assert "has version 11 of KVM's interface" in look(X86_64, Path("/dev/null"), tmp_path).fault


def test_device_without_module_parameters(some_kvm: Path, tmp_path: Path) -> None:
    facts = look(X86_64, some_kvm, tmp_path)
    assert (facts.fault, facts.detail) == ("", "KVM")
    assert "`nested` parameter" in facts.unnested


@pytest.mark.parametrize(("module", "value"), [("kvm_amd", "0"), ("kvm_intel", "N")])
def test_nested_off(some_kvm: Path, tmp_path: Path, module: str, value: str) -> None:
    facts = look(X86_64, some_kvm, sysfs(tmp_path, module, value))
    assert facts == Facts("", module, f"nested virtualisation is off ({module}.nested={value})")


def test_features_that_are_not_reported(some_kvm: Path, tmp_path: Path) -> None:
    facts = look(X86_64, some_kvm, sysfs(tmp_path, "kvm_amd", "1"))
    assert (facts.fault, facts.detail) == ("", "kvm_amd")
    assert "does not report its CPU features" in facts.unnested


def test_offered_extension_is_believed_only_if_it_fits(
    some_kvm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = sysfs(tmp_path, "kvm_intel", "Y")
    monkeypatch.setattr(accelerator, "nested_extension", lambda descriptor: "vmx")
    assert look(X86_64, some_kvm, modules) == Facts("", "kvm_intel with nested VMX")
    monkeypatch.setattr(accelerator, "nested_extension", lambda descriptor: "")
    facts = look(X86_64, some_kvm, modules)
    assert facts == Facts(
        "", "kvm_intel", "KVM offers its guests no vmx though kvm_intel.nested is on"
    )


def cpuid(*entries: tuple[int, int]) -> bytes:
    """Return a struct kvm_cpuid2 with these functions and their ecx; ebx and edx are all ones."""
    ones = 0xFFFFFFFF
    table = [
        struct.pack("<10I", function, 0, 0, 0, ones, ecx, ones, 0, 0, 0)
        for function, ecx in entries
    ]
    return struct.pack("<II", len(entries), 0) + b"".join(table)


def test_extension_in_a_cpuid_table() -> None:
    assert accelerator.extension_in(cpuid((1, 0), (0x80000001, 1 << 2))) == "svm"
    assert accelerator.extension_in(cpuid((1, 1 << 5), (0x80000001, 0))) == "vmx"
    assert accelerator.extension_in(cpuid((1, ~(1 << 5) & 0xFFFFFFFF), (7, 0xFFFFFFFF))) == ""


# --- booting -----------------------------------------------------------------------------


def test_a_kernel_that_reaches_its_end(tmp_path: Path) -> None:
    binary = fake_qemu(
        tmp_path, f'echo "Linux version 6.12" >"$serial"; echo "{PANIC}" >>"$serial"; sleep 60\n'
    )
    assert boot(binary, X86_64, tmp_path / "kernel", soon(), nested=True) == Proof("")


def test_qemu_that_gives_up_on_a_register(tmp_path: Path) -> None:
    binary = fake_qemu(
        tmp_path,
        "echo 'qemu: error: failed to set MSR 0x10a to 0x0' >&2\necho 'Assertion failed.' >&2\n"
        "exit 134\n",
    )
    proof = boot(binary, X86_64, tmp_path / "kernel", soon(), nested=True)
    assert proof.fault.endswith("printed anything: qemu: error: failed to set MSR 0x10a to 0x0")
    assert proof.certain


def test_a_machine_that_hangs_before_the_first_line(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, 'echo $$ >"${0%/*}/pid"\nexec sleep 60\n')
    proof = boot(binary, X86_64, tmp_path / "kernel", soon(), nested=True, first_line=0.5)
    assert "printed nothing" in proof.fault
    assert proof.certain
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_kernel_that_hangs_later_may_be_at_fault_itself(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, 'echo "Linux version 6.12" >"$serial"; sleep 60\n')
    proof = boot(binary, X86_64, tmp_path / "kernel", soon(), nested=True, silence=0.3)
    assert "fell silent" in proof.fault
    assert not proof.certain


def test_a_kernel_that_ends_qemu_may_be_at_fault_itself(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, 'echo "Linux version 6.12" >"$serial"\n')
    proof = boot(binary, X86_64, tmp_path / "kernel", soon(), nested=True)
    assert "while the kernel booted" in proof.fault
    assert not proof.certain


def test_the_callers_deadline_counts(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, "exec sleep 60\n")
    with pytest.raises(DeadlineError):
        boot(binary, X86_64, tmp_path / "kernel", Deadline.after(0.3), nested=True)


def test_commas_in_paths_survive() -> None:
    line = accelerator.boot_argv("qemu", X86_64, Path("/k"), Path("/a,b/serial"), nested=True)
    assert "file:/a,,b/serial" in line


# --- the whole ---------------------------------------------------------------------------


def test_the_proof_is_remembered_until_it_is_wanted_again(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, f'echo "{PANIC}" >"$serial"; sleep 60\n')
    cache, kernel = Cache(tmp_path / "cache"), tmp_path / "kernel"
    first = probe("auto", binary, kernel, cache, soon(), nested=True, facts=GOOD)
    second = probe("auto", binary, None, cache, soon(), nested=True, facts=GOOD)
    assert first[0].name == second[0].name == "kvm"
    assert (first[1], second[1], runs(tmp_path)) == (False, True, 1)
    probe("auto", binary, kernel, cache, soon(), nested=True, facts=GOOD, again=True)
    assert runs(tmp_path) == 2


def test_another_qemu_is_tried_anew(tmp_path: Path) -> None:
    cache, kernel = Cache(tmp_path / "cache"), tmp_path / "kernel"
    probe(
        "auto",
        fake_qemu(tmp_path, "exit 1\n"),
        kernel,
        cache,
        soon(),
        arch=X86_64,
        nested=True,
        facts=GOOD,
    )
    probe(
        "auto",
        fake_qemu(tmp_path, "exit  1\n"),
        kernel,
        cache,
        soon(),
        arch=X86_64,
        nested=True,
        facts=GOOD,
    )
    assert runs(tmp_path) == 2


def test_what_the_kernel_may_have_caused_is_not_remembered(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, 'echo "Linux version 6.12" >"$serial"\n')
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        chosen, found = probe(
            "auto", binary, tmp_path / "k", cache, soon(), nested=True, facts=GOOD
        )
        assert (chosen.name, found) == ("tcg", False)
    assert runs(tmp_path) == 2


def test_nothing_is_booted_where_it_cannot_matter(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, "exit 1\n")
    cache = Cache(tmp_path / "cache")
    probe("tcg", binary, tmp_path / "k", cache, soon(), nested=True, facts=GOOD)
    probe(
        "auto",
        binary,
        tmp_path / "k",
        cache,
        soon(),
        arch=X86_64,
        nested=True,
        facts=Facts("no device"),
    )
    probe("auto", binary, None, cache, soon(), nested=True, facts=GOOD)
    assert runs(tmp_path) == 0


def test_each_job_has_a_proof_of_its_own(tmp_path: Path) -> None:
    """What is wrong with nesting alone does not keep other suites from KVM."""
    body = (
        'case "$*" in *host,-svm,-vmx*) '
        f'echo "{PANIC}" >"$serial"; sleep 60;; esac\n'
        "echo 'qemu: error: failed to set MSR 0x480' >&2\nexit 134\n"
    )
    binary, cache, kernel = fake_qemu(tmp_path, body), Cache(tmp_path / "cache"), tmp_path / "k"
    with pytest.raises(InfrastructureError, match="failed to set MSR 0x480"):
        probe("kvm", binary, kernel, cache, soon(), nested=True, facts=GOOD)
    chosen, _ = probe("kvm", binary, kernel, cache, soon(), nested=False, facts=GOOD)
    assert chosen.name == "kvm"
    assert probe("auto", binary, None, cache, soon(), nested=True, facts=GOOD)[0].name == "tcg"
    assert probe("auto", binary, None, cache, soon(), nested=False, facts=GOOD)[1]
    assert runs(tmp_path) == 2


def test_without_nesting_a_kernel_is_booted_only_for_what_does_without(tmp_path: Path) -> None:
    binary = fake_qemu(tmp_path, f'echo "{PANIC}" >"$serial"; sleep 60\n')
    cache, kernel = Cache(tmp_path / "cache"), tmp_path / "k"
    for nested, wanted in ((True, "tcg"), (False, "kvm")):
        chosen, _ = probe("auto", binary, kernel, cache, soon(), nested=nested, facts=PLAIN)
        assert chosen.name == wanted
    assert runs(tmp_path) == 1
