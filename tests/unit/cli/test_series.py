"""`toolkit series` and `--patch` as they are called, on threads and folders made here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.fake_tree import create, edit, mail, make_base
from tests.unit.series.mails import Posted, posting, reply
from toolkit.cli import main
from toolkit.core import paths
from toolkit.workflow import series_check, watch

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "checkout"
    for name in ("patches", "kselftests", "vm-images"):
        (root / name).mkdir(parents=True)
    return root


def call(root: Path, *words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main.cli, ["--root", str(root), *words], input=stdin)


def thread(tmp_path: Path) -> Path:
    cover, first = posting(1)
    again, patch = posting(1, "PATCH v2")
    patch.text = "newer\n"
    given = reply(patch, "Reviewed-by: Bob Example <bob@example.org>\n")
    box = tmp_path / "thread.mbox"
    box.write_bytes(b"".join(each.mail() for each in (cover, first, again, patch, given)))
    return box


def test_show_says_what_a_thread_holds(root: Path, tmp_path: Path) -> None:
    done = call(root, "series", "show", str(thread(tmp_path)))
    assert done.output.splitlines()[:2] == [
        "thread: all of it",
        "  0001-step-1.patch: step 1",
    ]
    assert "in a reply, for patch 1: Reviewed-by: Bob Example <bob@example.org>" in done.output
    old = call(root, "series", "show", "--version", "1", str(thread(tmp_path)))
    assert "Reviewed-by" not in old.output
    missing = call(root, "series", "show", "--version", "3", str(thread(tmp_path)))
    assert "holds no version 3" in str(missing.exception)


def test_show_takes_standard_input_and_prints_nothing_raw(root: Path) -> None:
    done = call(root, "series", "show", "-", stdin=mail(edit("a"), "[PATCH] a\x1b[2Jb\u202e"))
    assert "a\\x1b[2Jb\\u202e" in done.output
    assert "\x1b" not in done.output


def test_list_prints_nothing_raw(root: Path) -> None:
    folder = root / "patches/t/v1"
    folder.mkdir(parents=True)
    (folder / "series.yaml").write_text('title: "a\\e[2Jb"\nbases: {"6.12": }\n')
    done = call(root, "series", "list")
    assert "a\\x1b[2Jb" in done.output
    assert "\x1b" not in done.output


def test_import_adds_trailers_only_when_asked(root: Path, tmp_path: Path) -> None:
    box = str(thread(tmp_path))
    done = call(root, "series", "import", box, "--name", "t/v2", "--suite", "kvm")
    assert done.exit_code == 0
    assert "in a reply, for patch 1: Reviewed-by: Bob" in done.output
    assert "toolkit fetch -k debian:6.12 gets the source" in done.output
    (patch,) = (root / "patches/t/v2/6.12").glob("0001-*")
    assert b"Reviewed-by" not in patch.read_bytes()
    done = call(root, "series", "import", box, "--name", "t/v3", "--trailers")
    (patch,) = (root / "patches/t/v3/6.12").glob("0001-*")
    assert b"Why.\n\nReviewed-by: Bob Example <bob@example.org>\n---\n" in patch.read_bytes()
    assert "it names no suite" in done.output


def cached(root: Path) -> None:
    """Have a kernel's source in the cache."""
    entry = paths.resolve(root).cache / "source/key"
    make_base(entry / "tree", **{"tools/testing/selftests/timers/Makefile": ""})
    (entry / "release").write_text("6.12.117")


def test_import_says_whether_it_applies_and_names_the_suites_it_touches(
    root: Path, tmp_path: Path
) -> None:
    cached(root)
    test = Posted("[PATCH] a test", "tools/testing/selftests/timers/new.c")
    (tmp_path / "a.mbox").write_bytes(test.mail())
    done = call(root, "series", "import", str(tmp_path / "a.mbox"))
    assert "it applies to Linux 6.12.117" in done.output
    assert "suites:\n  upstream:timers" in done.output
    (tmp_path / "b.mbox").write_bytes(mail(edit("virt/none.c"), "[PATCH] b"))
    done = call(root, "series", "import", str(tmp_path / "b.mbox"))
    assert done.exit_code == 0
    assert "it does not apply to Linux 6.12.117: 0001-b.patch does not apply" in done.output


def test_a_base_that_is_not_there_is_not_tried(root: Path) -> None:
    cached(root)
    assert series_check._cached_base("6.1", paths.resolve(root).cache) is None
    base = series_check._cached_base("6.12", paths.resolve(root).cache)
    assert base is not None
    assert base.release == "6.12.117"


def test_what_a_quilt_series_lists_is_watched(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "debian/patches"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.patch").write_text(create("a.c"))
    (folder / "series").write_text("sub/a.patch\n")
    own = paths.resolve(root)
    for place in (folder, folder / "series"):
        assert watch.places(own, str(place), "debian:6.12", ())[3:] == [folder]
    assert watch.places(own, "-", "debian:6.12", ())[3:] == []


def test_b4_gets_the_version_of_its_message_out_of_the_thread(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    box = thread(tmp_path)
    kernel = tmp_path / "linux"
    make_base(kernel)
    message = box.read_bytes().split(b"From mboxrd@z")[1].partition(b"\n")[2]
    words = ("b4-check", "series", "--mbox", str(box), "--kernel", f"tree:{kernel}",
             "--run-dir", str(tmp_path / "run"), "--suite", "none")  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["toolkit", *words])
    done = call(root, *words, stdin=message)
    (answer,) = json.loads(done.stdout)
    assert "there is no suite 'none'" in answer["summary"]
    (kept,) = (tmp_path / "run").glob("*.mbox")
    assert kept.name == "all-of-it-v1.mbox"
    assert b"newer" not in kept.read_bytes()
