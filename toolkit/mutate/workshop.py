"""Builds mutants, and sees which of them are none: what compiles to the same is not run twice.

Compilers find a good part of the mutants that no test can kill (Papadakis, Jia, Harman and Le
Traon, "Trivial Compiler Equivalence", ICSE 2015): what gives the object of the series is
*equivalent*, and of mutants that give one object all but the first are *duplicates*.

A mutant of a C file that is a part of one module is compiled by the command that kbuild recorded,
beside the finished build. Any other takes a build of its own: kbuild's, so that nothing is compiled
but what reads the file. These come one at a time, since two at once would be in two work folders,
and the second of those may have nothing yet of the kernel that all mutants have in common.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, UserError
from toolkit.core.model.kernel import KernelBuild, KernelConfig
from toolkit.core.model.mutation import Fate, Mutant, Verdict
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree
from toolkit.host.cache import digest
from toolkit.kernel import build_identity
from toolkit.kernel.incremental import Part, Variants
from toolkit.kernel.kbuild import Builder
from toolkit.mutate import faults, mutants

_TREE_KEY = "mutant"


@dataclass(frozen=True, slots=True)
class Built:
    """A mutant's kernel, or the verdict that ends it before any machine does.

    ``code`` is the digest of what it compiles to.
    """

    kernel: KernelBuild | None
    code: str = ""
    verdict: Verdict | None = None


@dataclass(slots=True)
class Workshop:
    """Builds the mutants of one series; several threads may use it at once.

    ``kernel`` is that of the series without a mutant, ``folder`` is for archives of modules, and
    ``patches`` are the faults by hand, by their mutant's id.
    """

    builder: Builder
    tree: PatchedTree
    config: KernelConfig
    kernel: KernelBuild
    folder: Path
    deadline: Deadline
    patches: Mapping[str, Patch] = field(default_factory=dict)
    _own: dict[str, str] = field(default_factory=dict)  # digests of the series' own objects
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)  # to build a whole kernel
    _own_identity: str = ""

    @contextlib.contextmanager
    def open(self) -> Iterator[Bench]:
        """Lend a bench in the finished build folder, which no other run gets meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "build.log"
        with self.builder.finished(self.tree, self.config, self.deadline, log) as (_, make):
            variants = Variants(make, self.config.text)
            try:
                yield Bench(self, variants)
            finally:
                variants.close()

    # --- mutants of a module's C file ---------------------------------------------------

    def quick(self, bench: Bench, mutant: Mutant, claim: Callable[[str], str]) -> Built | None:
        """Build a mutant beside the finished build; None where it takes a build of its own.

        ``claim`` is told what the mutant compiles to, and returns the id of the first mutant that
        did: this one's own, or that of which it is a duplicate.
        """
        source = self._one_source(mutant)
        part = bench.part(source[0]) if source else None
        if source is None or part is None:
            return None
        try:
            made = bench.variants.compile(part, source[1], mutant.id)
            code = self._code(made)
            if code == bench.origin(part):
                return Built(None, code, Verdict(Fate.EQUIVALENT, code=code))
            if (first := claim(code)) != mutant.id:
                return Built(None, code, Verdict(Fate.DUPLICATE, by=first, code=code))
            module = bench.variants.link(part, made)
        except BuildError as error:
            return Built(None, verdict=Verdict(Fate.UNBUILT, why=error.what))
        archive = self.folder / f"{mutant.id}.tar"
        if not _replaced(self.kernel.modules, archive, module, part):
            return None
        return Built(replace(self.kernel, modules=archive), code)

    def _one_source(self, mutant: Mutant) -> tuple[str, bytes] | None:
        """Return the one C file that a mutant changes, and what stands in it then."""
        if not mutant.fault:
            own = self.tree.files[mutant.file].content or b""
            return mutant.file, mutants.mutated(own, mutant, compiled=True)
        changed = self._changed(mutant)
        if len(changed) != 1:
            return None
        [(path, file)] = changed.items()
        return (path, file.content) if file.content is not None else None

    def paths(self, mutant: Mutant) -> list[str]:
        """Return the files that a mutant changes; raises as :meth:`with_mutant` does."""
        return list(self._changed(mutant)) if mutant.fault else [mutant.file]

    def _changed(self, mutant: Mutant) -> dict[str, PatchedFile]:
        tree = self.with_mutant(mutant)
        return {
            path: file for path, file in tree.files.items() if file != self.tree.files.get(path)
        }

    def with_mutant(self, mutant: Mutant) -> PatchedTree:
        """Return the series' tree with a mutant in it.

        Raises :class:`UserError` for a fault by hand that does not fit.
        """
        if mutant.fault:
            try:
                return faults.applied(self.tree, self.patches[mutant.id], self.deadline)
            except UserError as error:
                raise UserError(
                    f"the fault {mutant.fault}: {error.what}", hint=error.hint, detail=error.detail
                ) from error
        file = self.tree.files[mutant.file]
        content = mutants.mutated(file.content or b"", mutant, compiled=True)
        files = {**self.tree.files, mutant.file: replace(file, content=content)}
        key = digest(_TREE_KEY, self.tree.key, mutant.id)
        return replace(self.tree, files=files, key=key)

    # --- all others ----------------------------------------------------------------------

    def whole(self, mutant: Mutant, claim: Callable[[str], str]) -> Built:
        """Build a whole kernel with a mutant; :meth:`forget` it after its trial."""
        log = self.folder / f"{mutant.id}.log"
        try:
            tree = self.with_mutant(mutant)
            with self._turn:
                kernel, _ = self.builder.build(tree, self.config, self.deadline, log)
        except BuildError as error:
            return Built(None, verdict=Verdict(Fate.UNBUILT, why=error.what))
        code = self._identity(kernel)
        with self._lock:
            if not self._own_identity:
                self._own_identity = self._identity(self.kernel)
        if code == self._own_identity:
            self.forget(kernel)
            return Built(None, code, Verdict(Fate.EQUIVALENT, code=code))
        if (first := claim(code)) != mutant.id:
            self.forget(kernel)
            return Built(None, code, Verdict(Fate.DUPLICATE, by=first, code=code))
        return Built(kernel, code)

    def forget(self, kernel: KernelBuild) -> None:
        """Remove what was built for one mutant."""
        if kernel.key != self.kernel.key:
            self.builder.cache.discard("build", kernel.key)
        elif kernel.modules and kernel.modules != self.kernel.modules:
            kernel.modules.unlink(missing_ok=True)

    def own(self, part: Part, variants: Variants) -> str:
        """Return the digest of the series' own object of a part, made as its mutants' are."""
        with self._lock:
            if part.path not in self._own:
                content = self.tree.files[part.path].content or b""
                made = variants.compile(part, content, f"own-{len(self._own)}")
                self._own[part.path] = self._code(made)
            return self._own[part.path]

    def _code(self, made: Path) -> str:
        """Return a digest of what an object does."""
        scratch = made.with_suffix(".code")
        return build_identity.normalised(made, scratch, self.builder.toolchain, self.deadline)

    def _identity(self, kernel: KernelBuild) -> str:
        return build_identity.identity(kernel, self.builder.toolchain, self.deadline)


