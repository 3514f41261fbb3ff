"""Questions to a local git repository.

Nothing here changes it: no ref, no index, no work tree, no state of a bisection. Revisions come
from the caller and may be anything; names of commits and trees are git's own, in hex.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Commit
from toolkit.host import process

# What would point git at another repository than the one named (git rev-parse --local-env-vars), or
# change what it writes.
_LOCAL = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_DIFF_OPTS",  # how many lines of context a diff has; no option wins over it
)
# How a file is written out must depend on the repository alone, not on whose settings these are.
_EXPORT = ("core.autocrlf=false", "core.eol=lf", "core.attributesFile=/dev/null")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ARGUMENTS = 100_000  # bytes of paths on one command line; Linux allows 2 MiB of it
TOP = "tree"  # the one folder at the top of an archive
# Patches must depend on the commits alone, not on whose settings these are.
_PATCH_SETTINGS = (
    *("format.noprefix=false", "format.mboxrd=false", "diff.noprefix=false"),
    *("diff.mnemonicPrefix=false", "diff.submodule=short", "diff.suppressBlankEmpty=false"),
)
_PATCH_OPTIONS = (
    *(
        "-O/dev/null",
        "--binary",
        "--full-index",
        "--no-ext-diff",
        "--no-textconv",
        "--find-renames",
    ),
    *("--unified=3", "--inter-hunk-context=0", "--diff-algorithm=myers", "--indent-heuristic"),
    *("--no-relative", "--filename-max-length=64"),
    *("--no-attach", "--no-thread", "--no-cover-letter", "--no-notes", "--no-signature"),
    *("--no-to", "--no-cc", "--no-add-header", "--no-from", "--no-base"),
    *("--numbered", "--suffix=.patch", "--subject-prefix=PATCH", "--quiet"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A path in which two trees differ, and its mode in each; 000000 where it is absent."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CommitRange:
    """The commits that one commit has and another one does not, but for merges."""

    base: str  # the commit that they follow; "" where they follow several
    commits: int
    merges: int  # beside those


def at_revision(text: str) -> tuple[Path, str]:
    """Return the folder and the revision that ``PATH@REVISION`` names; "" without a revision.

    Both may contain an @ (HEAD@{1}): the shortest existing folder wins.
    """
    for match in re.finditer("@", text):
        path = paths.expand(text[: match.start()])
        if path.is_dir():
            return path, text[match.end() :]
    return paths.expand(text), ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, bare or not, named by any folder in it."""

    path: Path

    def _run(
        self,
        deadline: Deadline,
        *arguments: str,
        check: bool = True,
        input: bytes | None = None,
    ) -> process.Completed:
        argv = ["git", "-C", str(self.path), *arguments]
        env = dict.fromkeys(_LOCAL)
        return process.run(argv, env=env, input=input, deadline=deadline, check=check)

    def folder(self, deadline: Deadline) -> Path:
        """Return the repository's own folder, the same one for all its work trees.

        Raises :class:`UserError` where there is no repository.
        """
        line = ("rev-parse", "--path-format=absolute", "--git-common-dir")
        done = self._run(deadline, *line, check=False)
        if done.status != 0:
            raise self._unreadable(done)
        return Path(os.path.realpath(os.fsdecode(done.stdout.rstrip(b"\n"))))

    def where_refs_are(self, deadline: Deadline) -> tuple[Path, ...]:
        """Return the files and folders that change when a branch, a tag or HEAD moves.

        Raises :class:`UserError` where there is no repository.
        """
        common = self.folder(deadline)
        line = ("rev-parse", "--path-format=absolute", "--git-dir")
        own = Path(os.fsdecode(self._run(deadline, *line).stdout.rstrip(b"\n")))
        names = (*(common / name for name in ("refs", "packed-refs", "reftable")), own / "HEAD")
        return tuple(path for path in names if path.exists())

    def _unreadable(self, done: process.Completed) -> UserError:
        lines = done.stderr.decode(errors="replace").splitlines()
        return UserError(
            f"{self.path} is no git repository that can be read",
            hint="name a folder of a repository that you may read",
            detail=lines[:5],
        )

    # --- revisions ---------------------------------------------------------------------------

    def tree_id(self, revision: str, deadline: Deadline) -> str:
        """Return the name of a revision's tree; raise :class:`UserError` when there is none."""
        return self._resolve(revision, "tree", deadline)

    def commit(self, revision: str, deadline: Deadline) -> Commit:
        """Return the commit that a revision names; raise :class:`UserError` when there is none."""
        name = self._resolve(revision, "commit", deadline)
        form = "--format=%an <%ae>%n%aI%n%s"
        done = self._run(deadline, "rev-list", "--max-count=1", "--encoding=UTF-8", form, name)
        _, author, date, subject, *_ = (*done.text.split("\n"), "", "", "")
        # git 2.45 and later write Z for an offset of zero.
        return Commit(name, author, re.sub("Z$", "+00:00", date), subject)

    def _resolve(self, revision: str, kind: str, deadline: Deadline) -> str:
        # First what it names, then what that is about: of :/TEXT, a suffix would be text, too.
        name = self._object(revision, deadline)
        if _OBJECT.fullmatch(name) and (name := self._object(f"{name}^{{{kind}}}", deadline)):
            return name
        names = self.names(deadline)
        near = difflib.get_close_matches(revision, names, n=5, cutoff=0.4) or names[-10:]
        raise UserError(
            f"{self.path} has no revision {revision!r}",
            hint=f"there is {', '.join(near)}" if near else "it has neither branch nor tag",
        )

    def _object(self, revision: str, deadline: Deadline) -> str:
        """Return the name of what a revision stands for; "" where it is none, of ^A ^NAME."""
        line = ("rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        done = self._run(deadline, *line, check=False)
        return done.text.strip() if done.status == 0 else ""

    def names(self, deadline: Deadline) -> list[str]:
        """Return the names of branches and tags; raise :class:`UserError` for no repository."""
        done = self._run(deadline, "for-each-ref", "--format=%(refname:short)", check=False)
        if done.status != 0:
            raise self._unreadable(done)
        return done.text.split()

    # --- history -----------------------------------------------------------------------------

    def merge_bases(self, one: str, others: Iterable[str], deadline: Deadline) -> list[str]:
        """Return the best ancestors that a commit has in common with a merge of all the others.

        There is none where the histories are apart.
        """
        done = self._run(deadline, "merge-base", "--all", one, *others, check=False)
        return done.text.split() if done.status == 0 else []

    def halving(self, bad: str, good: Iterable[str], deadline: Deadline) -> list[str]:
        """Return ``bad`` and its ancestors without those of ``good``.

        The commit that halves them best comes first, and ``bad`` itself last.
        """
        line = ("rev-list", "--bisect-all", bad, "--not", *good)
        return [row.split(" ", 1)[0] for row in self._run(deadline, *line).text.splitlines()]

    def commit_range(self, after: str, until: str, deadline: Deadline) -> CommitRange:
        """Return what a range of commits holds, each end a commit's name."""
        ends = f"{after}..{until}"
        line = ("rev-list", "--count", "--min-parents=2", ends)
        merges = int(self._run(deadline, *line).text)
        count = int(self._run(deadline, "rev-list", "--count", "--no-merges", ends).text)
        bases = self.merge_bases(after, [until], deadline)
        return CommitRange(bases[0] if len(bases) == 1 else "", count, merges)

    def format_patches(
        self, after: str, until: str, folder: Path, max_bytes: int, deadline: Deadline
    ) -> None:
        """Write a patch for each commit of a range into ``folder``, in order, but for merges.

        Raises :class:`UserError` when one is larger than ``max_bytes``.
        """
        settings = [word for setting in _PATCH_SETTINGS for word in ("-c", setting)]
        line = [process.find("prlimit", "util-linux"), f"--fsize={max_bytes}", "--"]
        line += ["git", "-C", str(self.path), *settings, "format-patch", *_PATCH_OPTIONS]
        line += ["-o", str(folder.absolute()), f"{after}..{until}"]
        done = process.run(line, env=dict.fromkeys(_LOCAL), deadline=deadline, check=False)
        if done.status == -signal.SIGXFSZ or b"File too large" in done.stderr:
            raise UserError(
                f"a commit of {after[:12]}..{until[:12]} is larger than {max_bytes >> 20} MiB",
                hint="give a shorter range",
            )
        if done.status != 0:
            raise self._unreadable(done)

    def versions(self, deadline: Deadline) -> list[tuple[str, str]]:
        """Return the tags of commits v1, v1.2-rc3 and the like, the highest version first.

        Each comes with the name of its commit.
        """
        form = "%(refname:short) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        line = ("-c", "versionsort.suffix=-rc", "for-each-ref", "--sort=-version:refname")
        done = self._run(deadline, *line, f"--format={form}", "refs/tags/v[0-9]*")
        found = []
        for name, *named in (row.split() for row in done.text.splitlines()):
            kind, commit = named[-2:]  # what an annotated tag is about comes last
            if kind == "commit":
                found.append((name, commit))
        return found

    def describe(self, commit: str, deadline: Deadline) -> str:
        """Return what git describe calls a commit after its nearest tag, else its short name."""
        line = ("describe", "--tags", "--always", "--abbrev=12", commit)
        return self._run(deadline, *line, check=False).text.strip() or commit[:12]

    def has_commit(self, name: str, deadline: Deadline) -> bool:
        """Return whether a commit of this name is here."""
        return bool(self._object(f"{name}^{{commit}}", deadline))

    # --- content -----------------------------------------------------------------------------

    def changes(self, before: str, after: str, deadline: Deadline) -> list[Change] | None:
        """Return the paths in which two trees differ; None where one of them is not there."""
        line = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none")
        done = self._run(deadline, *line, before, after, check=False)
        if done.status != 0:
            return None
        fields = done.stdout.split(b"\0")
        return [
            Change(os.fsdecode(path), facts[1:7].decode(), facts[8:14].decode())
            for facts, path in zip(fields[::2], fields[1::2], strict=False)
        ]

    def blobs(
        self, wanted: Iterable[tuple[str, str]], deadline: Deadline
    ) -> dict[tuple[str, str], str]:
        """Return the name of what each revision and path in ``wanted`` holds, where it is a file.

        Names of revisions are git's own; a path with a line break in it is absent.
        """
        asked = [each for each in wanted if "\n" not in each[1]]
        lines = b"".join(os.fsencode(f"{revision}:{path}\n") for revision, path in asked)
        form = "--batch-check=%(objecttype) %(objectname)"
        done = self._run(deadline, "cat-file", form, input=lines)
        answers = (line.split(" ") for line in done.text.splitlines())
        return {
            each: words[1] for each, words in zip(asked, answers, strict=True) if words[0] == "blob"
        }

    def contents(self, blobs: Sequence[str], deadline: Deadline) -> list[bytes]:
        """Return what blobs of these names hold."""
        lines = "".join(f"{name}\n" for name in blobs).encode()
        data = self._run(deadline, "cat-file", "--batch=%(objectsize)", input=lines).stdout
        found, at = [], 0
        for _ in blobs:
            size, _, _ = data[at : at + 20].partition(b"\n")
            start = at + len(size) + 1
            at = start + int(size) + 1
            found.append(data[start : at - 1])
        return found

    def attributes(self, deadline: Deadline) -> bytes:
        """Return what the repository itself, not its trees, says of how files are written out."""
        try:
            return (self.folder(deadline) / "info/attributes").read_bytes()
        except OSError:
            return b""

    def archive(
        self, tree: str, target: Path, deadline: Deadline, paths: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Yield tar archives of a tree, or of these paths in it, below a folder :data:`TOP`.

        Each is the same file ``target``, overwritten.
        """
        folder = os.fsdecode(
            self._run(deadline, "rev-parse", "--absolute-git-dir").stdout.rstrip(b"\n")
        )
        settings = [word for setting in _EXPORT for word in ("-c", setting)]
        # With --git-dir the top of the tree is meant, not the folder in it that self.path is.
        line = ["--git-dir", folder, "--literal-pathspecs", *settings, "archive", "--format=tar"]
        line += [f"--prefix={TOP}/", f"--output={target}", tree]
        for some in _portions(paths) if paths else [()]:
            self._run(deadline, *line, "--", *some)
            yield target


def _portions(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths in portions that a command line has room for."""
    portion: list[str] = []
    size = 0
    for path in paths:
        length = len(os.fsencode(path)) + 1
        if portion and size + length > _ARGUMENTS:
            yield portion
            portion, size = [], 0
        portion.append(path)
        size += length
    if portion:
        yield portion
