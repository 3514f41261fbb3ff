"""Check a series patch by patch, as its maintainers would: `series check`.

Each patch must apply, pass the tree's own checkpatch.pl --strict, build with all patches before
it, and add no diagnostic under W=1 and sparse, and no complaint of the tree's own
scripts/coccinelle where spatch is installed. Where clang is installed, each must build with it as
well, and add no diagnostic under its W=1.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, UserError
from toolkit.core.model.kernel import KernelBase, KernelConfig
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.text import counted
from toolkit.formats.compiler_log import diagnostics
from toolkit.host import process
from toolkit.host.cache import Cache, digest
from toolkit.host.work_folders import Worth
from toolkit.kernel import build_folders
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.configure import configure
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.module_choice import folder_that_builds
from toolkit.kernel.source.provider import KIND as SOURCE
from toolkit.kernel.toolchain import Toolchain, installing
from toolkit.series import catalog, checkpatch, coccinelle, patching
from toolkit.testing import in_tree_suites
from toolkit.workflow import stage_work
from toolkit.workflow.run import Run
from toolkit.workflow.series_table import Compiled, Row, Table

_USER_SPACE = ("tools/", "usr/")  # kbuild goes to none of these
_LINT, _LINT_TOKEN = "lint", ".toolkit-lint"  # in a work folder, and in that


def check(run: Run, others: Sequence[Toolchain] = ()) -> Table:
    """Check the run's series with its toolchain, and whether it builds with ``others`` as well.

    One of those that is not installed is a note. Raises :class:`UserError` when a patch does not
    apply.
    """
    whole = run.series
    if whole is None:
        raise UserError("there is no series to check", hint="name one: toolkit series check v4")
    run.build_whole("what every patch compiles to is looked at, and not modules alone")
    folders = _folders(run.tree, run.arch.srcarch)
    trees = [
        patching.apply(run.base, each, run.deadline) for each in (None, *catalog.prefixes(whole))
    ]
    complaints, notes = _coccinelle(run, trees)
    lacking = [f"{each.name} was not tried: {_why_not(each)}" for each in others if each.missing()]
    kits = [_Kit(run.builder, run.config, "W=1 C=1")]
    kits += [_other(run, each) for each in others if not each.missing()]
    lints = [_Lint(run, folders, kit) for kit in kits]
    rows = []
    for patch, (before, tree), added in zip(
        whole.patches, pairwise(trees), complaints, strict=True
    ):
        compiled = tuple(lint.compiled(before, tree, patch.name) for lint in lints)
        style = checkpatch.check(patch.content, run.base.path, run.deadline)
        rows.append(Row(patch.name, style, compiled, added))
    return Table(tuple(rows), (*notes, *lacking))


@dataclass(frozen=True, slots=True)
class _Kit:
    """A toolchain's builder, the configuration for it, and which checks it makes."""

    builder: Builder
    config: KernelConfig
    checks: str


def _other(run: Run, toolchain: Toolchain) -> _Kit:
    """Return the kit of a toolchain that is not the run's. Sparse need not run again."""
    builder = replace(run.builder, toolchain=toolchain)
    wanted = stage_work.wanted_config(run.request, run.fragments)

    def work() -> tuple[KernelConfig, bool, str]:
        config, cached = configure(builder, run.tree, wanted, run.deadline)
        return config, cached, toolchain.name

    return _Kit(builder, run.stages.run("configure", work), "W=1")


def _why_not(toolchain: Toolchain) -> str:
    lacking = toolchain.missing()
    return f"{', '.join(lacking)} not installed ({installing(list(lacking.values()))})"


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a series applies to a base, in words, and which of the tree's suites it touches."""

    words: tuple[str, ...]
    suites: tuple[str, ...] = ()


def fit(series: PatchSeries, base: str, cache: Path) -> Fit:
    """Return how a series goes with the sources of ``base`` (6.12) that are in the cache.

    Nothing is fetched; that it does not apply is no error here.
    """
    tree_base = _cached_base(base, cache)
    if tree_base is None:
        words = f"whether it applies was not tried: toolkit fetch -k debian:{base} gets the source"
        return Fit((words,))
    try:
        tree = patching.apply(tree_base, series, Deadline.after(60))
    except UserError as error:
        return Fit((f"it does not apply to Linux {tree_base.release}: {error.what}",))
    return Fit((f"it applies to Linux {tree_base.release}",), in_tree_suites.touched(tree))


