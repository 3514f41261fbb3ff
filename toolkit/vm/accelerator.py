"""Which accelerator can do the job on this host: proven, not guessed.

That /dev/kvm exists proves little. On some machines it opens and even runs a 16-bit program, and
yet a kernel hangs before its first line, or QEMU gives up on a register that the host does not let
it set. So a real kernel is booted, once for each boot of the host.

There are two jobs. A suite of KVM's needs KVM in the guest as well, so *nested*; TCG can emulate
that. Everything else runs under any KVM, and its guests are not even offered nesting: what is wrong
with that alone is then no obstacle.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import struct
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.clock import clock
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.machine import Accelerator
from toolkit.host import process
from toolkit.host.cache import Cache, digest

DEVICE = Path("/dev/kvm")
MODULES = Path("/sys/module")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# A kernel unpacks itself before its first line, slowly on a host that is a virtual machine
# itself. After that, silence means that it hangs.
FIRST_LINE = 15.0
SILENCE = 10.0
_POLL = 0.05
_STARTED = b"Linux version"
# A kernel without a root file system ends so: init/do_mounts.c and init/main.c.
_ENDED = (b"Unable to mount root fs", b"No working init found", b"Cannot open root device")

# linux/kvm.h: _IO(KVMIO, 0x00), which has answered the same since 2007, and _IO(KVMIO, 0x03).
_GET_API_VERSION = 0xAE00
_CHECK_EXTENSION = 0xAE03
_API_VERSION = 12
# linux/kvm.h: _IOWR(KVMIO, 0x05, struct kvm_cpuid2), whose fixed part is 8 bytes long.
_GET_SUPPORTED_CPUID = 0xC008AE05
_CPUID_ENTRIES = 256
_CPUID_ENTRY = struct.Struct("<3I4I3I")  # function, index, flags, eax, ebx, ecx, edx, padding
# CPUID function, and bit of ecx: AMD's manual 3, appendix E; Intel's manual 2A, CPUID.
_NESTED_BITS = {"svm": (0x80000001, 2), "vmx": (0x1, 5)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be seen of KVM without running anything.

    ``fault`` is "" when there is a KVM, and ``unnested`` when its guests may have one of their own.
    """

    fault: str
    detail: str = ""
    unnested: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of booting a kernel: ``fault`` is "" when it booted.

    ``certain`` is false when the kernel under test may be to blame instead of KVM.
    """

    fault: str
    certain: bool = True


# --- looking -----------------------------------------------------------------------------


def look(arch: Arch, device: Path = DEVICE, modules: Path = MODULES) -> Facts:
    """Return what the host reports of its KVM: device, nested parameter, offered CPU features."""
    if arch.cross:
        return Facts(f"this host's processor does not run {arch.name}")
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return Facts(f"{device} cannot be opened ({error.strerror})")
    try:
        version = api_version(descriptor)
    except OSError as error:
        version = 0
        reason = f"{device} is no KVM ({error.strerror})"
    else:
        reason = f"{device} has version {version} of KVM's interface, not {_API_VERSION}"
    try:
        if version != _API_VERSION:
            return Facts(reason)
        if arch.kvm_modules:
            return _look_for_nesting(descriptor, device, modules, dict(arch.kvm_modules))
        return _ask_for_nesting(descriptor, device, arch)
    finally:
        os.close(descriptor)


def _ask_for_nesting(descriptor: int, device: Path, arch: Arch) -> Facts:
    """Return the facts of a KVM that is no module and has a capability for what it can nest."""
    if not arch.nested_capability:
        return Facts("", "KVM", f"KVM on {arch.name} offers its guests no KVM of their own")
    try:
        offered = fcntl.ioctl(descriptor, _CHECK_EXTENSION, arch.nested_capability)
    except OSError as error:
        return Facts("", "KVM", f"{device} does not report its capabilities ({error.strerror})")
    if offered:
        return Facts("", "KVM with nesting")
    return Facts("", "KVM", "nested virtualisation is off, or not in this kernel or processor")


def _look_for_nesting(
    descriptor: int, device: Path, modules: Path, extensions: Mapping[str, str]
) -> Facts:
    parameters = nested_parameters(modules, extensions)
    name = next(iter(parameters), "KVM")
    if not parameters:
        vendors = " nor ".join(extensions)
        fault = f"neither {vendors} shows a `nested` parameter under /sys"
        return Facts("", name, fault)
    on = [module for module, value in parameters.items() if value in ("1", "Y")]
    if not on:
        settings = ", ".join(f"{module}.nested={value}" for module, value in parameters.items())
        return Facts("", name, f"nested virtualisation is off ({settings})")
    extension = extensions[on[0]]
    try:
        offered = nested_extension(descriptor)
    except OSError as error:
        fault = f"{device} does not report its CPU features ({error.strerror})"
        return Facts("", on[0], fault)
    if offered != extension:
        fault = f"KVM offers its guests no {extension} though {on[0]}.nested is on"
        return Facts("", on[0], fault)
    return Facts("", f"{on[0]} with nested {extension.upper()}")


def api_version(descriptor: int) -> int:
    """Return the version of KVM's interface; raise :class:`OSError` where it is no KVM."""
    return fcntl.ioctl(descriptor, _GET_API_VERSION, 0)


