"""Check a series patch by patch, as its maintainers would: `series check`.

Each patch must apply, pass the tree's own checkpatch.pl --strict, build with all patches before
it, and add no diagnostic under W=1 and sparse.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from toolkit import patching, process, series
from toolkit.cache import Cache
from toolkit.errors import EXIT_KERNEL, EXIT_OK, BuildError, UserError
from toolkit.kbuild import WorkTree
from toolkit.model import Patch, PatchedTree
from toolkit.run import Run

_DIAGNOSTIC = re.compile(r"^(\S+?\.[chS]):\d+:(?:\d+:)? (?:fatal )?(?:error|warning): ?(.*)")
# virt/kvm has no Makefile of its own: virt/kvm/Makefile.kvm is included by each arch's kvm folder.
_BUILT_FROM = {"virt/kvm": "arch/{srcarch}/kvm"}


@dataclass(frozen=True, slots=True)
class Row:
    """What the checks say of one patch. A tuple of lines is empty when there is nothing to say."""

    patch: str
    checkpatch: tuple[str, ...]
    build: tuple[str, ...]
    new: tuple[str, ...]  # diagnostics under W=1 and sparse that the patch adds

    @property
    def good(self) -> bool:
        """Whether nothing at all was found."""
        return not (self.checkpatch or self.build or self.new)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows, in the order of the patches."""

    rows: tuple[Row, ...]

    @property
    def exit_code(self) -> int:
        """0 when every row is good, else 1."""
        return EXIT_OK if all(row.good for row in self.rows) else EXIT_KERNEL

    def lines(self) -> list[str]:
        """Return the table, and below it what was found, as lines."""
        head = f"{'patch':<56} {'applies':<8} {'checkpatch':<11} {'builds':<7} W=1 C=1"
        lines = [head]
        for row in self.rows:
            found = f"{len(row.new)} new" if row.new else ("-" if row.build else "clean")
            lines.append(
                f"{row.patch[:56]:<56} {'yes':<8} "
                f"{len(row.checkpatch) or 'clean':<11} {'NO' if row.build else 'yes':<7} {found}"
            )
        for row in self.rows:
            found_lines = (*row.checkpatch, *row.build, *row.new)
            if found_lines:
                lines += ["", row.patch, *(f"  {line}" for line in found_lines)]
        return lines


def check(run: Run) -> Table:
    """Check the run's series; raises :class:`UserError` when a patch does not apply."""
    whole = run.series
    if whole is None:
        raise UserError("there is no series to check", hint="name one: toolkit series check v4")
    folders = _folders(run.tree, run.arch.srcarch)
    known = _diagnose(run, patching.apply(run.base, None, run.deadline), folders, fresh=True)
    rows = []
    for prefix in series.prefixes(whole):
        tree = patching.apply(run.base, prefix, run.deadline)
        patch = prefix.patches[-1]
        build = _build(run, tree, patch.name)
        said = Counter[str]() if build else _diagnose(run, tree, folders)
        new = tuple((said - known).elements())
        # Only what is compiled again speaks again, so what was said before stays known.
        known |= said
        rows.append(Row(patch.name, checkpatch(run, patch), build, new))
    return Table(tuple(rows))


def _build(run: Run, tree: PatchedTree, name: str) -> tuple[str, ...]:
    """Build one prefix of the series; return the compiler's lines when it does not."""

    def work() -> tuple[tuple[str, ...], bool, str]:
        try:
            log = run.folder / f"build-{name}.log"
            _, found = run.builder.build(tree, run.config, run.deadline, log)
        except BuildError as error:
            return (error.what, *error.detail), False, f"{name}: {error.what}"
        return (), found, name

    return run.stage("build", work)


def _folders(tree: PatchedTree, srcarch: str) -> list[str]:
    """Return the folders that kbuild must visit to compile every C file the series touches."""
    parents = {str(PurePosixPath(name).parent) for name in tree.files if name.endswith(".c")}
    return sorted(_BUILT_FROM.get(name, name).format(srcarch=srcarch) for name in parents)


def _diagnose(
    run: Run, tree: PatchedTree, folders: Sequence[str], *, fresh: bool = False
) -> Counter[str]:
    """Compile ``folders`` with W=1 and sparse, and return each diagnostic without its line."""
    said: list[str] = []

    def work() -> tuple[None, bool, str]:
        with run.builder.work_tree(tree, run.deadline) as folder:
            source = folder.source()
            existing = [f"{name}/" for name in folders if (source / name).is_dir()]
            run.builder.make(
                source,
                _lint_folder(folder, run.config.text, fresh=fresh),
                ["W=1", "C=1", f"CHECK={process.find('sparse')}", *existing],
                run.deadline,
                log=run.folder / "lint.log",
                on_line=lambda line: said.append(line.replace(f"{source}/", "")),
            )
        return None, False, "W=1 and sparse"

    run.stage("lint", work)
    return Counter(_diagnostics(said))


def _diagnostics(lines: Iterable[str]) -> Iterator[str]:
    """Yield what compiler and sparse complain of, without the number of the line."""
    for line in lines:
        if match := _DIAGNOSTIC.match(line):
            yield f"{match[1]}: {match[2]}"


def _lint_folder(work: WorkTree, config: str, *, fresh: bool) -> Path:
    """Return a build folder of its own: W=1 changes every command, and so every object."""
    output = work.folder / "lint"
    if fresh:
        Cache.remove_tree(output)
        output.mkdir()
        (output / ".config").write_text(config)
    return output


def checkpatch(run: Run, patch: Patch) -> tuple[str, ...]:
    """Run the base's own checkpatch.pl over one patch and return what it complains of."""
    argv = [
        *("perl", "scripts/checkpatch.pl", "--strict", "--terse", "--show-types"),
        *("--no-summary", "--color=never", "-"),
    ]
    done = process.run(
        argv, cwd=run.base.path, input=patch.content, check=False, deadline=run.deadline
    )
    return tuple(line.strip() for line in done.text.splitlines() if line.strip())
