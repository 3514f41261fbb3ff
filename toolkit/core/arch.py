"""What differs between the architectures a kernel is built for and booted on.

Nothing else in the toolkit asks which architecture it is: one more is one more value here, beside
what its guests are made of (``kernel.config.ARCH`` of an image, ``config.ARCH`` of a suite) and the
programs in ``host-programs.txt``.
"""

from __future__ import annotations

import difflib
import platform
from dataclasses import dataclass

from toolkit.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture: what the kernel's Makefile, Debian and QEMU call it and its files."""

    name: str  # --arch, and a part of keys
    kbuild: str  # make ARCH=
    srcarch: str  # the folder below arch/
    machine: str  # uname -m
    debian: str  # what dpkg calls it
    triplet: str  # before the names of its cross compiler and binutils; Debian's multiarch tuple
    image: str  # what QEMU boots, relative to the build folder; its name is a make target
    packed_image: str  # the same for a kernel that its boot loader must unpack
    elf_machines: tuple[int, ...]  # linux/elf-em.h: of the programs that it may run
    loader: str  # the file name of glibc's, which starts dynamically linked programs
    qemu: str
    qemu_package: str
    board: str  # QEMU's -machine
    console: str  # the serial line's name in the guest
    tcg_cpu: str
    kvm_cpu: str
    kvm_cpu_unnested: str  # the same without what a KVM in the guest would need
    # Further options of -machine: for TCG, and for both jobs of KVM.
    tcg_board: str = ""
    kvm_board: str = ""
    kvm_board_unnested: str = ""
    debian_without: tuple[str, ...] = ()  # releases of Debian that do not have it …
    debian_since: str = ""  # … and the first that does
    # For the kernel's command line: what shows its messages before its serial driver is there.
    early: tuple[str, ...] = ()
    fw_cfg: bool = True  # whether -fw_cfg gives its board files
    vmgenid: bool = False  # whether QEMU has that device for it
    # Whether KVM's guests may have a KVM of their own: a parameter of its vendor modules says so,
    # each of which is here with the CPU feature that a guest needs …
    kvm_modules: tuple[tuple[str, str], ...] = ()
    nested_capability: int = 0  # … or a capability (linux/kvm.h); 0: they may not
    # The first QEMU whose firmware starts a second CPU safely while others run; (): any does.
    firmware_since: tuple[int, ...] = ()

    @property
    def cross(self) -> str:
        """The triplet of the compiler for it; "" where that is the host's own."""
        return "" if platform.machine().lower() in _names(self) else self.triplet


X86_64 = Arch(
    name="x86_64",
    kbuild="x86_64",
    srcarch="x86",
    machine="x86_64",
    debian="amd64",
    triplet="x86_64-linux-gnu",
    # Through its PVH entry (CONFIG_PVH): a bzImage would first have to be packed, and under
    # emulation it takes QEMU over a second to unpack it again.
    image="vmlinux",
    packed_image="arch/x86/boot/bzImage",
    elf_machines=(62, 3),  # EM_X86_64; EM_386, which CONFIG_IA32_EMULATION runs
    loader="ld-linux-x86-64.so.2",
    qemu="qemu-system-x86_64",
    qemu_package="qemu-system-x86",
    board="q35",
    console="ttyS0",
    # TCG's "max" model has SVM and nested paging, though no VMX: QEMU target/i386/cpu.c,
    # TCG_EXT3_FEATURES and TCG_SVM_FEATURES. Without ERMS: with it, Linux clears and copies
    # pages byte by byte (clear_page_erms() and others), and TCG takes each byte as a turn of
    # its own: 9 to 18 percent of the CPU time of four of iosignalfd's test programs.
    tcg_cpu="max,-erms",
    kvm_cpu="host",
    # A feature that the host lacks may be switched off as well.
    kvm_cpu_unnested="host,-svm,-vmx",
    vmgenid=True,
    kvm_modules=(("kvm_amd", "svm"), ("kvm_intel", "vmx")),
)

