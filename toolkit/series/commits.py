"""Takes a series from the commits of a local repository, as `git format-patch` writes them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.text import counted
from toolkit.host.git import Repository
from toolkit.series.gitmail import MailFile
from toolkit.series.place import Commits
from toolkit.series.scratch import MAX_BYTES, MAX_MAILS

HEAD = "HEAD"
# What git format-patch puts between a commit's message and its diff.
_DIFFSTAT = re.compile(rb"^---\n(?: .*\n)+\n?(?=diff --git )", re.MULTILINE)
# What git mailinfo takes for the beginning of a diff (mailinfo.c, patchbreak()), in a message.
_LIKE_A_DIFF = re.compile(rb"(?<=\n)(?=diff -|Index: |--- \S)")


def read(commits: Commits, deadline: Deadline) -> tuple[list[MailFile], str, tuple[str, ...]]:
    """Return the patches of a range, the commit that they follow ("" for several), and notices.

    Raises :class:`UserError` where there is no such range, or where it is too large.
    """
    if not commits.path.is_dir():
        raise UserError(f"there is no folder {commits.path}", hint="write git:PATH@A..B")
    repository = Repository(commits.path)
    after = repository.commit(commits.after or HEAD, deadline).id
    until = repository.commit(commits.until or HEAD, deadline).id
    held = repository.commit_range(after, until, deadline)
    if not held.commits:
        merged = " but merges" if held.merges else ""
        raise UserError(
            f"{commits.name} holds no commit{merged}",
            hint="write git:PATH@A..B for what B has and A does not",
        )
    if held.commits > MAX_MAILS:
        raise UserError(
            f"{commits.name} holds {held.commits} commits, and {MAX_MAILS} is the most that is "
            "taken",
            hint="give a shorter range",
        )
    with tempfile.TemporaryDirectory(prefix="toolkit-commits-") as name:
        folder = Path(name)
        repository.format_patches(after, until, folder, MAX_BYTES, deadline)
        files, size = [], 0
        for path in sorted(folder.iterdir()):
            size += path.stat().st_size
            if size > MAX_BYTES:
                raise UserError(
                    f"{commits.name} is larger than {MAX_BYTES >> 20} MiB",
                    hint="give a shorter range",
                )
            if data := path.read_bytes():  # git writes nothing of a commit without a change
                files.append(MailFile(path.name, _quoted(data), raw=True, keep_cr=True))
    if not files:
        raise UserError(
            f"no commit of {commits.name} changes a file",
            hint="write git:PATH@A..B for what B has and A does not",
        )
    left_out = (
        (held.merges, "merge", "merges"),
        (held.commits - len(files), "commit without a change", "commits without a change"),
    )
    notices = [f"left out: {counted(*each)} of {commits.name}" for each in left_out if each[0]]
    return files, held.base, tuple(notices)


def _quoted(patch: bytes) -> bytes:
    """Return a commit as a patch in whose message no line begins a diff.

    git am would apply what a message quotes, too, as would `git rebase --apply`.
    """
    diffstat = _DIFFSTAT.search(patch)
    if diffstat is None:
        return patch
    message, diff = patch[: diffstat.start()], patch[diffstat.start() :]
    return _LIKE_A_DIFF.sub(b" ", message) + diff
