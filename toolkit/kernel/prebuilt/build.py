"""Build what a series reaches of a packaged kernel: its modules, or else nothing.

kbuild builds them as it builds a single target, apart from one thing: modpost would take the
kernel's own exports from vmlinux.o, and gets the package's Module.symvers instead.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.model.kernel import Prebuilt
from toolkit.core.model.series import PatchedTree
from toolkit.formats import elf, modversions, symvers
from toolkit.formats.symvers import Export
from toolkit.host.cache import digest
from toolkit.kernel import build_identity, incremental, tree_text
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.make import Make, Progress, ccache_environment
from toolkit.kernel.prebuilt import packages, reach, tree_scan
from toolkit.kernel.prebuilt.reach import ReachError
from toolkit.kernel.prebuilt.resolve import release_word

_KIND = "objects"  # of cache entries
_WRAPPER = "modpost-packaged"
_SYMVERS = "packaged.symvers"
# What kbuild runs in the build folder as modpost, with its own options behind these.
_WRAPPED = f"""#!/bin/sh
exec scripts/mod/modpost -i {_SYMVERS} "$@"
"""
# What scripts/Makefile.modpost has to be like for that: since 6.3 the program stands there alone.
_MODPOST, _MODPOST_LINE = "scripts/Makefile.modpost", "modpost-deps := $(MODPOST)\n"
_EXPORTED = "modules-only.symvers"  # where modpost writes what the modules export
# For make, whose compilers then write no debug information. The package's modules have none, and
# what the code is compiled to depends on the headers' configuration, which stays as it is.
_WITHOUT_DEBUG_INFO = (
    "CONFIG_DEBUG_INFO=",
    "CONFIG_DEBUG_INFO_BTF=",
    "CONFIG_DEBUG_INFO_BTF_MODULES=",
)
_USES_BTF = ".BTF_ids"  # the section of a module that offers functions to BPF by their BTF


@dataclass(frozen=True, slots=True)
class Built:
    """Modules in a build folder by their paths in the tree, with the CRCs of what they use.

    ``exports`` is all that the kernel exports with them.
    """

    modules: Mapping[str, Path]
    imports: Mapping[str, Mapping[str, int]]
    exports: Mapping[str, Export]


@dataclass(frozen=True, slots=True)
class Job:
    """One build. ``new`` are the options of ``config`` that only the series has.

    The modules get BTF where they cannot do without, and where ``btf`` says so.
    """

    builder: Builder
    work: WorkTree
    prebuilt: Prebuilt
    config: str
    new: frozenset[str]
    log: Path
    btf: bool = False

    @property
    def output(self) -> Path:
        """The build folder of this configuration."""
        return self.work.place(f"packaged-{digest(self.prebuilt.key, self.config)[:16]}")

    def make(self) -> Make:
        """Return what runs make in the build folder."""
        output, work = self.output, self.work
        output.mkdir(exist_ok=True)
        source = work.source()
        incremental.claim(output, source)
        env = ccache_environment(self.builder.cache, self.builder.toolchain, work.rules)
        made = self.builder.make(source, output, work.deadline, work.tree)
        return replace(made, log=self.log, env=env)

    def _run(self, make: Make, *words: str) -> None:
        config = make.output / ".config"
        if not config.exists() or config.read_text() != self.config:
            config.write_text(self.config)
        make.run(*words, release_word(self.prebuilt), on_line=Progress(self.builder.observer))

    def build(self, make: Make) -> Built:
        """Build all modules that the series reaches, and those that depend on what they export.

        What user space may include is in ``usr/include`` of the build folder then.

        Raises :class:`ReachError` where it reaches the kernel itself.
        """
        tree, arch = self.work.tree, self.builder.arch.srcarch
        if _MODPOST_LINE not in (tree_text.read(tree, _MODPOST) or ""):
            raise ReachError("kbuild of this kernel cannot take the exports of a packaged one")
        words = () if self.btf else _WITHOUT_DEBUG_INFO
        with ThreadPoolExecutor(max_workers=1) as beside:
            scanning = beside.submit(
                tree_scan.scan,
                tree,
                make.source,
                make.output,
                srcarch=arch,
                cache=self.builder.cache,
                deadline=self.work.deadline,
            )
            self._run(make, "modules_prepare", "headers", *words)
        found = reach.find(scanning.result(), self.new)
        if found.compared:
            self._compare(make, sorted(found.compared), words)
        packaged = packages.exports(self.prebuilt)
        uses = {name: each.imports for name, each in packages.modules(self.prebuilt).items()}
        wanted, more = set[str](), set(found.modules)
        exports: dict[str, Export] = {}
        while more:
            wanted |= more
            exports = self._modules(make, wanted, words)
            if words and any(_uses_btf(make.output / f"{name}.ko") for name in wanted):
                words = ()
                self._run(make, "modules_prepare")
                exports = self._modules(make, wanted, words)
            more = dependents(uses, symvers.changed(packaged, exports, wanted)) - wanted
        kept = {symbol: each for symbol, each in packaged.items() if each.module not in wanted}
        built = {name: make.output / f"{name}.ko" for name in sorted(wanted)}
        imports = {name: _imports(name, path) for name, path in built.items()}
        check_fit(imports, {**kept, **exports})
        return Built(built, imports, {**kept, **exports})

    def _modules(
        self, make: Make, wanted: Collection[str], words: Sequence[str]
    ) -> dict[str, Export]:
        """Build modules with more ``words`` for make, and return what they export."""
        others = symvers.without(self.prebuilt.symvers.read_text(), wanted)
        (make.output / _SYMVERS).write_text(others)
        wrapper = make.output / _WRAPPER
        wrapper.write_text(_WRAPPED)
        wrapper.chmod(0o755)
        types = make.output / self.prebuilt.types.name
        if self.prebuilt.types.is_file() and not types.exists() and not words:
            # The modules' BTF extends it.
            shutil.copyfile(self.prebuilt.types, types)
        targets = [f"{name}.ko" for name in sorted(wanted)]
        self._run(make, *targets, f"MODPOST=./{_WRAPPER}", *words)
        try:
            return symvers.parse((make.output / _EXPORTED).read_text())
        except (OSError, ValueError) as error:
            raise ReachError(f"modpost of this tree lists exports otherwise: {error}") from error

    def _compare(self, make: Make, objects: list[str], words: Sequence[str]) -> None:
        """Raise :class:`ReachError` unless the kernel's ``objects`` are those of the base."""
        before = self._of_base(make, objects, words)
        self._run(make, *objects, *words)
        for name, its in self._digests(make, objects).items():
            if its != before[name]:
                raise ReachError(f"the series changes {name}, which is in the kernel itself")

    def _of_base(self, make: Make, objects: list[str], words: Sequence[str]) -> dict[str, str]:
        """Return digests of the base's own objects, which are made where the cache lacks one."""
        cache, work, tree = self.builder.cache, self.work, self.work.tree
        compiler = self.builder.compiler(work.deadline)

        def key(name: str) -> str:
            return digest(tree.base.key, self.prebuilt.key, compiler, name, *words)

        missing = [name for name in objects if not cache.find(_KIND, key(name))]
        if missing:
            unpatched = PatchedTree(tree.base, None, {}, tree.base.key)
            self.builder.materialise(unpatched, make.source, work.deadline)
            try:
                self._run(make, *missing, *words)
                for name, its in self._digests(make, missing).items():
                    store = functools.partial(_store, its)
                    cache.make(_KIND, key(name), store, deadline=work.deadline, label=name)
            finally:
                self.builder.materialise(tree, make.source, work.deadline)
        stored = {name: cache.find(_KIND, key(name)) for name in objects}
        return {name: (path / "digest").read_text() for name, path in stored.items() if path}

    def _digests(self, make: Make, objects: Iterable[str]) -> dict[str, str]:
        """Return a digest of what each object does.

        The CRCs of what it exports are no part of it. A module that reads the type behind one is
        among those that are built, and to the kernel's own code the new type is the same.
        """
        scratch = make.output / ".toolkit-object"
        try:
            return {
                name: build_identity.normalised(
                    make.output / name, scratch, self.builder.toolchain, self.work.deadline
                )
                for name in objects
            }
        finally:
            scratch.unlink(missing_ok=True)