ARM64 = Arch(
    name="arm64",
    kbuild="arm64",
    srcarch="arm64",
    machine="aarch64",
    debian="arm64",
    triplet="aarch64-linux-gnu",
    image="arch/arm64/boot/Image",
    packed_image="arch/arm64/boot/Image",  # arm64 has none; a boot loader unpacks Image.gz
    elf_machines=(183,),  # EM_AARCH64
    loader="ld-linux-aarch64.so.1",
    qemu="qemu-system-aarch64",
    qemu_package="qemu-system-arm",
    board="virt",
    console="ttyAMA0",
    # "max" has VHE, which KVM prefers; --append kvm-arm.mode=nvhe takes the other way. Pointers are
    # authenticated by an algorithm of QEMU's own, since the architected one, QARMA5, is slow to
    # emulate (QEMU's docs/system/arm/cpu-features.rst).
    tcg_cpu="max,pauth-impdef=on",
    kvm_cpu="host",
    kvm_cpu_unnested="host",
    # The kernel starts in EL2, where KVM has to be, and KVM has a GICv3 for its guests.
    tcg_board="virtualization=on,gic-version=3",
    kvm_board="virtualization=on,gic-version=host",
    kvm_board_unnested="gic-version=host",
    early=("earlycon",),  # the device tree says which
    nested_capability=240,  # KVM_CAP_ARM_EL2
)

RISCV64 = Arch(
    name="riscv64",
    kbuild="riscv",
    srcarch="riscv",
    machine="riscv64",
    debian="riscv64",
    triplet="riscv64-linux-gnu",
    image="arch/riscv/boot/Image",
    packed_image="arch/riscv/boot/Image",
    elf_machines=(243,),  # EM_RISCV
    loader="ld-linux-riscv64-lp64d.so.1",
    qemu="qemu-system-riscv64",
    qemu_package="qemu-system-misc",
    board="virt",
    console="ttyS0",
    # With the hypervisor extension, which KVM needs.
    tcg_cpu="rv64,h=true",
    kvm_cpu="host",
    kvm_cpu_unnested="host",
    early=("earlycon",),
    # QEMU 7.2 makes the device only after it has read these options (hw/riscv/virt.c).
    fw_cfg=False,
    debian_without=("bullseye", "bookworm"),
    debian_since="trixie",
    # OpenSBI before 1.3 says that a CPU is to start, and then where: one that looks in between runs
    # the kernel from its first line, over the one that runs already (sbi_hsm_hart_start() before
    # its commit e8e9ed3790fe). 2 of 310 boots on a loaded host died of it. QEMU 8.1 has 1.3.
    firmware_since=(8, 1),
)

KNOWN = {arch.name: arch for arch in (X86_64, ARM64, RISCV64)}


def _names(arch: Arch) -> tuple[str, ...]:
    return arch.name, arch.machine, arch.debian


def parse(name: str) -> Arch:
    """Return the architecture called ``name``, as the kernel, ``uname -m`` or dpkg calls it.

    Raises :class:`UserError` that lists those there are.
    """
    for arch in KNOWN.values():
        if name in _names(arch):
            return arch
    near = difflib.get_close_matches(name, KNOWN, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        f"kernels for {name!r} are not built and booted here",
        hint=f"{guess}architectures: {', '.join(KNOWN)}",
    )


def foreign(name: str) -> str:
    """Return what the toolkit calls an architecture; "" for this host's own, and for none."""
    try:
        named = parse(name)
    except UserError:
        return "" if name == platform.machine() else name
    return named.name if named.cross else ""


def host_arch() -> Arch:
    """Return this host's architecture; raise :class:`UserError` where it is not supported."""
    machine = platform.machine().lower()
    try:
        return parse(machine)
    except UserError:
        raise UserError(
            f"this host is {machine}, for which no kernels are built and booted",
            hint=f"name an architecture with --arch: {', '.join(KNOWN)}",
        ) from None