def _cached_base(base: str, cache: Path) -> KernelBase | None:
    """Return the source of a kernel that came last among those in the cache."""
    entries = (cache / SOURCE).glob("*/release")
    for file in sorted(entries, key=lambda each: each.stat().st_mtime, reverse=True):
        release = file.read_text()
        if re.match(re.escape(base) + r"(?![0-9])", release):
            folder = file.parent
            return KernelBase(f"debian:{base}", release, folder / "tree", folder.name)
    return None


def _build(run: Run, kit: _Kit, tree: PatchedTree, name: str) -> tuple[str, ...]:
    """Build one prefix of the series; return the compiler's lines when it does not."""
    toolchain = kit.builder.toolchain.name
    of = "" if kit.builder is run.builder else f"{toolchain}-"
    label = f"{name}, {toolchain}" if of else name

    def work() -> tuple[tuple[str, ...], bool, str]:
        try:
            log = run.folder / f"build-{of}{name.replace('/', '-')}.log"
            _, cached = kit.builder.build(tree, kit.config, run.deadline, log)
        except BuildError as error:
            return (error.what, *error.detail), False, f"{label}: {error.what}"
        return (), cached, label

    return run.stages.run("build", work)


def _folders(tree: PatchedTree, srcarch: str) -> list[str]:
    """Return the folders that kbuild must visit to compile every C file the series touches."""
    parents = {
        str(PurePosixPath(name).parent)
        for name in tree.files
        if name.endswith(".c") and not name.startswith(_USER_SPACE)
    }
    return sorted(folder_that_builds(name, srcarch) for name in parents)


class _Lint:
    """Compiles ``folders`` with the kit's checks, to tell what each patch adds to the diagnostics.

    What a patch adds is kept in the cache, so that a check of an edited series compiles from
    the first patch that changed.
    """

    def __init__(self, run: Run, folders: Sequence[str], kit: _Kit) -> None:
        self._run = run
        self._kit = kit
        self._folder = build_folders.named(_LINT, kit.builder.toolchain)
        self._folders = folders
        self._known: Counter[str] | None = None  # while the folder holds the tree before
        self._token = secrets.token_hex(8)  # marks the folder that this process has begun

    def compiled(self, before: PatchedTree, after: PatchedTree, name: str) -> Compiled:
        """Return how the patch called ``name`` builds, and what it adds to the diagnostics."""
        build = _build(self._run, self._kit, after, name)
        new = () if build else self.added(before, after)
        return Compiled(self._kit.builder.toolchain.name, build, new, self._kit.checks)

    def added(self, before: PatchedTree, after: PatchedTree) -> tuple[str, ...]:
        """Return each diagnostic, without its line, that ``after`` has more than ``before``."""
        if not self._folders:
            return ()

        def fill(folder: Path) -> None:
            diagnosed = None if self._known is None else self._diagnose(after)
            while self._known is None or diagnosed is None:
                self._known = self._diagnose(before, fresh=True)
                diagnosed = self._diagnose(after)
            (folder / "added.json").write_text(json.dumps([*(diagnosed - self._known).elements()]))
            # Only what is compiled again speaks again, so what was said before stays known.
            self._known |= diagnosed

        run, kit = self._run, self._kit
        key = digest(
            *(before.key, after.key, kit.config.key, self._folders),
            *(kit.builder.compiler(run.deadline), self._sparse("--version")),
        )
        path, cached = run.cache.make("lint", key, fill, deadline=run.deadline, label=run.base.name)
        if cached:
            self._known = None
        return tuple(json.loads((path / "added.json").read_text()))

    @property
    def _sparse_words(self) -> tuple[str, ...]:
        return (f"CHECK={process.find('sparse')}",) if "C=1" in self._kit.checks else ()

    def _sparse(self, option: str) -> str:
        if not self._sparse_words:
            return ""
        return process.run([process.find("sparse"), option], deadline=self._run.deadline).text

    def _diagnose(self, tree: PatchedTree, *, fresh: bool = False) -> Counter[str] | None:
        """Return what compiling the tree says, from scratch or what has changed in our folder.

        None where that folder is not to be had: another run has it, or has used it meanwhile.
        """
        run, kit, compiler_output = self._run, self._kit, list[str]()

        def work() -> tuple[bool, bool, str]:
            with kit.builder.work_tree(tree, run.deadline, Worth(now=self._is_ours)) as folder:
                if not fresh and not self._is_ours(folder.folder):
                    return False, False, "another run has the folder"
                source = folder.source()
                existing = [f"{name}/" for name in self._folders if (source / name).is_dir()]
                output = self._lint_folder(folder, fresh=fresh)
                make = kit.builder.make(source, output, run.deadline, tree)
                replace(make, log=run.folder / "lint.log").run(
                    *(*kit.checks.split(), *self._sparse_words, *existing),
                    on_line=lambda line: compiler_output.append(line.replace(f"{source}/", "")),
                )
            return True, False, f"{kit.checks}, {kit.builder.toolchain.name}"

        return Counter(diagnostics(compiler_output)) if run.stages.run("lint", work) else None

    def _lint_folder(self, work: WorkTree, *, fresh: bool) -> Path:
        """Return a build folder of its own: W=1 changes every command, and so every object."""
        output = work.folder / self._folder
        if fresh:
            Cache.remove_tree(output)
            output.mkdir()
            (output / ".config").write_text(self._kit.config.text)
            (output / _LINT_TOKEN).write_text(self._token)
        return output

    def _is_ours(self, work_folder: Path) -> bool:
        """Return whether a work folder has what this process compiled last."""
        try:
            return (work_folder / self._folder / _LINT_TOKEN).read_text() == self._token
        except FileNotFoundError:
            return False


