"""Build a patched kernel with its own build system.

A base's work folders (:mod:`.build_folders`) persist, so that kbuild redoes only what an edit calls
for. The result of a build is copied into the content-addressed store, from where the later stages
take it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import LINKED, SYSTEM_MAP, KernelBuild, KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.core.observer import Observer
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, check_path, digest
from toolkit.host.work_folders import NOTHING, Worth
from toolkit.kernel import build_folders, build_rules, gcov_build, incremental
from toolkit.kernel.build_folders import Materialise, WorkTree
from toolkit.kernel.make import Make, Progress, ccache_environment
from toolkit.kernel.toolchain import GCC, Toolchain

# Programs that a kernel build runs (Documentation/process/changes.rst) whatever compiles it, and
# Debian's packages.
NEEDED = {
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "rsync": "rsync",
    "depmod": "kmod",
    "git": "git",
    "xz": "xz-utils",
}
# scripts/Makefile.modinst compresses as these say; make's command line overrides them.
_COMPRESSIONS = tuple(f"CONFIG_MODULE_COMPRESS_{name}" for name in ("GZIP", "XZ", "ZSTD"))
_FORMAT = 2  # of a build's entry, a part of its key
# In a build's entry:
KERNEL = "kernel"  # what QEMU boots
CONFIG = "config"
MODULES = "modules.tar"
HEADERS = "headers"


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds kernels into a cache. ``materialise`` lays a patched tree into a folder.

    Without ``replay`` make does every build, also where recorded commands would do. Raises as
    :func:`check_path` does.
    """

    cache: Cache
    arch: Arch
    materialise: Materialise
    jobs: int
    observer: Observer
    replay: bool = True
    toolchain: Toolchain = GCC

    def __post_init__(self) -> None:
        check_path(self.cache.root)

    @contextlib.contextmanager
    def work_tree(
        self,
        tree: PatchedTree,
        deadline: Deadline,
        worth: Worth = NOTHING,
    ) -> Iterator[WorkTree]:
        """Lend a work folder of the tree's base that no other run has.

        One of ``worth`` is waited for; see :meth:`Cache.work`.
        """
        if unconfined := sandbox.notice():
            self.observer.notice(unconfined)
        lineage = tree.base.lineage or tree.base.key
        with self.cache.work(
            "kernel", lineage, deadline=deadline, label=tree.base.name, worth=worth
        ) as folder:
            limit = deadline.cancellable()
            work = WorkTree(folder, tree, self.materialise, limit, self.toolchain)
            try:
                yield work
            finally:
                work.settle()  # which explains any other failure

    def compiler(self, deadline: Deadline) -> str:
        """Return what identifies compiler and linker: a part of every key."""
        return self.toolchain.version(deadline)

    # --- kernel ----------------------------------------------------------------------

    def build(
        self, tree: PatchedTree, config: KernelConfig, deadline: Deadline, log: Path
    ) -> tuple[KernelBuild, bool]:
        """Build kernel, modules and UAPI headers; return them and whether the cache had them.

        ``log`` receives the whole output of make. Raises :class:`BuildError` with the
        compiler's lines, or :class:`InfrastructureError` when the host is at fault.
        """
        for program, package in (NEEDED | self.toolchain.programs).items():
            process.find(program, package)
        counting = gcov_build.words(gcov_build.wanted(tree, config.text))
        target = [_FORMAT, self.arch.name, self._image(config), *counting]
        key = digest(tree.key, config.key, self.compiler(deadline), target)

        def fill(folder: Path) -> None:
            with self.work_tree(tree, deadline, self._worth(tree, config)) as work:
                self._compile(work, config, folder, log)
            shutil.copyfile(log, folder / "build.log")

        path, cached = self.cache.make("build", key, fill, deadline=deadline, label=label(tree))
        if cached:
            shutil.copyfile(path / "build.log", log)
        return load_build(path, key), cached

    def _image(self, config: KernelConfig) -> str:
        """Return what of the build folder QEMU boots.

        The PVH entry runs C code before KASAN has its shadow (arch/x86/platform/pvh in 6.12), and
        a kernel with KASAN resets the machine there; the entry for boot loaders is made for it.
        """
        instrumented = "CONFIG_KASAN=y" in config.text.splitlines()
        return self.arch.packed_image if instrumented else self.arch.image

    def _compile(
        self,
        work: WorkTree,
        config: KernelConfig,
        folder: Path,
        log: Path,
    ) -> None:
        counting = gcov_build.wanted(work.tree, config.text)
        make = self._finished(work, config, log, counting)
        source, output, image = make.source, make.output, self._image(config)
        release = (output / "include/config/kernel.release").read_text().strip()
        shutil.copyfile(output / image, folder / KERNEL)
        shutil.copyfile(output / SYSTEM_MAP, folder / SYSTEM_MAP)
        if image != LINKED and "CONFIG_DEBUG_INFO=y" in config.text.splitlines():
            shutil.copyfile(output / LINKED, folder / LINKED)
        (folder / CONFIG).write_text(config.text)
        copy_headers(output / "usr/include", folder / HEADERS / "include")
        if "CONFIG_MODULES=y" in config.text.splitlines():
            _pack_modules(make, folder / MODULES, config.text)
        if gcov_build.is_on(config.text):
            gcov_build.keep(counting, source, output, folder, self.toolchain.gcov)
        remember(folder, release)

    @contextlib.contextmanager
    def finished(
        self, tree: PatchedTree, config: KernelConfig, deadline: Deadline, log: Path
    ) -> Iterator[tuple[WorkTree, Make]]:
        """Lend a work folder with a finished build of ``tree`` in it, and what runs make there.

        It is for what is made beside that build, and locked against other runs meanwhile. Raises
        as :meth:`build` does.
        """
        with self.work_tree(tree, deadline, self._worth(tree, config)) as work:
            yield work, self._finished(work, config, log, gcov_build.wanted(tree, config.text))

    def _worth(self, tree: PatchedTree, config: KernelConfig) -> Worth:
        rules = build_rules.rules(tree)
        return Worth(
            lambda place: build_folders.has_built(place, config.text, self.toolchain, rules),
            lambda place: build_folders.is_building(place, config.text, self.toolchain, rules),
        )

    def _finished(
        self, work: WorkTree, config: KernelConfig, log: Path, counting: Sequence[str]
    ) -> Make:
        output = work.output(config)  # first, so that other runs see at once what is made here
        source = work.source()
        incremental.claim(output, source)
        if not (output / ".config").exists() or (output / ".config").read_text() != config.text:
            (output / ".config").write_text(config.text)
        reuse: dict[str, str] = {}
        # What the compiler writes beside an object that counts its lines names the build folder.
        if not gcov_build.is_on(config.text):
            reuse = ccache_environment(self.cache, self.toolchain, work.rules)
        make = replace(self.make(source, output, work.deadline, work.tree), log=log, env=reuse)
        image = Path(self._image(config)).name
        self._bring_up_to_date(make, config, image, gcov_build.words(counting))
        return make

    def _bring_up_to_date(
        self, make: Make, config: KernelConfig, image: str, words: Sequence[str]
    ) -> None:
        """Build what has changed: modules alone, or else whatever kbuild finds."""

        def whole() -> None:
            progress = Progress(self.observer, make.output / build_folders.STEPS)

            def on_line(line: str) -> None:
                build_folders.sign_of_life(make.output)
                progress(line)

            make.run(image, "modules", "headers", *words, on_line=on_line)
            progress.remember()

        told = [*self.toolchain.words, *words]
        identity = digest(config.text, self.compiler(make.deadline), image, told)
        progress = Progress(self.observer)
        incremental.update(make, config.text, identity, whole, progress, replay=self.replay)

    def make(self, source: Path, output: Path, deadline: Deadline, tree: PatchedTree) -> Make:
        """Return what runs make in ``source``, which holds ``tree``, with a build folder."""
        return Make(
            *(source, output, self.arch.kbuild, self.jobs, deadline),
            tree=tree,
            toolchain=self.toolchain,
        )


