"""A kernel tree of a few small files, patches for it, and hostile ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchSeries
from toolkit.host.cache import digest

MAKEFILE = """# SPDX-License-Identifier: GPL-2.0
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 117
EXTRAVERSION =
NAME = Fake
"""
FILES = {
    "Makefile": MAKEFILE,
    ".gitignore": "/*\n",
    "Kconfig": "mainmenu x\n",
    "virt/kvm/eventfd.c": "".join(f"line {number}\n" for number in range(1, 61)),
    "virt/kvm/Makefile.kvm": "obj-y += eventfd.o\n",
    "scripts/tool.sh": "#!/bin/sh\necho tool\n",
    "include/linux/a.h": "#define A 1\n",
}


def make_tree(root: Path, **more: str) -> Path:
    """Write the tree below ``root``, which is made."""
    for path, text in {**FILES, **more}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "scripts/tool.sh").chmod(0o755)
    (root / "scripts/include").symlink_to("../include")
    return root


def make_base(root: Path, **more: str) -> KernelBase:
    """Return a base over the tree at ``root``, which is made, with ``more`` files."""
    return KernelBase("tree:fake", "6.12.117", make_tree(root, **more), digest("fake"))


def soon() -> Deadline:
    """Return a deadline that no healthy test reaches."""
    return Deadline.after(180)


def mail(diff: str | bytes, subject: str = "[PATCH] kvm: change a thing", extra: str = "") -> bytes:
    """Return ``diff`` as git format-patch would mail it."""
    body = diff.encode() if isinstance(diff, str) else diff
    head = (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: A Hacker <a@example.org>\n"
        f"Date: Wed, 27 May 2009 12:00:00 +0000\nSubject: {subject}\n{extra}\nWhy.\n\n---\n\n"
    )
    return head.encode() + body + b"-- \n2.39.5\n\n"


def edit(path: str, line: int = 10, text: str = "changed") -> str:
    """Return a diff that replaces one line of a file that has ``line N`` lines."""
    before, after = range(line - 3, line), range(line + 1, line + 4)
    return (
        f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n"
        f"--- a/{path}\n+++ b/{path}\n@@ -{line - 3},7 +{line - 3},7 @@\n"
        + "".join(f" line {number}\n" for number in before)
        + f"-line {line}\n+{text}\n"
        + "".join(f" line {number}\n" for number in after)
    )


def create(path: str, text: str = "new\n", mode: str = "100644") -> str:
    """Return a diff that adds a file."""
    lines = text.splitlines()
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..2222222\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
        + "".join(f"+{line}\n" for line in lines)
    )


def series(*patches: bytes | str, name: str = "topic/v1") -> PatchSeries:
    """Return a series of patches, given as mails or as diffs."""
    mails = [text if isinstance(text, bytes) else mail(text) for text in patches]
    numbered = [
        Patch(f"{number:04}-x.patch", "x", content) for number, content in enumerate(mails, 1)
    ]
    return PatchSeries(name, "Title", "6.12", tuple(numbered))


def git(folder: Path, *arguments: str) -> bytes:
    """Run git in ``folder`` without anybody's settings, and return what it prints."""
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.hooksPath=")
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=folder, check=True, capture_output=True
    )
    return done.stdout


def linked_checkouts(repository: Path, folder: Path, old: str, new: str) -> dict[str, str]:
    """Make a worktree, a shallow clone and a submodule of ``repository`` below ``folder``.

    Returns which revision each is at, by its path there: the worktree at ``old``, the shallow clone
    at ``new``, and the submodule at HEAD, which must be ``new`` as well.
    """
    git(repository, "worktree", "add", "-q", str(folder / "worktree"), old)
    git(folder, "clone", "-q", "--depth=1", "-b", new, f"file://{repository}", "shallow")
    whole = folder / "whole"
    whole.mkdir()
    git(whole, "init", "-q")
    add_submodule(whole, repository)
    return {"worktree": old, "shallow": new, "whole/sub": new}


def add_submodule(whole: Path, repository: Path) -> None:
    """Make ``repository`` the submodule ``sub`` of the repository ``whole``."""
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "-f")
    git(whole, *words, str(repository), "sub")
