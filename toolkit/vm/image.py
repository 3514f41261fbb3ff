"""Guest images: a user land described by ``vm-images/NAME/image.yaml``, built once and cached.

An image holds no kernel, no module and no key, so it fits every kernel and every machine; what
belongs to one machine comes in through QEMU's fw_cfg. Building one needs no root.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from toolkit.core import files as files_
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.machine import MAX_MEMORY_MIB, GuestImage
from toolkit.core.observer import Observer
from toolkit.formats import manifest, yamlfile
from toolkit.formats.manifest import Manifest
from toolkit.host import apt, apt_lists
from toolkit.host.cache import Cache, digest
from toolkit.vm import initramfs, rootdisk
from toolkit.vm.qemu_argv import NETDEV, SSH_GUEST_PORT
from toolkit.vm.ssh_keys import FW_CFG_FOLDER

MANIFEST = "image.yaml"
KERNEL_CONFIG, TINY_CONFIG = "kernel.config", "tiny.config"
INITRD = "initramfs.cpio"
DISK = "root.ext4"
READY = "toolkit: ready"  # what an image prints on the console once SSH listens
FAILED = "toolkit: failed"  # begins the line with the reason why it never will
_PROFILE = "profile.json"
# What an expression in a template raises: {{ 1/0 }}, {{ name + 1 }}, a template within itself.
_OF_EXPRESSIONS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_BUILDER = 1  # raised when the same inputs are made into another image

GuestPath = Annotated[str, StringConstraints(pattern=r"^(/\.?[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)+$")]
Mode = Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3,4}$")]
_PACKAGE = r"[a-z0-9][a-z0-9.+-]+"  # Debian policy, 5.6.1
PackageName = Annotated[str, StringConstraints(pattern=f"^{_PACKAGE}$")]
ProgramName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]+$")]
Template = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+\.j2$")]
Address = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")]


class Network(Manifest):
    """The guest's static network; QEMU's user network knows its guest as 10.0.2.15."""

    interface: str = "eth0"
    address: Address = "10.0.2.15"
    netmask: Address = "255.255.255.0"
    gateway: Address = "10.0.2.2"


class File(Manifest):
    """One file of the guest, rendered from a template beside image.yaml."""

    template: Template
    mode: Mode = "0644"


class Initramfs(Manifest):
    """A user land that lives in memory: programs from packages, and busybox under many names."""

    packages: tuple[PackageName, ...]
    programs: tuple[ProgramName, ...]
    applets: str = ""
    symlinks: Mapping[GuestPath, str] = {}
    compress: bool = False


class Disk(Manifest):
    """A Debian root file system on a disk, which each machine writes to for itself only."""

    suite: str = ""  # empty: the release that the host runs
    packages: tuple[PackageName, ...]
    enable: tuple[str, ...] = ()  # systemd units
    mask: tuple[str, ...] = ()
    size_mib: int = Field(default=2048, ge=64, le=1 << 20)


class ImageManifest(Manifest):
    """The content of image.yaml. Exactly one of ``initramfs`` and ``disk`` is given."""

    title: str
    ssh_server: Literal["dropbear", "openssh"]
    memory_mib: int = Field(default=1024, ge=128, le=MAX_MEMORY_MIB)
    cpus: int = Field(default=2, ge=1, le=8)
    network: Network = Network()
    qemu: Template = "qemu.yaml.j2"
    initramfs: Initramfs | None = None
    disk: Disk | None = None
    files: Mapping[GuestPath, File] = {}
    folders: Mapping[GuestPath, Mode] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> ImageManifest:
        if (self.initramfs is None) == (self.disk is None):
            raise ValueError("give either `initramfs` or `disk`")
        return self


class Profile(Manifest):
    """The content of the rendered QEMU profile."""

    machine_type: str
    cmdline: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


# --- finding one -------------------------------------------------------------------------


def locate(name_or_path: str, images: Path) -> Path:
    """Return the folder of an image, given by its name below ``images`` or as a path.

    Raises :class:`UserError` that lists what there is.
    """
    for folder in (images / name_or_path, Path(name_or_path)):
        if (folder / MANIFEST).is_file():
            return folder
    names = sorted(path.parent.name for path in images.glob(f"*/{MANIFEST}"))
    near = manifest.nearest(name_or_path, names)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(
        f"there is no image {name_or_path!r}",
        hint=f"{guess}images: {', '.join(names) or 'none'}; or give a folder with an {MANIFEST}",
    )


def kernel_configs(name_or_path: str, images: Path, arch: Arch, *, tiny: bool) -> list[Path]:
    """Return the fragments of kernel options that an image needs.

    The first is what it needs to boot; with ``tiny`` there is also what makes a kernel of people
    out of one that begins with everything off, where the image has such a file. Behind each comes
    what this architecture adds, if anything.
    """
    folder = locate(name_or_path, images)
    path = folder / KERNEL_CONFIG
    if not path.is_file():
        raise UserError(
            f"the image has no {path}", hint="it lists the options that the image needs of a kernel"
        )
    names = [KERNEL_CONFIG, *([TINY_CONFIG] if tiny else [])]
    paths = [folder / each for name in names for each in (name, f"{name}.{arch.name}")]
    return [path for path in paths if path.is_file()]


# --- rendering: pure ---------------------------------------------------------------------


def templates(folder: Path) -> dict[str, str]:
    """Return the text of every template beside image.yaml; raise as :func:`files_.text` does."""
    return {path.name: files_.text(path, "the template") for path in sorted(folder.glob("*.j2"))}


def context(name: str, parsed: ImageManifest, arch: Arch) -> dict[str, Any]:
    """Return the names that templates may use; vm-images/README.md lists them."""
    return {
        "name": name,
        "arch": arch.name,
        "board": arch.board,
        "console": arch.console,
        "network": parsed.network.model_dump(),
        "fw_cfg_folder": FW_CFG_FOLDER,
        "ready": READY,
        "failed": FAILED,
        "netdev": NETDEV,
        "ssh_port": SSH_GUEST_PORT,
    }


def render(name: str, texts: Mapping[str, str], names: Mapping[str, Any]) -> str:
    """Return the template ``name`` of ``texts`` with ``names`` filled in.

    An unknown name, a syntax error and whatever else its expressions end in is a
    :class:`UserError`, for a syntax error with the template's line. Templates come with an image,
    perhaps somebody else's, so they run in Jinja2's sandbox.
    """
    # Imported here: it is slow, and a cached image needs no rendering.
    import jinja2  # noqa: PLC0415
    import jinja2.sandbox  # noqa: PLC0415

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(dict(texts)),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # shell scripts and YAML, not HTML
    )
    try:
        return environment.get_template(name).render(names)
    except jinja2.TemplateNotFound as error:
        raise UserError(
            f"there is no template {error.name}", hint=f"templates: {', '.join(texts)}"
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{error.name}:{error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise UserError(f"{name}: {error}", hint=f"names: {', '.join(sorted(names))}") from error
    except _OF_EXPRESSIONS as error:
        raise UserError(f"{name}: {error}", hint="mend the template's expressions") from error


def render_files(
    parsed: ImageManifest, texts: Mapping[str, str], names: Mapping[str, Any]
) -> dict[str, tuple[bytes, int]]:
    """Return content and permissions of every file that image.yaml asks for, by guest path."""
    return {
        path: (render(file.template, texts, names).encode(), int(file.mode, 8))
        for path, file in parsed.files.items()
    }


def render_profile(
    parsed: ImageManifest, texts: Mapping[str, str], names: Mapping[str, Any]
) -> Profile:
    """Return the QEMU profile of an image."""
    text = render(parsed.qemu, texts, names)
    return manifest.check(yamlfile.parse(text.encode(), parsed.qemu), Profile)


# --- building ----------------------------------------------------------------------------


def read_manifest(
    name_or_path: str, images: Path, arch: Arch, packages: Collection[str] = ()
) -> ImageManifest:
    """Return what image.yaml says of an image, with further Debian ``packages``.

    Raises :class:`UserError` for what is wrong with it, for what is no package's name, for
    packages in an image that takes none, and for one that this host cannot make for ``arch``.
    """
    parsed = manifest.load(locate(name_or_path, images) / MANIFEST, ImageManifest)
    if parsed.disk and arch.cross:
        raise UserError(
            f"the image {name_or_path} cannot be made for {arch.name} on this host: its packages' "
            "own scripts would have to run",
            hint="use one that lives in memory, such as --image minimal",
        )
    for package in packages:
        if not re.fullmatch(_PACKAGE, package):
            raise UserError(f"{package!r} is no name of a Debian package")
    if not packages:
        return parsed
    if parsed.disk is None:
        raise UserError(
            f"the image {name_or_path} lives in memory and takes no further packages",
            hint="add --image tools or --image debian, or write an image of your own",
        )
    every = tuple(dict.fromkeys((*parsed.disk.packages, *sorted(packages))))
    disk = parsed.disk.model_copy(update={"packages": every})
    return parsed.model_copy(update={"disk": disk})


def build_image(
    name_or_path: str,
    images: Path,
    cache: Cache,
    observer: Observer,
    deadline: Deadline,
    *,
    arch: Arch,
    packages: Collection[str] = (),
) -> tuple[GuestImage, bool]:
    """Return the image with further ``packages``, and whether it was found in the cache.

    Its key covers image.yaml, every template and the exact packages: an initramfs is rebuilt when
    apt offers a newer version of one of them. Raises :class:`UserError` for a fault in the image's
    own files and :class:`InfrastructureError` when packages cannot be had.
    """
    folder = locate(name_or_path, images)
    name = folder.resolve().name
    parsed = read_manifest(name_or_path, images, arch, packages)
    texts = templates(folder)
    names = context(name, parsed, arch)
    inputs: list[object] = [_BUILDER, name, parsed.model_dump(mode="json"), texts, names]
    if parsed.initramfs:
        lists = apt_lists.for_arch(arch, cache, deadline)
        candidates = apt.candidates(parsed.initramfs.packages, cache, deadline, lists=lists)
        inputs.append([package.sha256 for package in candidates])
    elif parsed.disk:
        suite = parsed.disk.suite or apt_lists.host_suite()
        inputs.append(suite)

    def fill(target: Path) -> None:
        # Rendered first: a mistake in a template should not cost a download.
        files = render_files(parsed, texts, names)
        profile = render_profile(parsed, texts, names)
        if parsed.initramfs:
            paths = apt.fetch(candidates, cache, deadline, lists)
            content = _initramfs(parsed, parsed.initramfs, files, paths, deadline)
            (target / INITRD).write_bytes(content)
        elif parsed.disk:
            recipe = rootdisk.Recipe(
                suite=suite,
                packages=parsed.disk.packages,
                enable=parsed.disk.enable,
                mask=parsed.disk.mask,
                files=files,
                folders=_modes(parsed.folders),
                size_mib=parsed.disk.size_mib,
            )
            rootdisk.build(recipe, target / DISK, observer, deadline)
        (target / _PROFILE).write_text(profile.model_dump_json(by_alias=True))

    key = digest(*inputs)
    path, cached = cache.make("image", key, fill, deadline=deadline, label=name)
    return _load(name, key, path, parsed), cached


def _modes(folders: Mapping[str, str]) -> dict[str, int]:
    return {path: int(mode, 8) for path, mode in folders.items()}


def _initramfs(
    parsed: ImageManifest,
    wanted: Initramfs,
    files: Mapping[str, tuple[bytes, int]],
    packages: Iterable[Path],
    deadline: Deadline,
) -> bytes:
    tree: dict[str, apt.Member] = {}
    for package in packages:
        tree.update(apt.contents(package, deadline))
    entries = initramfs.entries(
        tree=tree,
        programs=wanted.programs,
        applets=wanted.applets.split(),
        symlinks=wanted.symlinks,
        files=files,
        folders=_modes(parsed.folders),
    )
    return initramfs.archive(entries, compress=wanted.compress)


def _load(name: str, key: str, path: Path, parsed: ImageManifest) -> GuestImage:
    profile = Profile.model_validate_json((path / _PROFILE).read_bytes())
    initrd, disk = path / INITRD, path / DISK
    return GuestImage(
        name=name,
        key=key,
        initrd=initrd if initrd.exists() else None,
        disk=disk if disk.exists() else None,
        cmdline=profile.cmdline,
        memory_mib=parsed.memory_mib,
        cpus=parsed.cpus,
        machine_type=profile.machine_type,
        devices=profile.devices,
        host_key_type=parsed.ssh_server,
    )
