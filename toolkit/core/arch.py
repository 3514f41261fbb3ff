"""What differs between the architectures a kernel is built for and booted on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from toolkit.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture: what the kernel's Makefile and QEMU call it and its files."""

    name: str  # make ARCH=
    srcarch: str  # the folder below arch/
    machine: str  # uname -m
    image: str  # what QEMU boots, relative to the build folder; its name is a make target
    packed_image: str  # the same for a kernel that its boot loader must unpack
    qemu: str
    qemu_package: str
    tcg_cpu: str
    kvm_cpu: str
    kvm_cpu_unnested: str  # the same without what a KVM in the guest would need
    elf_machines: tuple[int, ...]  # linux/elf-em.h: of the programs that it may run


X86_64 = Arch(
    name="x86_64",
    srcarch="x86",
    machine="x86_64",
    # Through its PVH entry (CONFIG_PVH): a bzImage would first have to be packed, and under
    # emulation it takes QEMU over a second to unpack it again.
    image="vmlinux",
    packed_image="arch/x86/boot/bzImage",
    qemu="qemu-system-x86_64",
    qemu_package="qemu-system-x86",
    # TCG's "max" model has SVM and nested paging, though no VMX: QEMU target/i386/cpu.c,
    # TCG_EXT3_FEATURES and TCG_SVM_FEATURES. Without ERMS: with it, Linux clears and copies
    # pages byte by byte (clear_page_erms() and others), and TCG takes each byte as a turn of
    # its own: 9 to 18 percent of the CPU time of four of iosignalfd's test programs.
    tcg_cpu="max,-erms",
    kvm_cpu="host",
    # A feature that the host lacks may be switched off as well.
    kvm_cpu_unnested="host,-svm,-vmx",
    elf_machines=(62, 3),  # EM_X86_64; EM_386, which CONFIG_IA32_EMULATION runs
)

_KNOWN = {X86_64.machine: X86_64, "amd64": X86_64}


def host_arch() -> Arch:
    """Return this host's architecture; raise :class:`UserError` where it is not supported."""
    machine = platform.machine().lower()
    if machine not in _KNOWN:
        raise UserError(
            f"this host is {machine}; kernels are built and booted for x86_64 only",
            hint="run the toolkit on an x86_64 host",
        )
    return _KNOWN[machine]
