"""Applies a series to a base, in memory: no tree is touched.

The files that the patches name are copied into a scratch folder, git applies the patches
there, one after the other, and what comes out is collected.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import RejectedError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree, PatchSeries
from toolkit.formats import patchfile
from toolkit.formats.patchfile import Hunk, Section
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.series import scratch

HUNK_LINES = 30  # how much of a rejected hunk an error shows
_SAME_LINES = 8  # of a hunk, that are looked for everywhere

_Plan = Sequence[tuple[Patch, Sequence[Section]]]  # what each patch does
_FAILED = re.compile(r"^error: patch failed: (?P<path>.+):(?P<start>\d+)$", re.MULTILINE)


def apply(base: KernelBase, series: PatchSeries | None, deadline: Deadline) -> PatchedTree:
    """Return ``base`` with ``series`` applied; None is the base as it is.

    Patches apply in order and without fuzz; that lines moved up or down is allowed, as it is
    for git-am. Raises :class:`RejectedError`, naming patch, file and hunk, for a patch that does
    not apply, and :class:`UserError` for one that would touch anything but plain files inside the
    tree.
    """
    files: Mapping[str, PatchedFile] = {}
    if series is not None:
        plan = [(patch, patchfile.sections(patch)) for patch in series.patches]
        _check_size(plan)
        with tempfile.TemporaryDirectory(prefix="toolkit-patch-") as name:
            folder = Path(name).resolve()
            tree, present = _copied(base.path, folder / "whole" / "tree", plan)
            touched = _apply(tree, plan, deadline)
            if touched is None:  # which one does not fit? git names the file alone
                tree, present = _copied(base.path, folder / "singly" / "tree", plan)
                touched = _apply_singly(tree, plan, deadline)
            _check_touched(tree, touched, plan)
            files = _collect(base.path, tree, plan, present)
    return PatchedTree(base, series, files, _key(base, files))


def _check_size(plan: _Plan) -> None:
    """Refuse binary data that would become too large: a small patch can hold a huge file."""
    size = sum(part.inflated for _, parts in plan for part in parts)
    if size > scratch.MAX_BYTES:
        raise UserError(
            f"the series' binary files are {size >> 20} MiB, and {scratch.MAX_BYTES >> 20} MiB is "
            "the most that is taken",
            hint="leave out the patch that adds them",
        )


def _key(base: KernelBase, files: Mapping[str, PatchedFile]) -> str:
    contents = {
        path: None
        if file.content is None
        else [hashlib.sha256(file.content).hexdigest(), file.executable]
        for path, file in files.items()
    }
    return digest("tree", base.key, contents)


# --- the scratch folder ------------------------------------------------------------------


def _copied(tree: Path, target: Path, plan: _Plan) -> tuple[Path, set[str]]:
    """Copy every file that a patch names and that exists; return where to, and their paths.

    Files that stand where a patch wants a folder come too, so that git sees the clash.
    """
    target.mkdir(parents=True)
    present: set[str] = set()
    for patch, parts in plan:
        for part in parts:
            for path in part.paths:
                steps = path.split("/")
                for depth in range(1, len(steps) + 1):
                    inner = "/".join(steps[:depth])
                    if inner not in present and _check(tree / inner, inner, patch, part, path):
                        (target / inner).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(tree / inner, target / inner)
                        present.add(inner)
    return target, present


def _check(file: Path, inner: str, patch: Patch, part: Section, path: str) -> bool:
    """Return whether ``file`` is one to copy; refuse what may not be patched."""
    try:
        mode = file.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(mode) and inner != path:
        return False
    if stat.S_ISREG(mode):
        return True
    kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link or device"
    raise UserError(
        f"{patch.name}:{part.line}: {path!r} is refused: {inner!r} is {kind} in the tree",
        hint="name the file itself, by its path without links",
    )


def _collect(tree: Path, patched: Path, plan: _Plan, present: set[str]) -> dict[str, PatchedFile]:
    """Return the files that differ from the tree, by path."""
    changed: dict[str, PatchedFile] = {}
    for path in sorted({path for _, parts in plan for part in parts for path in part.paths}):
        file = patched / path
        if not file.is_file():
            if path in present:
                changed[path] = PatchedFile(None)
            continue
        result = _read(file)
        if path not in present or result != _read(tree / path):
            changed[path] = result
    return changed


def _read(file: Path) -> PatchedFile:
    return PatchedFile(file.read_bytes(), bool(file.stat().st_mode & stat.S_IXUSR))


# --- git ---------------------------------------------------------------------------------


def _apply(tree: Path, plan: _Plan, deadline: Deadline) -> bytes | None:
    """Let git apply patches, one after the other, with as few calls as can be.

    Returns the names of what it touched, by git's own account; None where one does not fit.
    """
    touched = b""
    groups: list[tuple[tuple[str, ...], list[Patch]]] = []
    for patch, parts in plan:
        options = _options(patch, parts)
        # Without -p git guesses it from one name on, and keeps to it in what follows.
        if groups and groups[-1][0] == options and options[:1] and options[0].startswith("-p"):
            groups[-1][1].append(patch)
        else:
            groups.append((options, [patch]))
    for options, patches in groups:
        done = _git_apply(tree, patches, options, deadline, "--numstat", "-z", "--apply")
        if done.status != 0:
            return None
        touched += done.stdout
    return touched


def _options(patch: Patch, parts: Sequence[Section]) -> tuple[str, ...]:
    options = []
    if patch.strip is not None:
        options.append(f"-p{patch.strip}")
    elif len(strips := {part.strip for part in parts}) == 1:
        options.append(f"-p{strips.pop()}")
    if patch.context is not None:
        options.append(f"-C{patch.context}")
    return tuple(options)


def _git_apply(
    tree: Path,
    patches: Sequence[Patch],
    options: Sequence[str],
    deadline: Deadline,
    *more: str,
) -> process.Completed:
    # They lie beside the tree: what git reads must not be in reach of what it writes.
    names = []
    for number, patch in enumerate(patches):
        file = tree.parent / f"{number:06}.diff"
        file.write_bytes(patch.diff)
        names.append(str(file))
    # Whitespace is checkpatch's affair; git must neither complain about it nor mend it.
    argv = ["git", "apply", "--whitespace=nowarn", *options, *more, "--", *names]
    what = patches[0].name if len(patches) == 1 else f"{len(patches)} patches"
    return scratch.run(argv, tree, deadline, what=what, mails=len(patches))


def _check_touched(tree: Path, touched: bytes, plan: _Plan) -> None:
    """Refuse a series when git says of it that it touched more than what was checked before."""
    names = {entry.split(b"\t")[2] for entry in touched.split(b"\0") if entry}
    checked = {path for _, parts in plan for part in parts for path in part.paths}
    hidden = names - {path.encode() for path in checked}
    hidden |= {path.encode() for path in checked if (tree / path).is_symlink()}
    if hidden:
        raise UserError(f"the series touches {sorted(hidden)!r} in a hidden way: refused")


def _apply_singly(tree: Path, plan: _Plan, deadline: Deadline) -> bytes:
    """Apply patches one by one, up to the first that does not fit, and raise what is wrong."""
    touched = b""
    for patch, parts in plan:
        options = _options(patch, parts)
        done = _git_apply(tree, (patch,), options, deadline, "--numstat", "-z", "--apply")
        if done.status != 0:
            message = done.stderr.decode(errors="replace")
            raise _rejected(tree, patch, parts, message, deadline)
        touched += done.stdout
    return touched


def _rejected(
    tree: Path, patch: Patch, parts: Sequence[Section], message: str, deadline: Deadline
) -> RejectedError:
    """Return the error that shows which hunk of ``patch`` does not fit, and why."""
    reasons = [line.removeprefix("error: ") for line in message.splitlines()]
    match = _FAILED.search(message)
    if match is None:
        what = f"{patch.name} does not apply: {reasons[0] if reasons else 'git gives no reason'}"
        hint = _advice(tree, patch, parts, deadline)
        return RejectedError(what, hint=hint, detail=reasons[1:])
    path, start = match["path"], int(match["start"])
    hunks = [hunk for part in parts if path in part.paths for hunk in part.hunks]
    hunk = next((hunk for hunk in hunks if hunk.start == start), None)
    place = f":{hunk.line}" if hunk else ""
    what = f"{patch.name}{place} does not apply: hunk at line {start} of {path}"
    detail = [*reasons, *(_show(tree / path, path, hunk) if hunk else [])]
    return RejectedError(what, hint=_advice(tree, patch, parts, deadline), detail=detail)


def _show(file: Path, path: str, hunk: Hunk) -> list[str]:
    """Return the rejected hunk, and what the file has in the place that nearly fits.

    A line of the file that the hunk does not have is marked with ">".
    """
    wanted = [line.decode(errors="replace") for line in hunk.text[:HUNK_LINES]]
    lines = file.read_bytes().decode(errors="replace").split("\n") if file.is_file() else []
    old = [
        line[1:].decode(errors="replace") for line in hunk.text[1:] if line[:1] in (b" ", b"-", b"")
    ]
    expected = max(hunk.start - 1, 0)
    first = _nearest(lines, old, expected)
    if first is None:
        heading, first = f"{path} has nothing like it, and there:", expected
    elif first == expected:
        heading = f"{path} has there:"
    else:
        heading = f"{path} has at line {first + 1}, which nearly fits:"
    here = lines[first : first + min(len(old), HUNK_LINES)]
    there = [
        f"{first + number:6}{' ' if line in old else '>'}{line}"
        for number, line in enumerate(here, 1)
    ]
    return [
        "the hunk:",
        *(f"    {line}" for line in wanted),
        heading,
        *(there or ["    nothing: the file ends before"]),
    ]


def _nearest(lines: Sequence[str], old: Sequence[str], expected: int) -> int | None:
    """Return where most of a hunk's old lines are in ``lines``, the nearest such place.

    That is an index, or None where not one of them is there. Blanks do not count, and lines
    without a word say nothing of a place.
    """
    places: dict[str, list[int]] = {}
    for at, line in enumerate(old):
        text = "".join(line.split())
        if any(map(str.isalnum, text)) and len(places.setdefault(text, [])) < _SAME_LINES:
            places[text].append(at)
    votes: Counter[int] = Counter()
    for number, line in enumerate(lines):
        votes.update(max(number - at, 0) for at in places.get("".join(line.split()), ()))
    if not votes:
        return None
    return min(votes, key=lambda at: (-votes[at], abs(at - expected)))


def _advice(tree: Path, patch: Patch, parts: Sequence[Section], deadline: Deadline) -> str:
    options = _options(patch, parts)
    done = _git_apply(tree, (patch,), options, deadline, "--check", "--reverse")
    if done.status == 0:
        return "the tree has this change already: drop the patch from the series for this base"
    return "rebase the series onto this kernel, or give the kernel that it was made for"
