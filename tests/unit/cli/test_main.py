"""The command line without QEMU: exit codes and messages, on a tree that only looks like Linux."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from toolkit.cli import open_run
from toolkit.kernel import toolchain

PROJECT = Path(__file__).parents[3]
PATCH = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A U Thor <author@example.com>
Date: Thu, 1 Jan 2026 00:00:00 +0000
Subject: [PATCH] {subject}

Why.
---
diff --git a/{path} b/{path}
--- a/{path}
+++ b/{path}
@@ -1 +1 @@
-{old}
+new
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "linux"
    (path / "virt").mkdir(parents=True)
    (path / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n")
    (path / "Kconfig").write_text("")
    (path / "virt/file.c").write_text("old\n")
    return path


def call(
    tmp_path: Path, *words: str, program: Sequence[str] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(program or [sys.executable, "-m", "toolkit"]), *words],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def series(tmp_path: Path, path: str, old: str = "old") -> Path:
    folder = tmp_path / "series"
    folder.mkdir(exist_ok=True)
    text = PATCH.format(subject="change", path=path, old=old)
    (folder / "0001-change.patch").write_text(text)
    return folder


def test_an_unknown_series_lists_what_there_is(tmp_path: Path, tree: Path) -> None:
    done = call(tmp_path, "build-and-test", "--patch", "v99", "--kernel", f"tree:{tree}")
    assert done.returncode == 2
    assert "v99" in done.stderr
    assert "iosignalfd/v4" in done.stderr


def test_a_toolchain_that_is_none_or_not_here_ends_it_before_anything_else(tmp_path: Path) -> None:
    none = call(tmp_path, "build", "--kernel", "tree:/nonexistent", "--toolchain", "icc")
    assert none.returncode == 2
    assert "'icc' is no toolchain" in none.stderr
    flags = call(tmp_path, "build", "--kernel", "tree:/nonexistent", "--kcflags", "-O3;ls")
    assert flags.returncode == 2
    assert "'-O3;ls' is no flag" in flags.stderr
    absent = call(tmp_path, "build", "--kernel", "tree:/nonexistent", "--toolchain", "clang-999")
    assert absent.returncode == 3
    assert "apt-get install clang-999 lld-999 llvm-999" in absent.stderr
    words = ("build-and-test", "--patch", "v4", "--coverage", "--toolchain")
    counted = call(tmp_path, *words, "clang", PATH=f"{llvm(tmp_path)}:{os.environ['PATH']}")
    assert counted.returncode == 2
    assert "--coverage needs gcc" in counted.stderr


def llvm(tmp_path: Path) -> Path:
    """Return a folder with programs called as LLVM's are."""
    folder = tmp_path / "llvm"
    folder.mkdir()
    for name in toolchain.CLANG.programs:
        (folder / name).write_text("#!/bin/sh\necho 14\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_patch_that_does_not_apply_is_shown_with_its_hunk(tmp_path: Path, tree: Path) -> None:
    folder = series(tmp_path, "virt/file.c", old="something else")
    done = call(tmp_path, "build-and-test", "--patch", str(folder), "--kernel", f"tree:{tree}")
    assert done.returncode == 2
    for words in ("0001-change.patch", "virt/file.c", "-something else"):
        assert words in done.stderr


@pytest.mark.parametrize("path", ["../outside.c", "virt/../../outside.c", ".git/config"])
def test_a_patch_that_leaves_the_tree_is_refused(tmp_path: Path, tree: Path, path: str) -> None:
    (tmp_path / "outside.c").write_text("old\n")
    folder = series(tmp_path, path)
    done = call(tmp_path, "build-and-test", "--patch", str(folder), "--kernel", f"tree:{tree}")
    assert done.returncode == 2
    assert "0001-change.patch" in done.stderr
    assert (tmp_path / "outside.c").read_text() == "old\n"


def test_a_run_that_fails_early_still_leaves_its_result(tmp_path: Path, tree: Path) -> None:
    words = ("build-and-test", "--patch", "v99", "--kernel", f"tree:{tree}", "--run-dir", "run")
    assert call(tmp_path, *words).returncode == 2
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["verdict"], result["exit_code"]) == ("user-error", 2)
    assert result["command"][:2] == ["toolkit", "build-and-test"]
    assert "--run-dir" not in result["command"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build-and-test", "--kernel", "nonsense"), "nonsense"),
        (("build-and-test", "--no-such-option"), "no-such-option"),
        (("build-and-test", "--accel", "xen"), "xen"),
        (("build-and-test", "--profile", "missing.config"), "missing.config"),
        (("build-and-test", "--config", "defconfg"), "did you mean defconfig?"),
        (("build-and-test", "--config", "/dev/null"), "is no kernel configuration"),
        (("build-and-test", "--kconfig", "KVM=y"), "not a configuration option: 'KVM=y'"),
        (("build-and-test", "--coverage"), "name one with --patch"),
        (("build-and-test", "--coverage-fail-under", "101"), "coverage-fail-under"),
        (("build-and-test", "-p", "v4", "--coverage", "--each"), "run one after the other"),
        (("build-and-test", "-p", "v4", "--coverage-fail-under", "nan"), "is no number"),
        (("build-and-test", "--env", "1A=b"), "is not NAME=VALUE"),
        (("build-and-test", "--env", "A"), "is not NAME=VALUE"),
        (("build-and-test", "--timeout-factor", "0"), "timeout-factor"),
        (("build-and-test", "--deadline", "inf"), "deadline"),
        (("no-such-command",), "no-such-command"),
        (("cache", "prune", "--keep-within", "lots"), "lots"),
        (("series", "show", "v99"), "v99"),
        (("--root", "/", "series", "list"), "no checkout of the toolkit"),
    ],
)
def test_what_the_caller_got_wrong_is_told(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = call(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_the_hosts_fault(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    done = call(tmp_path, "fetch", "--kernel", f"tree:{tree}")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("b4-check series <&-", 0),  # and its answer says what is wrong
        ("series show v99 2>/dev/full", 3),
        ("series list >/dev/full", 3),
        ("series list >&- 2>&-", 0),
        ("series show v99 <&- >&- 2>&-", 2),
        ("fetch --kernel tree:~nobody-here/linux", 2),
    ],
)
def test_no_standard_stream_makes_it_the_kernels_fault(
    tmp_path: Path, line: str, code: int
) -> None:
    command = shlex.join([sys.executable, "-m", "toolkit"])
    shell = ["/bin/sh", "-c", f"{command} {line}"]
    # Buffered, as it is unless the caller asks otherwise.
    done = call(tmp_path, program=shell, PYTHONUNBUFFERED="")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_make_cannot_work_in_is_refused_at_once(tmp_path: Path, tree: Path) -> None:
    words = ("build-and-test", "--kernel", f"tree:{tree}", "--suite", "kvm")
    done = call(tmp_path, *words, XDG_CACHE_HOME=str(tmp_path / "my cache"))
    assert done.returncode == 2
    assert "set XDG_CACHE_HOME" in done.stderr
    assert not (tmp_path / "my cache").exists()


def test_a_temporary_folder_too_deep_for_qemu_is_refused_at_once(
    tmp_path: Path, tree: Path
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    words = ("build-and-test", "--kernel", f"tree:{tree}", "--suite", "kvm")
    done = call(tmp_path, *words, TMPDIR=str(deep))
    assert done.returncode == 2
    assert "set TMPDIR" in done.stderr
    assert not (tmp_path / "cache").exists()
    # What starts no machine has no need of a socket.
    assert call(tmp_path, "fetch", "--kernel", f"tree:{tree}", TMPDIR=str(deep)).returncode == 0


def test_series_list_and_show(tmp_path: Path) -> None:
    assert "iosignalfd/v4" in call(tmp_path, "series", "list").stdout
    shown = call(tmp_path, "series", "show", "v4").stdout
    assert shown.startswith("iosignalfd/v4: ")
    assert "0001-" in shown


def test_fetch_prints_where_the_source_lies(tmp_path: Path, tree: Path) -> None:
    done = call(tmp_path, "fetch", "--kernel", f"tree:{tree}")
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "virt/file.c").read_text() == "old\n"
    listing = call(tmp_path, "cache", "list").stdout
    assert "source/" in listing
    freed = call(tmp_path, "cache", "prune", "--keep-within", "0").stdout
    assert "removed source/" in freed
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tmp_path: Path, shell: str) -> None:
    assert "_TOOLKIT_COMPLETE" in call(tmp_path, "completion", shell).stdout


def test_completion_knows_the_series(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "toolkit build-and-test --patch v", "COMP_CWORD": "3"}
    done = call(tmp_path, **words, _TOOLKIT_COMPLETE="bash_complete")
    assert "plain,v4" in done.stdout.splitlines()


def test_every_command_has_help(tmp_path: Path) -> None:
    for words in (("build-and-test",), ("series", "check"), ("shell",), ("doctor",)):
        done = call(tmp_path, *words, "--help")
        assert done.returncode == 0
        assert "Usage: toolkit" in done.stdout
    assert "Examples:" in call(tmp_path, "build-and-test", "--help").stdout


def test_the_repeatable_command_leaves_out_its_folder() -> None:
    argv = ["/x/toolkit", "test", "--run-dir", "a", "-p", "v4", "--run-dir=b"]
    assert open_run.repeatable(argv) == ("toolkit", "test", "-p", "v4")


def test_what_a_watch_saw_is_repeated_once() -> None:
    words = ("toolkit", "--root", "r", "watch", "-p", "watch", "--all", "--slow")
    assert open_run.once(words) == (
        "toolkit",
        "--root",
        "r",
        "build-and-test",
        "-p",
        "watch",
        "--slow",
    )
