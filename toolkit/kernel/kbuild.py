"""Configure and build a patched kernel with its own build system.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.core.observer import Observer
from toolkit.host import process, sandbox, work_folders
from toolkit.host.cache import Cache, check_path, digest
from toolkit.kernel import (
    build_folders,
    build_rules,
    gcov_build,
    incremental,
    kconfig,
    kconfig_explain,
)
from toolkit.kernel.build_folders import Materialise, WorkTree
from toolkit.kernel.make import Make, Progress, ccache_environment

# Programs that a kernel build runs (Documentation/process/changes.rst), and Debian's packages.
NEEDED = {
    "gcc": "gcc",
    "make": "make",
    "ld": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "rsync": "rsync",
    "depmod": "kmod",
    "git": "git",
    "xz": "xz-utils",
}
_KCONFIG_FILE = re.compile(r"(^|/)Kconfig[^/]*$|^arch/[^/]+/configs/|^kernel/configs/|^scripts/")
# What Kconfig reads of a whole tree: these, and what the Makefiles tell it.
_CONFIGURES = re.compile(rf"{_KCONFIG_FILE.pattern}|^(arch/[^/]+/)?Makefile[^/]*$")
_versions: dict[tuple[str, int, int, int], str] = {}
_FORMAT = 2  # of a build's entry, a part of its key
_WISHES = "wishes"  # which soft options were dropped, in a configuration's entry
KERNEL = "kernel"  # what QEMU boots, in a build's entry


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

    def __post_init__(self) -> None:
        check_path(self.cache.root)

    @contextlib.contextmanager
    def work_tree(
        self,
        tree: PatchedTree,
        deadline: Deadline,
        suits: Callable[[Path], bool] = work_folders.none,
    ) -> Iterator[WorkTree]:
        """Lend a work folder of the tree's base that no other run has.

        One that ``suits`` is waited for a little; see :meth:`Cache.work`.
        """
        if unconfined := sandbox.notice():
            self.observer.notice(unconfined)
        lineage = tree.base.lineage or tree.base.key
        with self.cache.work(
            "kernel", lineage, deadline=deadline, label=tree.base.name, suits=suits
        ) as folder:
            work = WorkTree(folder, tree, self.materialise, deadline.cancellable())
            try:
                yield work
            finally:
                work.settle()  # which explains any other failure

    def compiler(self, deadline: Deadline) -> str:
        """Return what identifies the compiler and binutils: a part of every key."""
        return "; ".join(_version(process.find(tool), deadline) for tool in ("gcc", "ld"))

    # --- configuration ---------------------------------------------------------------

    def configure(
        self, tree: PatchedTree, fragments: Sequence[Fragment], deadline: Deadline
    ) -> tuple[KernelConfig, bool]:
        """Return tinyconfig plus ``fragments`` as Kconfig resolves them, and if the cache had it.

        Raises :class:`UserError` when Kconfig dropped an option, naming it, who asked and the
        dependency that is not met. An option dropped from a soft fragment is a notice.
        """
        merged = kconfig.merge(fragments)
        asked = kconfig.render(merged)
        wishes = kconfig.wishes(fragments)
        key = digest(
            self._configured_by(tree.base, deadline),
            part_of(tree, _KCONFIG_FILE),
            asked,
            self.compiler(deadline),
            self.arch.name,
            *([wishes] if wishes else []),
        )

        def fill(folder: Path) -> None:
            with self.work_tree(tree, deadline) as work:
                text = self._resolve(work, asked)
                missing = kconfig.dropped(text, merged)
                why = kconfig_explain.reasons(
                    work.source(),
                    self.arch.srcarch,
                    kconfig.parse_config(text),
                    {item.option: item.wanted for item in missing},
                )
            if refused := [item for item in missing if item.option not in wishes]:
                raise kconfig.refuse(refused, why)
            if vain := [item for item in missing if not item.granted]:
                (folder / _WISHES).write_text(kconfig.ungranted(vain, why))
            (folder / "config").write_text(text)

        path, cached = self.cache.make("config", key, fill, deadline=deadline, label=tree.base.name)
        if (path / _WISHES).exists():
            self.observer.notice((path / _WISHES).read_text())
        text = (path / "config").read_text()
        return KernelConfig(text, digest(text)), cached

    def _configured_by(self, base: KernelBase, deadline: Deadline) -> str:
        """Return what stands for the base in a configuration's key.

        Most commits leave the Kconfig files as they are, so Kconfig need not run for each.
        """
        if not base.lineage:
            return base.key

        def fill(folder: Path) -> None:
            digests = {
                name: digest((base.path / name).read_bytes())
                for name in sorted(_names(base.path))
                if _CONFIGURES.search(name) and (base.path / name).is_file()
            }
            (folder / "key").write_text(digest(digests))

        path, _ = self.cache.make("kconfig", base.key, fill, deadline=deadline, label=base.name)
        return (path / "key").read_text()

    def _resolve(self, work: WorkTree, asked: str) -> str:
        """Run Kconfig: everything off, then what is asked, then what that selects."""
        folder = work.folder / "conf"
        folder.mkdir(exist_ok=True)
        make = self.make(work.source(), folder, work.deadline, work.tree)
        make.run("tinyconfig")
        config = folder / ".config"
        config.write_text(config.read_text() + asked)
        make.run("olddefconfig")
        return config.read_text()

    # --- kernel ----------------------------------------------------------------------

    def build(
        self, tree: PatchedTree, config: KernelConfig, deadline: Deadline, log: Path
    ) -> tuple[KernelBuild, bool]:
        """Build kernel, modules and UAPI headers; return them and whether the cache had them.

        ``log`` receives the whole output of make. Raises :class:`BuildError` with the
        compiler's lines, or :class:`InfrastructureError` when the host is at fault.
        """
        for program, package in NEEDED.items():
            process.find(program, package)
        counting = gcov_build.words(gcov_build.wanted(tree, config.text))
        target = [_FORMAT, self.arch.name, self._image(config), *counting]
        key = digest(tree.key, config.key, self.compiler(deadline), target)

        def fill(folder: Path) -> None:
            with self.work_tree(
                tree, deadline, lambda at: build_folders.has_built(at, config.text)
            ) as work:
                self._compile(work, config, folder, log)
            shutil.copyfile(log, folder / "build.log")

        path, cached = self.cache.make("build", key, fill, deadline=deadline, label=_label(tree))
        if cached:
            shutil.copyfile(path / "build.log", log)
        return _load_build(path, key), cached

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
        shutil.copyfile(output / "System.map", folder / "System.map")
        (folder / "config").write_text(config.text)
        shutil.copytree(output / "usr/include", folder / "headers/include", ignore=_no_headers)
        if "CONFIG_MODULES=y" in config.text.splitlines():
            _pack_modules(make, folder / "modules.tar")
        if gcov_build.is_on(config.text):
            gcov_build.keep(counting, source, output, folder)
        facts = {"release": release, "image": digest((folder / KERNEL).read_bytes())}
        (folder / "build.json").write_text(json.dumps(facts))

    @contextlib.contextmanager
    def finished(
        self, tree: PatchedTree, config: KernelConfig, deadline: Deadline, log: Path
    ) -> Iterator[Make]:
        """Lend the build folder with a finished build of ``tree`` in it, and what runs make there.

        It is for what is made beside that build, and locked against other runs meanwhile. Raises
        as :meth:`build` does.
        """
        with self.work_tree(
            tree, deadline, lambda at: build_folders.has_built(at, config.text)
        ) as work:
            yield self._finished(work, config, log, gcov_build.wanted(tree, config.text))

    def _finished(
        self, work: WorkTree, config: KernelConfig, log: Path, counting: Sequence[str]
    ) -> Make:
        source, output = work.source(), work.output(config)
        incremental.claim(output, source)
        if not (output / ".config").exists() or (output / ".config").read_text() != config.text:
            (output / ".config").write_text(config.text)
        reuse: dict[str, str] = {}
        # What the compiler writes beside an object that counts its lines names the build folder.
        if not gcov_build.is_on(config.text):
            reuse = ccache_environment(self.cache, build_rules.rules(work.tree))
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
            make.run(image, "modules", "headers", *words, on_line=progress)
            progress.remember()

        identity = digest(config.text, self.compiler(make.deadline), image, list(words))
        step = Progress(self.observer)
        incremental.update(make, config.text, identity, whole, step, replay=self.replay)

    def make(self, source: Path, output: Path, deadline: Deadline, tree: PatchedTree) -> Make:
        """Return what runs make in ``source``, which holds ``tree``, with a build folder."""
        return Make(source, output, self.arch.name, self.jobs, deadline, tree=tree)


def _names(root: Path) -> Iterator[str]:
    """Yield the path of every file below ``root``."""
    for place, _, files in os.walk(root):
        prefix = place[len(str(root)) + 1 :]
        yield from (f"{prefix}/{name}" if prefix else name for name in files)


def _version(tool: str, deadline: Deadline) -> str:
    """Return the first line that ``tool --version`` prints, run once for each file on disk."""
    info = Path(tool).resolve().stat()
    identity = (tool, info.st_ino, info.st_size, info.st_mtime_ns)
    if identity not in _versions:
        text = process.run([tool, "--version"], deadline=deadline).text
        _versions[identity] = text.split("\n", 1)[0]
    return _versions[identity]


def part_of(tree: PatchedTree, names: re.Pattern[str]) -> dict[str, str]:
    """Return a digest of each file of the series whose path matches, for a partial key."""
    return {
        name: digest(file.content or b"") for name, file in tree.files.items() if names.search(name)
    }


def _label(tree: PatchedTree) -> str:
    return f"{tree.series.name if tree.series else 'unpatched'} on {tree.base.name}"


def _load_build(path: Path, key: str) -> KernelBuild:
    facts = json.loads((path / "build.json").read_text())
    modules = path / "modules.tar"
    return KernelBuild(
        path=path,
        key=key,
        release=facts["release"],
        image=path / KERNEL,
        image_digest=facts["image"],
        modules=modules if modules.exists() else None,
        headers=path / "headers",
        config=path / "config",
    )


def _pack_modules(make: Make, archive: Path) -> None:
    stage = archive.with_name("stage")
    stage.mkdir()
    depmod = process.find("depmod", "kmod")
    replace(make, writable=(stage,)).run(
        "modules_install", f"INSTALL_MOD_PATH={stage}", f"DEPMOD={depmod}"
    )
    for link in (*stage.glob("lib/modules/*/build"), *stage.glob("lib/modules/*/source")):
        link.unlink()
    with tarfile.open(archive, "w") as tar:
        tar.add(stage / "lib/modules", "lib/modules", filter=_anonymous)
    shutil.rmtree(stage)


def _no_headers(folder: str, names: list[str]) -> list[str]:
    """Leave out what kbuild puts beside the headers it exports."""
    return [name for name in names if not name.endswith(".h") and not Path(folder, name).is_dir()]


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    return member