@dataclass(frozen=True, slots=True)
class Bench:
    """A build folder in which variants can be made."""

    workshop: Workshop
    variants: Variants

    def part(self, path: str) -> Part | None:
        """Return how a file becomes a part of a module, None where it takes a whole build."""
        if path not in self.workshop.tree.files:
            return None
        return self.variants.part(path)

    def reach(self, mutant: Mutant) -> str:
        """Return, in words, what has to be built anew for a mutant that is not quick to build."""
        paths = self.workshop.paths(mutant)
        modules = self.variants.reaches_modules_alone(paths)
        return "the modules it reaches" if modules else "the whole kernel, and a boot"

    def origin(self, part: Part) -> str:
        """Return the digest of what the series itself compiles to there."""
        return self.workshop.own(part, self.variants)


def _replaced(modules: Path | None, archive: Path, module: Path, part: Part) -> bool:
    """Write the archive of ``modules`` with one replaced; return whether it has that one."""
    if modules is None:
        return False
    ending = f"/kernel/{part.stem}.ko"
    done = False
    with tarfile.open(modules) as source, tarfile.open(archive, "w") as target:
        for member in source:
            if member.name.endswith(ending):
                data = module.read_bytes()
                member.size, done = len(data), True
                target.addfile(member, io.BytesIO(data))
            else:
                target.addfile(member, source.extractfile(member) if member.isfile() else None)
    return done