def nested_parameters(modules: Path, vendors: Iterable[str]) -> dict[str, str]:
    """Return the ``nested`` parameter of each of KVM's ``vendors``' modules that is loaded."""
    parameters = {}
    for name in vendors:
        try:
            parameters[name] = (modules / name / "parameters" / "nested").read_text().strip()
        except OSError:
            continue
    return parameters


def nested_extension(descriptor: int) -> str:
    """Return ``svm``, ``vmx`` or "", by the CPU features that KVM offers to its guests."""
    buffer = bytearray(struct.pack("<II", _CPUID_ENTRIES, 0))
    buffer += bytes(_CPUID_ENTRIES * _CPUID_ENTRY.size)
    fcntl.ioctl(descriptor, _GET_SUPPORTED_CPUID, buffer)
    return extension_in(bytes(buffer))


def extension_in(table: bytes) -> str:
    """Return what :func:`nested_extension` does, from the kvm_cpuid2 structure itself."""
    (count,) = struct.unpack_from("<I", table)
    for number in range(count):
        entry = _CPUID_ENTRY.unpack_from(table, 8 + number * _CPUID_ENTRY.size)
        function, ecx = entry[0], entry[5]
        for name, (wanted, bit) in _NESTED_BITS.items():
            if function == wanted and ecx >> bit & 1:
                return name
    return ""


# --- booting -----------------------------------------------------------------------------


