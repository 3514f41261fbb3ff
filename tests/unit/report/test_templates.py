from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.report import templates


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    monkeypatch.setattr(templates, "_BYTECODE", tmp_path / "cache/x.pyc")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "a.txt.j2").write_text("{{ text | twice }}\n")
    (tmp_path / "a.html.j2").write_text("{{ text | twice }}\n")
    return tmp_path


def render(name: str, text: str) -> str:
    helpers = {"twice": lambda word: word * 2}
    return templates.load(name, templates.printed, helpers).render(text=text)


def test_text_is_harmless_and_html_is_escaped_as_well(folder: Path) -> None:
    assert render("a.txt.j2", "<\x1b") == "<\\x1b<\\x1b"
    assert render("a.html.j2", "<\x1b") == "&lt;\\x1b&lt;\\x1b"


def test_a_compiled_template_is_kept_until_its_text_changes(folder: Path) -> None:
    assert render("a.txt.j2", "x") == "xx"
    (kept,) = (folder / "cache").iterdir()
    before = kept.stat().st_mtime_ns
    assert render("a.txt.j2", "y") == "yy"
    assert kept.stat().st_mtime_ns == before
    (folder / "a.txt.j2").write_text("new {{ text }}\n")
    assert render("a.txt.j2", "x") == "new x"
    kept.write_bytes(b"damaged")
    assert render("a.txt.j2", "x") == "new x"


def test_where_nothing_can_be_kept_reports_are_made_all_the_same(folder: Path) -> None:
    (folder / "cache").write_text("in the way")
    assert render("a.txt.j2", "x") == "xx"


@pytest.mark.parametrize("words", [["--help"], ["series", "list"]])
def test_commands_that_make_no_report_do_without_the_slow_imports(words: list[str]) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "toolkit", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not {"jinja2", "pydantic", "rich", "junitparser"} & imported