_Added = tuple[str, ...] | None


def _coccinelle(run: Run, trees: Sequence[PatchedTree]) -> tuple[list[_Added], tuple[str, ...]]:
    """Return what each tree adds to the complaints about the one before it, and notes.

    A patch's complaints are None where spatch is not installed.
    """
    checker = coccinelle.checker(run.base.path, run.cache, run.request.jobs, run.deadline)
    pairs = list(pairwise(trees))
    if checker is None:
        note = (
            f"coccinelle was not run: {coccinelle.PROGRAM} is not installed "
            f"(Debian package {coccinelle.PACKAGE})"
        )
        return [None for _ in pairs], (note,)
    touched = [[_versions(tree, changed_c_files(*pair)) for tree in pair] for pair in pairs]
    ran: list[str] = []

    def progress(done: int, total: int, script: str) -> None:
        ran.append(script)
        run.observer.stage_progress("coccinelle", done, total, script)

    def work() -> tuple[Mapping[coccinelle.Version, coccinelle.Report], bool, str]:
        versions = {each for pair in touched for side in pair for each in side}
        reports = checker.reports(versions, progress, run.deadline)
        scripts = counted(len(checker.scripts), "script")
        return reports, not ran, f"{scripts}, {counted(len(versions), 'file')}"

    reports = run.stages.run("coccinelle", work)

    def count(side: Sequence[coccinelle.Version]) -> Counter[str]:
        return Counter(line for version in side for line in reports[version].complaints)

    failed = sorted({line for report in reports.values() for line in report.failed})
    return (
        [tuple((count(after) - count(before)).elements()) for before, after in touched],
        tuple(f"coccinelle: {line}" for line in failed),
    )


def _versions(tree: PatchedTree, names: Sequence[str]) -> list[coccinelle.Version]:
    """Return those of the files that ``tree`` has, with their contents."""
    contents = [(name, _content(tree, name)) for name in names]
    return [(name, content) for name, content in contents if content is not None]


def changed_c_files(before: PatchedTree, after: PatchedTree) -> list[str]:
    """Return the C files and headers in which two prefixes of one series differ."""
    names = before.files.keys() | after.files.keys()
    return sorted(
        name
        for name in names
        if name.endswith((".c", ".h")) and _content(before, name) != _content(after, name)
    )


def _content(tree: PatchedTree, name: str) -> bytes | None:
    """Return what a file of the tree holds, or None where there is none."""
    if name in tree.files:
        return tree.files[name].content
    path = tree.base.path / name
    return path.read_bytes() if path.is_file() else None