def boot_argv(binary: str, arch: Arch, kernel: Path, serial: Path, *, nested: bool) -> list[str]:
    """Return the command line of a machine that boots ``kernel`` to its end, which is a panic."""
    cpu, board = kvm_words(arch, nested=nested)
    machine = ",".join(filter(None, [arch.board, board]))
    return [
        *(binary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-accel", "kvm", "-cpu", cpu, "-machine", machine, "-smp", "2", "-m", "512M"),
        # A file: QEMU in a container has been seen to write nothing to stdio.
        *("-serial", f"file:{str(serial).replace(',', ',,')}"),
        *("-kernel", str(kernel), "-append", f"console={arch.console} panic=-1"),
    ]


def boot(
    binary: str,
    arch: Arch,
    kernel: Path,
    deadline: Deadline,
    *,
    nested: bool,
    first_line: float = FIRST_LINE,
    silence: float = SILENCE,
) -> Proof:
    """Boot ``kernel`` under KVM and return what came of it; never leaves a QEMU behind.

    ``first_line`` and ``silence`` bound, in seconds, how long the console may stay silent.
    """
    with tempfile.TemporaryDirectory(prefix="toolkit-probe.") as name:
        serial, errors = Path(name) / "serial", Path(name) / "errors"
        with errors.open("wb") as log:
            argv = boot_argv(binary, arch, kernel, serial, nested=nested)
            child = process.start(argv, stdout=log, stderr=log)
        size, last_output, wait = 0, clock.now(), deadline.wait()
        try:
            while True:
                ended = child.poll() is not None
                console = serial.read_bytes() if serial.exists() else b""
                if any(text in console for text in _ENDED):
                    return Proof("")
                if ended:
                    return judge_end(console, errors.read_text(errors="replace"))
                if len(console) > size:
                    size, last_output = len(console), clock.now()
                wait.check("the trial boot under KVM")
                quiet = clock.now() - last_output
                if quiet > (silence if size else first_line):
                    return judge_silence(console, quiet)
                time.sleep(_POLL)
        finally:
            process.stop(child, process.Grace(terminate=1.0))


def judge_end(console: bytes, errors: str) -> Proof:
    """Return what it means that QEMU ended before the kernel did."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    # The last line is the abort itself; the one that begins with "error:" has the reason.
    reason = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    started = _STARTED in console
    where = "while the kernel booted" if started else "before the kernel printed anything"
    return Proof(f"QEMU ended {where}" + (f": {reason}" if reason else ""), certain=not started)


def judge_silence(console: bytes, seconds: float) -> Proof:
    """Return what it means that nothing has come from the console for so long."""
    if _STARTED in console:
        return Proof(f"a kernel fell silent for {seconds:.0f} s while it booted", certain=False)
    return Proof(f"a kernel printed nothing within {seconds:.0f} s")


# --- deciding ----------------------------------------------------------------------------


def decide(
    want: str, facts: Facts, proof: Proof | None, arch: Arch, *, nested: bool
) -> Accelerator:
    """Return the accelerator, given the facts; ``proof`` None means that no kernel was booted.

    ``want`` is auto, kvm or tcg; ``nested``: the guest needs a KVM of its own. Raises
    :class:`InfrastructureError` for a KVM that was asked for and cannot do the job.
    """
    if want == "tcg":
        return Accelerator("tcg", arch.tcg_cpu, "asked for", arch.tcg_board)
    fault = visible_fault(facts, nested=nested)
    if not fault and proof and not proof.fault:
        alone = "" if nested else ", and nothing needs KVM in the guest"
        cpu, board = kvm_words(arch, nested=nested)
        return Accelerator("kvm", cpu, f"{facts.detail}; a kernel boots under it{alone}", board)
    fault = fault or (proof.fault if proof else "no kernel was at hand to prove it")
    if want == "kvm":
        raise InfrastructureError(
            f"KVM cannot be used on this host: {fault}", hint=_hint(facts, arch)
        )
    return Accelerator("tcg", arch.tcg_cpu, f"KVM cannot be used: {fault}", arch.tcg_board)


def visible_fault(facts: Facts, *, nested: bool) -> str:
    """Return what can be seen to keep KVM from the job, or ""."""
    if facts.fault or not nested:
        return facts.fault
    return facts.unnested and f"a suite needs KVM in the guest, and {facts.unnested}"


def kvm_words(arch: Arch, *, nested: bool) -> tuple[str, str]:
    """Return QEMU's -cpu and further options of its -machine for guests under KVM."""
    if nested:
        return arch.kvm_cpu, arch.kvm_board
    return arch.kvm_cpu_unnested, arch.kvm_board_unnested


def _hint(facts: Facts, arch: Arch) -> str:
    others = "use --accel auto or --accel tcg, or a host"
    if arch.cross:
        return f"{others} of that architecture"
    if facts.fault:
        return f"{others} whose /dev/kvm you may open"
    how = " or ".join(f"{module}.nested=1" for module, _ in arch.kvm_modules)
    nested = f"nested virtualisation ({how})" if how else "nested virtualisation"
    return f"{others} with {nested} whose /dev/kvm you may open"


def suited(accelerator: Accelerator, config: str, arch: Arch, version: str) -> Accelerator:
    """Return the accelerator as this kernel and this QEMU need it: TCG with one thread, or several.

    ``config`` is the kernel's configuration, ``version`` QEMU's. Several threads are faster, and
    wrong in two cases:

    - A kernel with jump labels writes an int3 over code while other CPUs run it
      (arch/x86/kernel/alternative.c, text_poke_bp_batch()). QEMU 7.2 translates that code in one
      thread while another one writes to it, so a CPU may run into the int3 after it was taken back:
      a Debian kernel died of it in __schedule() in one of nine programs that start virtual
      machines.
    - QEMU's firmware is older than the architecture's ``firmware_since``, or of unknown age.
    """
    patched = "CONFIG_JUMP_LABEL=y" in config.splitlines()
    unsafe = _release(version) < arch.firmware_since
    return (
        replace(accelerator, in_turns=True)
        if accelerator.name == "tcg" and (patched or unsafe)
        else accelerator
    )


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else ()


def probe(
    want: str,
    binary: str,
    kernel: Path | None,
    cache: Cache,
    deadline: Deadline,
    *,
    arch: Arch,
    nested: bool,
    again: bool = False,
    facts: Facts | None = None,
) -> tuple[Accelerator, bool]:
    """Return the accelerator to use, and whether its proof was remembered.

    The trial boot happens at most once for each boot of the host, QEMU, host kernel and job, which
    ``nested`` says; ``again`` forgets the last one. ``kernel`` is what to boot; without one only a
    remembered proof counts. Raises :class:`InfrastructureError` when ``want`` is kvm and KVM cannot
    do the job.
    """
    if want == "tcg":
        return decide(want, Facts(""), None, arch, nested=nested), True
    facts = facts or look(arch)
    if visible_fault(facts, nested=nested):
        return decide(want, facts, None, arch, nested=nested), True
    key = _key(binary, facts, *filter(None, kvm_words(arch, nested=nested)))
    if again:
        cache.discard("probe", key)
    proof, remembered = _remembered(cache, key), True
    if proof is None and kernel:
        proof, remembered = boot(binary, arch, kernel, deadline, nested=nested), False
        if proof.certain:
            _remember(cache, key, proof, deadline)
    return decide(want, facts, proof, arch, nested=nested), remembered


def _key(binary: str, facts: Facts, *words: str) -> str:
    program = Path(binary).resolve()
    info = program.stat()
    return digest(
        BOOT_ID.read_text().strip(),
        platform.release(),
        [str(program), info.st_size, info.st_mtime_ns],
        asdict(facts),
        *words,
    )


def _remembered(cache: Cache, key: str) -> Proof | None:
    folder = cache.find("probe", key)
    if folder is None:
        return None
    data: Mapping[str, str] = json.loads((folder / "proof.json").read_text())
    return Proof(data["fault"])


def _remember(cache: Cache, key: str, proof: Proof, deadline: Deadline) -> None:
    def fill(folder: Path) -> None:
        (folder / "proof.json").write_text(json.dumps({"fault": proof.fault}))

    label = proof.fault or "a kernel boots under KVM"
    cache.make("probe", key, fill, deadline=deadline, label=label)