def _imports(name: str, path: Path) -> dict[str, int]:
    """Return what a module that was built uses; a series may have it linked in any way."""
    try:
        return modversions.imports(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReachError(f"{name}.ko cannot be read as a module: {error}") from error


def _uses_btf(path: Path) -> bool:
    """Return whether a module that was built cannot do without BTF."""
    try:
        return bool(elf.section(path.read_bytes(), _USES_BTF))
    except (OSError, ValueError):
        return True  # and what is wrong with it is said where its imports are read


def _store(text: str, folder: Path) -> None:
    (folder / "digest").write_text(text)


def dependents(uses: Mapping[str, Collection[str]], symbols: Collection[str]) -> set[str]:
    """Return the modules that use one of the symbols; ``uses`` has by module what each uses."""
    wanted = set(symbols)
    return {name for name, used in uses.items() if wanted & set(used)} if wanted else set()


def check_fit(imports: Mapping[str, Mapping[str, int]], exports: Mapping[str, Export]) -> None:
    """Raise :class:`ReachError` where a module uses a symbol with a CRC that is not the export's.

    ``imports`` has by module the CRCs of the symbols that it was built with.
    """
    for module, used in imports.items():
        for symbol, crc in used.items():
            export = exports.get(symbol)
            if export and export.crc != crc:
                raise ReachError(f"{module} does not fit {symbol} of {export.module}")
