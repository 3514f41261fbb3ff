"""A build with everything needed to test it, in one folder that can go to another machine.

``toolkit build --save DIR`` writes one; ``boot``, ``test`` and ``shell`` take it with ``--from``.
The other machine needs QEMU and the toolkit, but no compiler, no kernel source and no apt: so one
machine builds, and a runner with nested virtualisation tests.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core import files
from toolkit.core.arch import X86_64
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import GuestImage
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite
from toolkit.workflow import saved_tree

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MANIFEST = "bundle.json"
_MAX_BYTES = 64 << 20  # of it; one has some 10 KiB
VERSION = 2
_KERNEL, _BASELINE, _TREE = "kernel", "base-kernel", "tree"  # folders


@dataclass(frozen=True, slots=True)
class Bundle:
    """What later stages take from earlier ones. In the file, paths are relative to its folder.

    ``baseline`` is the kernel of the unpatched base, to compare with.
    """

    kernel: KernelBuild
    image: GuestImage
    suites: tuple[BuiltSuite, ...]
    base: KernelBase
    series: PatchSeries | None
    version: int = VERSION
    arch: str = X86_64.name  # what older ones were made for
    baseline: KernelBuild | None = None


def _adapter() -> TypeAdapter[Bundle]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - a quarter of a second that few need

    return TypeAdapter(Bundle)


def save(bundle: Bundle, folder: Path, tree: PatchedTree | None = None) -> None:
    """Copy everything into ``folder``, which must be empty or new.

    With ``tree`` goes what :func:`load_tree` gives. Raises :class:`UserError` when the folder holds
    something already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", hint="name a new folder")
    shutil.copytree(bundle.kernel.path, folder / _KERNEL)
    if bundle.baseline:
        shutil.copytree(bundle.baseline.path, folder / _BASELINE)
    if tree:
        saved_tree.save(tree, folder / _TREE)
    (folder / "image").mkdir()
    for path in (bundle.image.initrd, bundle.image.disk):
        if path:
            shutil.copy2(path, folder / "image")
    for built in bundle.suites:
        shutil.copytree(built.path, folder / "suites" / built.name)
    if prebuilt := bundle.base.prebuilt:
        prebuilt = replace(prebuilt, path=Path())
    portable = replace(
        bundle,
        kernel=_moved_kernel(bundle.kernel, Path(_KERNEL)),
        baseline=bundle.baseline and _moved_kernel(bundle.baseline, Path(_BASELINE)),
        image=_moved_image(bundle.image, Path("image")),
        suites=tuple(replace(each, path=Path("suites", each.name)) for each in bundle.suites),
        base=replace(bundle.base, path=Path(), prebuilt=prebuilt),
        series=bundle.series and titles(bundle.series),
    )
    (folder / MANIFEST).write_bytes(_adapter().dump_json(portable, indent=1))


def titles(series: PatchSeries) -> PatchSeries:
    """Return a series without what is in the kernel already: a report needs subjects alone."""
    patches = tuple(replace(each, content=b"", path=None) for each in series.patches)
    return replace(series, origin=None, patches=patches)


def load(folder: Path) -> Bundle:
    """Return the bundle in ``folder``; raise :class:`UserError` when there is no whole one."""
    file = folder / MANIFEST
    try:
        bundle = _adapter().validate_json(files.content(file, _MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} holds no saved build", hint="make one with: toolkit build --save DIR"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", hint="copy it again") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}", hint="save the build again") from error
    if bundle.version != VERSION:
        raise UserError(
            f"{file} has version {bundle.version}, this toolkit reads {VERSION}",
            hint="save the build again with this toolkit",
        )
    folder = folder.resolve()
    loaded = replace(
        bundle,
        kernel=_moved_kernel(bundle.kernel, folder / _KERNEL),
        baseline=bundle.baseline and _moved_kernel(bundle.baseline, folder / _BASELINE),
        image=_moved_image(bundle.image, folder / "image"),
        suites=tuple(replace(each, path=folder / "suites" / each.name) for each in bundle.suites),
    )
    needed = [loaded.image.initrd, loaded.image.disk]
    for kernel in filter(None, (loaded.kernel, loaded.baseline)):
        needed += [kernel.image, kernel.modules]
    for path in (*needed, *(each.path for each in loaded.suites)):
        if path and not path.exists():
            raise UserError(f"{folder} lacks {path.name}", hint="copy the whole folder again")
    return loaded


def load_tree(folder: Path, bundle: Bundle) -> PatchedTree | None:
    """Return the tree that was saved beside a bundle; None where none was.

    Raises :class:`UserError` for one that is damaged.
    """
    if bundle.series is None:
        return None
    return saved_tree.load(folder.resolve() / _TREE, bundle.base, bundle.series)


def _moved_kernel(build: KernelBuild, folder: Path) -> KernelBuild:
    return replace(
        build,
        path=folder,
        image=folder / build.image.name,
        modules=folder / build.modules.name if build.modules else None,
        headers=folder / build.headers.name,
        config=folder / build.config.name,
    )


def _moved_image(image: GuestImage, folder: Path) -> GuestImage:
    return replace(
        image,
        initrd=folder / image.initrd.name if image.initrd else None,
        disk=folder / image.disk.name if image.disk else None,
    )
