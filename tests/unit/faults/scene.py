"""A host, a tree, a cache and a saved build that a fault can be put into, without QEMU.

The command line, make, the compiler, git and the sandbox are real. The kernel is one C file with
a Makefile that has the targets the toolkit asks for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fault_table import wait_until
from tests.unit.fake_tree import make_tree
from tests.unit.kernel.test_kbuild import MAKEFILE
from tests.vm.conftest import PROJECT, Ended, Started, Toolkit
from toolkit.core import paths
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import GuestImage
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.host.cache import Cache
from toolkit.report import history
from toolkit.workflow import saved_build
from toolkit.workflow.saved_build import Bundle

PATIENCE = 60.0  # seconds for a run that takes one
CODE = "code.c"
# The compiler is a real one here, and the source may say that the build takes for ever.
_FAKE_COMPILER = "\t@cat code.c; grep -q broken code.c"
_PATCH = """From {sha} Mon Sep 17 00:00:00 2001
From: A U Thor <author@example.com>
Date: Thu, 1 Jan 2026 00:00:00 +0000
Subject: [PATCH] change a thing

Why.
---
{diff}"""
_DIFF = """diff --git a/{path} b/{path}
--- a/{path}
+++ b/{path}
@@ -1 +1 @@
-{old}
+{new}
"""


def _makefile() -> str:
    lines = [
        "\tgcc -c -o $(O)/built.o code.c" if line.startswith(_FAKE_COMPILER) else line
        for line in MAKEFILE.splitlines()
    ]
    assert len([line for line in lines if "built.o" in line]) == 1
    return "\n".join(lines) + "\n"


class Scene:
    """The folders of one fault, and how the toolkit is called in them."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp = tmp_path
        self.toolkit = Toolkit(tmp_path)
        self._digits = f"000{int(self.toolkit.mark, 16)}"
        self.cache = tmp_path / "cache"
        self.files = {CODE: "int code;\n", "kvm.c": "kvm\n", "shared.h": "shared\n"}
        self.tree = make_tree(tmp_path / "linux", Makefile=_makefile(), **self.files)

    # --- what is asked of the toolkit --------------------------------------------------

    def start(
        self,
        *words: str,
        command: str = "build-and-test",
        tree: Path | None = None,
        wrapper: Sequence[str] = (),
        **env: str,
    ) -> Started:
        """Start a run of the tree; ``wrapper`` and ``env`` are as :class:`Toolkit` has them."""
        given: dict[str, Any] = {"XDG_CACHE_HOME": str(self.cache), **env}
        source = ("--kernel", f"tree:{tree or self.tree}")
        return self.toolkit.start(command, *source, *words, wrapper=wrapper, **given)

    def run(self, *words: str, **more: Any) -> Ended:
        """Do the same, and wait for its end."""
        return self.start(*words, **more).finish(PATIENCE)

    def within(self, shell: str, *words: str, **env: Any) -> Ended:
        """Run it from a shell, where "$@" in ``shell`` is the command."""
        return self.start(*words, wrapper=["/bin/sh", "-c", shell, "sh"], **env).finish(PATIENCE)

    def series(
        self, new: str = "", old: str = "int code;", path: str = CODE, *, diff: str = ""
    ) -> Path:
        """Return the folder of a series of one patch, by default one that replaces a line."""
        folder = self.tmp / "series"
        folder.mkdir(exist_ok=True)
        text = diff or _DIFF.format(path=path, old=old, new=new)
        (folder / "0001-change.patch").write_text(_PATCH.format(sha="0" * 40, diff=text))
        return folder

    def manifest(self, text: str | bytes) -> Ended:
        """Run a series whose ``series.yaml`` is ``text``."""
        folder = self.series("int changed;")
        data = text.encode() if isinstance(text, str) else text
        (folder / "series.yaml").write_bytes(data)
        (folder / "6.12").mkdir()
        (folder / "0001-change.patch").rename(folder / "6.12/0001-change.patch")
        return self.run("--patch", str(folder))

    def saved(self, qemu: str) -> Ended:
        """Test a saved build with the shell script ``qemu`` in QEMU's place."""
        binary = self.tmp / "bin/qemu-system-x86_64"
        binary.parent.mkdir()
        binary.write_text(f"#!/bin/sh\n{qemu}\n")
        binary.chmod(0o755)
        path = f"{binary.parent}:{os.environ['PATH']}"
        return self.test_saved(PATH=path)

    def test_saved(self, *words: str, **env: str) -> Ended:
        """Test a saved build; nothing in it would boot."""
        folder = self.tmp / "saved"
        self._save(folder)
        given: dict[str, Any] = {"XDG_CACHE_HOME": str(self.cache), **env}
        words = ("test", "--from", str(folder), "--accel", "tcg", *words)
        return self.toolkit.start(*words, **given).finish(PATIENCE)

    def _save(self, folder: Path) -> None:
        parts = self.tmp / "parts"
        for name in ("build/kernel", "build/config", "image/initrd", "suite/a_test"):
            (parts / name).parent.mkdir(parents=True, exist_ok=True)
            (parts / name).write_text(name)
        build = parts / "build"
        (build / "headers").mkdir()
        kernel = KernelBuild(
            path=build,
            key="key",
            release="6.12.1",
            image=build / "kernel",
            image_digest="digest",
            modules=None,
            headers=build / "headers",
            config=build / "config",
        )
        image = GuestImage(
            "minimal", "key", parts / "image/initrd", None, (), 256, 1, "q35", (), "dropbear"
        )
        suite = BuiltSuite("one", parts / "suite", (TestProgram("one", "a_test", 60.0),))
        base = KernelBase("tree:fake", "6.12.1", parts, "key")
        saved_build.save(Bundle(kernel, image, (suite,), base, None), folder)

    # --- the host ----------------------------------------------------------------------

    def path_without(self, *missing: str) -> str:
        """Return a PATH with all programs of the host but some, and empty administrator's ones."""
        folder = self.tmp / "programs"
        folder.mkdir()
        for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for program in Path(place).glob("*"):
                link = folder / program.name
                if program.name not in missing and not link.is_symlink():
                    link.symlink_to(program)
        return str(folder)

    def patched(self, code: str) -> str:
        """Return a PYTHONPATH with which the toolkit runs ``code`` before anything else."""
        site = self.tmp / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(code)
        return f"{site}:{PROJECT}"

    def mounted(self, options: str, folder: Path, *words: str, **env: Any) -> Ended:
        """Run with a file system in memory at ``folder`` that has these mount options."""
        folder.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["-Ur"])]
        wrapper = [*unshare, "/bin/sh", "-c", f'mount -t tmpfs -o {options} none {folder} && "$@"']
        if subprocess.run([*wrapper, "sh", "true"], capture_output=True, check=False).returncode:
            pytest.skip("this host lets nobody mount a file system of his own here")
        return self.start(*words, wrapper=[*wrapper, "sh"], **env).finish(PATIENCE)

    def endless(self, stage: str) -> Path:
        """Return a tree whose ``stage``, configure or build, does not end."""
        tree = shutil.copytree(self.tree, self.tmp / "endless", symlinks=True)
        target = {"configure": "tinyconfig:\n", "build": "vmlinux modules headers:\n"}[stage]
        makefile = tree / "Makefile"
        makefile.write_text(makefile.read_text().replace(target, f"{target}\t@{self.sleep(61)}\n"))
        return tree

    def slow(self, seconds: int) -> None:
        """Let the build of the tree take so much longer."""
        makefile = self.tree / "Makefile"
        text = makefile.read_text()
        makefile.write_text(text.replace("\tgcc -c", f"\t{self.sleep(seconds)}; gcc -c"))

    def sleep(self, seconds: int) -> str:
        """Return a command that sleeps, and is this scene's own."""
        return f"sleep {seconds}.{self._digits}"

    def processes(self, name: str = "") -> list[int]:
        """Return the scene's processes that still run; ``name``: only those called so.

        What make runs is confined and does not have the caller's environment: it is told by the
        words of its command line.
        """
        own = set(self.toolkit.processes(name))
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_text(errors="replace")
                called = (entry / "comm").read_text()
                if (str(self.tmp) in line or self._digits in line) and name in called:
                    own.add(int(entry.name))
        return sorted(own)

    def signalled(self, stage: str, number: signal.Signals) -> Ended:
        """Run until make works for ``stage``, and then send the toolkit a signal."""
        started = self.start(tree=self.endless(stage))
        wait_until(lambda: self.processes("sleep"), f"no make in {stage}")
        started.process.send_signal(number)
        return started.finish(PATIENCE)

    # --- what must be true afterwards ----------------------------------------------------

    def check_nothing_runs(self) -> None:
        """Fail if a process of this scene still runs in a few seconds."""
        wait_until(lambda: not self.processes(), "processes are left")

    def check_sound(self) -> None:
        """Fail if an entry of the cache is damaged, or the history cannot be read."""
        root = self.cache / paths.APP
        if root.is_dir():
            store = Cache(root)
            for seal in root.glob("*/*/.sealed.json"):
                assert store.find(seal.parent.parent.name, seal.parent.name), seal
        database = self.tmp / "state" / paths.APP / "history.sqlite"
        if database.exists():
            history.last_runs(database, ["one/a_test"])

    def check_next_run(self) -> None:
        """Fail if the next run, with the same folders and without the fault, is not good."""
        ended = self.run(command="build")
        assert ended.code == 0, ended
        assert (Path(ended.out.strip().splitlines()[-1]) / "kernel").exists(), ended

    def kill_left(self) -> None:
        """End what a failed test left."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
