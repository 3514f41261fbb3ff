"""Where a run was made, and of what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a run was made, and of what. What it did not come to is empty."""

    host: str = ""  # the distribution and the host's own kernel; never the host's name
    processor: str = ""
    cpus: int = 0
    memory_mib: int = 0
    python: str = ""
    architecture: str = ""
    toolchain: str = ""  # gcc, clang-19 …
    compiler: str = ""  # the versions of compiler and linker
    start: str = ""  # what the configuration begins with: tiny, distro, the name of a file …
    config: str = ""  # digest of the kernel configuration
    build: str = ""  # key of the kernel build
    package: str = ""  # whose kernel was booted, where it was not built: name, version, digest
    image: str = ""  # its name and key
    machine: str = ""  # what QEMU was asked for
    sandbox: str = ""  # what confined the build, or "none: " and why nothing did
