from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Call


def test_the_cells_are_listed_with_what_tells_them_apart(
    command_line: Call, tmp_path: Path
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "axes: {series: [v4, none], suite: [kvm]}\n"
        "settings:\n  - match: {series: v4}\n    slow: true"
    )
    assert command_line("matrix", str(file), "--list") == (
        0,
        "series  settings\nv4      slow\nnone\n2 cells\n",
    )


def test_what_is_wrong_in_the_file_is_the_caller_s(command_line: Call, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("axes: {series: [v4], suites: [kvm]}")
    code, printed = command_line("matrix", str(file), "--list")
    assert code == 2
    assert f"{file}:1: unknown key 'suites' in axes" in printed
    assert "did you mean 'suite'?" in printed
