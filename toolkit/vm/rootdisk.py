"""Makes a Debian root file system on a disk image, as an ordinary user or as root.

mmdebstrap fetches and configures the packages and writes a tar archive, in whichever of its
modes works for the caller; ``mke2fs -d`` turns the unpacked archive into an ext4 image. Without
root the unpacking happens under fakeroot, which remembers owners and modes for mke2fs.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, UserError
from toolkit.core.observer import Observer
from toolkit.host import apt_lists, process

# What apt says of a name in --include that it does not know.
_NO_PACKAGE = re.compile(r"^E: Unable to locate package (\S+)", re.M)

NO_ROOT_HINT = (
    "without root it needs user name spaces, the package uidmap, and a line for your user in "
    "/etc/subuid and /etc/subgid"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a root disk is made from."""

    suite: str  # bookworm, trixie, noble ...
    packages: tuple[str, ...]
    enable: tuple[str, ...]  # systemd units to enable, after `files` are in place
    mask: tuple[str, ...]  # systemd units that must never start
    files: Mapping[str, tuple[bytes, int]]  # content and permissions by guest path
    folders: Mapping[str, int]
    size_mib: int


def overlay(files: Mapping[str, tuple[bytes, int]], folders: Mapping[str, int]) -> bytes:
    """Return a tar archive of files and folders that belong to root, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, permissions in sorted(folders.items()):
            info = tarfile.TarInfo(path.strip("/"))
            info.type, info.mode = tarfile.DIRTYPE, permissions
            tar.addfile(info)
        for path, (content, permissions) in sorted(files.items()):
            info = tarfile.TarInfo(path.strip("/"))
            info.mode, info.size = stat.S_IMODE(permissions), len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def mmdebstrap_argv(recipe: Recipe, program: str, target: Path, files: Path) -> list[str]:
    """Return mmdebstrap's command line; the sources are read from its standard input."""
    hooks = [f"tar-in {shlex.quote(str(files))} /"]
    # The package's own host keys would be the same for every machine.
    hooks.append('rm -f "$1"/etc/ssh/ssh_host_*')
    hooks += [f'chroot "$1" systemctl enable {shlex.quote(unit)}' for unit in recipe.enable]
    hooks += [f'chroot "$1" systemctl mask {shlex.quote(unit)}' for unit in recipe.mask]
    return [
        *(program, "--mode=auto", "--variant=minbase", "--format=tar"),
        f"--include={','.join(recipe.packages)}",
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        *(f"--customize-hook={hook}" for hook in hooks),
        *(recipe.suite, str(target), "-"),
    ]


def build(recipe: Recipe, disk: Path, observer: Observer, deadline: Deadline) -> None:
    """Write the root file system to ``disk``; takes a minute or two and the mirror's answer."""
    mmdebstrap = process.find("mmdebstrap")
    mke2fs = process.find("mke2fs", "e2fsprogs")
    root = os.geteuid() == 0
    as_owner = [] if root else [process.find("fakeroot"), "--"]
    lines = apt_lists.sources(apt_lists.targets(deadline), recipe.suite)
    if not lines:
        raise InfrastructureError(
            f"apt on this host has no source for {recipe.suite}",
            hint="run `apt-get update` (as root), or give another `suite` in image.yaml",
        )
    with tempfile.TemporaryDirectory(prefix="toolkit-disk.") as name:
        work = Path(name)
        # mmdebstrap may read and write here as a user that only its name space knows.
        work.chmod(0o755)
        files, archive, tree = work / "files.tar", work / "root.tar", work / "root"
        files.write_bytes(overlay(recipe.files, recipe.folders))
        try:
            process.run(
                mmdebstrap_argv(recipe, mmdebstrap, archive, files),
                input="".join(f"{line}\n" for line in lines).encode(),
                deadline=deadline,
                merge=True,
                on_line=_Progress(observer),
            )
        except ToolFailedError as error:
            if match := _NO_PACKAGE.search("\n".join(error.detail)):
                raise UserError(
                    f"{recipe.suite} has no package {match[1]!r}",
                    hint="apt-cache search finds names; apt-get update renews the lists",
                ) from error
            raise InfrastructureError(
                f"mmdebstrap cannot make a {recipe.suite} root file system",
                hint="" if root else NO_ROOT_HINT,
                detail=error.detail,
            ) from error
        observer.stage_progress("image", 0, None, "writing the disk image")
        tree.mkdir()
        unpack = shlex.join(["tar", "-xpf", str(archive), "-C", str(tree), "--numeric-owner"])
        options = ("-q", "-F", "-t", "ext4", "-L", "root", "-m", "0", "-d", str(tree))
        make = shlex.join([mke2fs, *options, str(disk), f"{recipe.size_mib}M"])
        # One shell for both: what fakeroot knows of owners ends with it.
        process.run([*as_owner, "sh", "-c", f"{unpack} && {make}"], deadline=deadline)


class _Progress:
    """Passes on mmdebstrap's own account of what it does."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __call__(self, line: str) -> None:
        if match := re.match(r"I: (.*)", line):
            self._observer.stage_progress("image", 0, None, match[1].rstrip("."))
