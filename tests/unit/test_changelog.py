"""What a release is cut from: fragments of known kinds, a version, the changelog's sections."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

import toolkit
from toolkit.cli import main

PROJECT = Path(__file__).parents[2]
FRAGMENT = re.compile(r"\+[a-z0-9-]+\.(?P<kind>[a-z]+)\.md")
SECTION = re.compile(r"## (\S+) \(\d{4}-\d\d-\d\d\)", re.MULTILINE)


def fragments() -> list[Path]:
    folder = PROJECT / "changelog.d"
    return sorted(path for path in folder.iterdir() if path.name != ".gitignore")


def test_each_fragment_has_a_known_kind_and_something_to_say() -> None:
    config = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in config["type"]}
    for path in fragments():
        match = FRAGMENT.fullmatch(path.name)
        assert match, f"{path.name} is not of the form +SLUG.KIND.md"
        assert match["kind"] in kinds, f"{path.name}: the kinds are {kinds}"
        assert path.read_text().strip(), f"{path.name} is empty"


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_the_version_is_the_newest_section_or_on_the_way_to_the_next() -> None:
    released = SECTION.findall((PROJECT / "CHANGELOG.md").read_text())
    assert released == sorted(released, key=number, reverse=True)
    version, _, development = toolkit.__version__.partition(".dev")
    if development:
        assert number(version) > number(released[0])
    else:
        assert version == released[0]
        assert not fragments(), "what comes after a release makes the version the next one's .dev0"


def test_the_command_says_its_version() -> None:
    done = CliRunner().invoke(main.cli, ["--version"])
    assert done.output == f"toolkit, version {toolkit.__version__}\n"