def part_of(tree: PatchedTree, names: re.Pattern[str]) -> dict[str, str]:
    """Return a digest of each file of the series whose path matches, for a partial key."""
    return {
        name: digest(file.content or b"") for name, file in tree.files.items() if names.search(name)
    }


def label(tree: PatchedTree) -> str:
    """Return what a person knows a build by."""
    return f"{tree.series.name if tree.series else 'unpatched'} on {tree.base.name}"


def remember(folder: Path, release: str, early: Sequence[str] = ()) -> None:
    """Write down in a build's entry what :func:`load_build` needs beside its files."""
    image = digest((folder / KERNEL).read_bytes())
    facts = {"release": release, "image": image, "early": list(early)}
    (folder / "build.json").write_text(json.dumps(facts))


def load_build(path: Path, key: str) -> KernelBuild:
    """Return the build in an entry."""
    facts = json.loads((path / "build.json").read_text())
    modules = path / MODULES
    return KernelBuild(
        path=path,
        key=key,
        release=facts["release"],
        image=path / KERNEL,
        image_digest=facts["image"],
        modules=modules if modules.exists() else None,
        headers=path / HEADERS,
        config=path / CONFIG,
        early=tuple(facts.get("early", ())),
    )


def _pack_modules(make: Make, archive: Path, config: str) -> None:
    """Put the modules into a tar archive of lib/modules, signed if the configuration says so.

    They are not compressed, whatever it says: busybox, which loads them in the minimal image, has
    no zstd, and the archive is gone once the guest has unpacked it.
    """
    stage = archive.with_name("stage")
    stage.mkdir()
    depmod = process.find("depmod", "kmod")
    words = [f"INSTALL_MOD_PATH={stage}", f"DEPMOD={depmod}"]
    words += [f"{option}=" for option in _COMPRESSIONS if f"{option}=y" in config.splitlines()]
    replace(make, writable=(stage,)).run("modules_install", *words)
    for link in (*stage.glob("lib/modules/*/build"), *stage.glob("lib/modules/*/source")):
        link.unlink()
    with tarfile.open(archive, "w") as tar:
        tar.add(stage / "lib/modules", "lib/modules", filter=anonymous)
    shutil.rmtree(stage)


def copy_headers(source: Path, target: Path) -> None:
    """Copy the headers that kbuild exports, a thousand, without what it puts beside them.

    shutil.copytree, which copies times and attributes too, takes three times as long.
    """
    for folder, _, names in os.walk(source):
        into = target / os.path.relpath(folder, source)
        into.mkdir(parents=True)
        for name in names:
            if name.endswith(".h"):
                shutil.copyfile(f"{folder}/{name}", f"{into}/{name}")


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a file of an archive without anything of the host's or the hour's."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    return member
