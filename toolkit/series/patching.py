"""Applies a series to a base, in memory: no tree is touched.

The files that the patches name are copied into a scratch folder, git applies the patches
there, one after the other, and what comes out is collected.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree, PatchSeries
from toolkit.formats import patchfile
from toolkit.formats.patchfile import Hunk, Section
from toolkit.host import process
from toolkit.host.cache import digest

HUNK_LINES = 30  # how much of a rejected hunk an error shows

_FAILED = re.compile(r"^error: patch failed: (?P<path>.+):(?P<start>\d+)$", re.MULTILINE)


def apply(base: KernelBase, series: PatchSeries | None, deadline: Deadline) -> PatchedTree:
    """Return ``base`` with ``series`` applied; None is the base as it is.

    Patches apply in order and without fuzz; that lines moved up or down is allowed, as it is
    for git-am. Raises :class:`UserError`, naming patch, file and hunk, for a patch that does not
    apply or that would touch anything but plain files inside the tree.
    """
    files: Mapping[str, PatchedFile] = {}
    if series is not None:
        plan = [(patch, patchfile.sections(patch)) for patch in series.patches]
        named = sorted({path for _, parts in plan for part in parts for path in part.paths})
        with tempfile.TemporaryDirectory(prefix="toolkit-patch-") as name:
            scratch = Path(name).resolve() / "tree"
            scratch.mkdir()
            present = _copy_in(base.path, scratch, plan)
            for patch, parts in plan:
                _apply_one(scratch, patch, parts, deadline)
            files = _collect(base.path, scratch, named, present)
    return PatchedTree(base, series, files, _key(base, files))


def _key(base: KernelBase, files: Mapping[str, PatchedFile]) -> str:
    contents = {
        path: None
        if file.content is None
        else [hashlib.sha256(file.content).hexdigest(), file.executable]
        for path, file in files.items()
    }
    return digest("tree", base.key, contents)


# --- the scratch folder ------------------------------------------------------------------


def _copy_in(tree: Path, scratch: Path, plan: list[tuple[Patch, list[Section]]]) -> set[str]:
    """Copy every file that a patch names and that exists; return their paths.

    Files that stand where a patch wants a folder come too, so that git sees the clash.
    """
    present: set[str] = set()
    for patch, parts in plan:
        for part in parts:
            for path in part.paths:
                steps = path.split("/")
                for depth in range(1, len(steps) + 1):
                    inner = "/".join(steps[:depth])
                    if inner not in present and _check(tree / inner, inner, patch, part, path):
                        (scratch / inner).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(tree / inner, scratch / inner)
                        present.add(inner)
    return present


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


def _collect(
    tree: Path, scratch: Path, named: list[str], present: set[str]
) -> dict[str, PatchedFile]:
    """Return the files that differ from the tree, by path."""
    found: dict[str, PatchedFile] = {}
    for path in named:
        file = scratch / path
        if not file.is_file():
            if path in present:
                found[path] = PatchedFile(None)
            continue
        result = _read(file)
        if path not in present or result != _read(tree / path):
            found[path] = result
    return found


def _read(file: Path) -> PatchedFile:
    return PatchedFile(file.read_bytes(), bool(file.stat().st_mode & stat.S_IXUSR))


# --- git ---------------------------------------------------------------------------------


def isolated(folder: Path) -> dict[str, str | None]:
    """Return the environment in which git sees no repository, no settings and no hooks."""
    inherited = [name for name in os.environ if name.startswith("GIT_")]
    return {
        **dict.fromkeys(inherited),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        "HOME": str(folder.parent),
        "XDG_CONFIG_HOME": str(folder.parent),
    }


def _git_apply(scratch: Path, patch: Patch, deadline: Deadline, *options: str) -> process.Completed:
    # Whitespace is checkpatch's affair; git must neither complain about it nor mend it.
    argv = ["git", "apply", "-p1", "--whitespace=nowarn", *options, "-"]
    return process.run(
        argv,
        cwd=scratch,
        env=isolated(scratch),
        input=patch.content,
        deadline=deadline,
        check=False,
    )


def _apply_one(scratch: Path, patch: Patch, parts: list[Section], deadline: Deadline) -> None:
    done = _git_apply(scratch, patch, deadline, "--numstat", "-z", "--apply")
    if done.status != 0:
        raise _rejected(scratch, patch, parts, done.stderr.decode(errors="replace"), deadline)
    # What git says it touched must be what was checked before.
    touched = {entry.split(b"\t")[2] for entry in done.stdout.split(b"\0") if entry}
    known = {path for part in parts for path in part.paths}
    hidden = touched - {path.encode() for path in known}
    hidden |= {path.encode() for path in known if (scratch / path).is_symlink()}
    if hidden:
        raise UserError(f"{patch.name} touches {sorted(hidden)!r} in a hidden way: refused")


def _rejected(
    scratch: Path, patch: Patch, parts: list[Section], message: str, deadline: Deadline
) -> UserError:
    """Return the error that shows which hunk of ``patch`` does not fit, and why."""
    said = [line.removeprefix("error: ") for line in message.splitlines()]
    match = _FAILED.search(message)
    if match is None:
        what = f"{patch.name} does not apply: {said[0] if said else 'git gives no reason'}"
        return UserError(what, hint=_advice(scratch, patch, deadline), detail=said[1:])
    path, start = match["path"], int(match["start"])
    hunks = [hunk for part in parts if path in part.paths for hunk in part.hunks]
    hunk = next((hunk for hunk in hunks if hunk.start == start), None)
    place = f":{hunk.line}" if hunk else ""
    what = f"{patch.name}{place} does not apply: hunk at line {start} of {path}"
    detail = [*said, *(_show(scratch / path, path, hunk) if hunk else [])]
    return UserError(what, hint=_advice(scratch, patch, deadline), detail=detail)


def _show(file: Path, path: str, hunk: Hunk) -> list[str]:
    """Return the rejected hunk, and beside it what the file has in that place."""
    wanted = [line.decode(errors="replace") for line in hunk.text[:HUNK_LINES]]
    lines = file.read_bytes().decode(errors="replace").split("\n") if file.is_file() else []
    old = sum(line[:1] in (b" ", b"-", b"") for line in hunk.text[1:])
    first = max(hunk.start - 1, 0)
    here = lines[first : first + min(old, HUNK_LINES)]
    there = [f"{first + number:6} {line}" for number, line in enumerate(here, 1)]
    return [
        "the hunk:",
        *(f"    {line}" for line in wanted),
        f"{path} has there:",
        *(there or ["    nothing: the file ends before"]),
    ]


def _advice(scratch: Path, patch: Patch, deadline: Deadline) -> str:
    if _git_apply(scratch, patch, deadline, "--check", "--reverse").status == 0:
        return "the tree has this change already: drop the patch from the series for this base"
    return "rebase the series onto this kernel, or give the kernel that it was made for"
