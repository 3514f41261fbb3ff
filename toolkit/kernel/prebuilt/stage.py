"""A packaged kernel with the modules of a series, as an entry of the cache that is like any build.

That the kernel itself has to be built is an entry too: it holds the reason alone. So whether a run
gets the packaged kernel depends on the tree, the options, the package and the host's programs, and
on nothing that happened to be built before.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Fragment, KernelBuild, Prebuilt
from toolkit.core.model.series import PatchedTree
from toolkit.formats import symvers
from toolkit.formats.symvers import Export
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.kernel import kbuild, kconfig, module_choice
from toolkit.kernel.kbuild import NEEDED, Builder
from toolkit.kernel.prebuilt import packages, resolve, tree_scan
from toolkit.kernel.prebuilt.build import Built, Job
from toolkit.kernel.prebuilt.packages import Module
from toolkit.kernel.prebuilt.reach import ReachError
from toolkit.kernel.prebuilt.resolve import Asked

_FORMAT = 2
_REASON, _NOTICE = "reason", "notice"
_DEBUG_INFO = "CONFIG_DEBUG_INFO"  # options of debug information and BTF begin like this
_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")  # that depmod reads


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a packaged kernel: the build on top of it, or the reason why there is none.

    ``notice`` is what else there is to say.
    """

    kernel: KernelBuild | None
    reason: str = ""
    notice: str = ""


def take(
    builder: Builder,
    tree: PatchedTree,
    prebuilt: Prebuilt,
    fragments: Sequence[Fragment],
    early: Collection[str],
    *,
    deadline: Deadline,
    log: Path,
) -> tuple[Taken, bool]:
    """Build on a packaged kernel what the series reaches; return that, and if the cache had it.

    ``fragments`` are the options that everybody asks for, and ``early`` those of them without whose
    modules a machine does not come up. ``log`` receives the output of make. Raises
    :class:`BuildError` for what does not compile.
    """
    for program, package in (NEEDED | builder.toolchain.programs).items():
        process.find(program, package)
    asked, wishes = kconfig.merge(fragments), kconfig.wishes(fragments)
    asking = [kconfig.render(asked), wishes, sorted(early)]
    key = digest(_FORMAT, tree.key, prebuilt.key, asking, *resolve.tools(builder, deadline))

    def fill(folder: Path) -> None:
        job = _Stage(builder, tree, prebuilt, asked, frozenset(wishes), frozenset(early))
        try:
            job.fill(folder, log, deadline)
        except ReachError as error:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            (folder / _REASON).write_text(str(error))
        else:
            shutil.copyfile(log, folder / "build.log")

    label = kbuild.label(tree)
    path, cached = builder.cache.make("build", key, fill, deadline=deadline, label=label)
    if (path / _REASON).exists():
        return Taken(None, (path / _REASON).read_text()), cached
    if cached:
        shutil.copyfile(path / "build.log", log)
    notice = (path / _NOTICE).read_text() if (path / _NOTICE).exists() else ""
    return Taken(kbuild.load_build(path, key), notice=notice), cached


@dataclass(frozen=True, slots=True)
class _Stage:
    builder: Builder
    tree: PatchedTree
    prebuilt: Prebuilt
    asked: Asked
    wishes: frozenset[str]
    early: frozenset[str]

    def fill(self, folder: Path, log: Path, deadline: Deadline) -> None:
        """Write a build into an entry; raises as :func:`take`, and :class:`ReachError`."""
        builder, prebuilt = self.builder, self.prebuilt
        new = resolve.refuse_unmet(prebuilt, self.tree, self.asked, builder.arch.srcarch)
        with builder.work_tree(self.tree, deadline) as work:
            resolved = resolve.resolved(
                builder, work, prebuilt, self.asked, new=new, wishes=self.wishes
            )
            btf = any(option.startswith(_DEBUG_INFO) for option in self.asked)
            job = Job(builder, work, prebuilt, resolved.config, resolved.new, log, btf)
            make = job.make()
            built = job.build(make)
            kbuild.copy_headers(make.output / "usr/include", folder / kbuild.HEADERS / "include")
            early = self._pack(built, folder, deadline)
        shutil.copyfile(prebuilt.image, folder / kbuild.KERNEL)
        kbuild.remember(folder, prebuilt.release, early)
        (folder / kbuild.CONFIG).write_text(resolved.config)
        if resolved.dropped:
            (folder / _NOTICE).write_text(kconfig.ungranted(resolved.dropped, {}))

    def _pack(self, built: Built, folder: Path, deadline: Deadline) -> list[str]:
        """Put the modules that somebody asks for or the series reaches into the entry's archive.

        Returns the places of those that come first.
        """
        makefiles = tree_scan.makefiles(self.tree.base.path, self.builder.arch.srcarch)
        installed = packages.modules(self.prebuilt)
        uses = {**{name: each.imports for name, each in installed.items()}, **built.imports}
        chosen = needed(uses, built.exports, {*built.modules, *made_for(makefiles, self.asked)})
        early = made_for(makefiles, self.early) & chosen
        stage = folder / "stage"
        root = stage / "lib/modules" / self.prebuilt.release
        files = {name: _place(name, installed) for name in sorted(chosen)}
        for name, file in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            if name in built.modules:
                _strip(built.modules[name], root / file, deadline)
            else:
                packed = self.prebuilt.modules / installed[name].file
                (root / file).write_bytes(packages.content(packed))
        for name in _LISTS:
            shutil.copyfile(self.prebuilt.modules / name, root / name)
        depmod = process.find("depmod", "kmod")
        argv = [depmod, "-b", str(stage), self.prebuilt.release]
        process.run(argv, deadline=deadline, inherit=process.CLEAN)
        with tarfile.open(folder / kbuild.MODULES, "w") as tar:
            tar.add(stage / "lib/modules", "lib/modules", filter=kbuild.anonymous)
        shutil.rmtree(stage)
        return [files[name] for name in sorted(early)]


def made_for(makefiles: Mapping[str, str], options: Collection[str]) -> set[str]:
    """Return what the Makefiles build for one of the ``options``, by its path without a suffix."""
    return {
        posixpath.join(posixpath.dirname(path), name)
        for path, text in makefiles.items()
        for name in module_choice.made_for(text, options)
    }


def needed(
    uses: Mapping[str, Collection[str]], exports: Mapping[str, Export], wanted: Collection[str]
) -> set[str]:
    """Return those of the ``wanted`` that are modules, with all modules that they depend on.

    ``uses`` has the symbols that each module uses, and ``exports`` says where they come from.
    """
    found: set[str] = set()
    left = [name for name in wanted if name in uses]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            homes = {exports[symbol].module for symbol in uses[name] if symbol in exports}
            left += homes - {symvers.VMLINUX} - found
    return found


def _place(name: str, installed: Mapping[str, Module]) -> str:
    """Return where a module is installed, below the folder of modules and not packed."""
    file = installed[name].file if name in installed else f"kernel/{name}.ko"
    return file.partition(".ko")[0] + ".ko"


def _strip(module: Path, target: Path, deadline: Deadline) -> None:
    """Copy a module without debug information, which the package's have not either."""
    argv = [process.find("strip", "binutils"), "--strip-debug", "-o", str(target), str(module)]
    process.run(argv, deadline=deadline, inherit=process.CLEAN)
