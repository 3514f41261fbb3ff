from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.bench_samples import benchmark
from toolkit.bench import baseline_file
from toolkit.core.errors import UserError

BENCH = benchmark({"a": [[1, 2], [3, 4]], "b/any/1": [[5], [6]]}, skipped={"c": "ENOENT"})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    baseline_file.write(tmp_path / "bench.json", BENCH)
    assert baseline_file.read(tmp_path / "bench.json") == BENCH
    assert baseline_file.read(tmp_path) == BENCH


def test_a_run_of_a_row_is_one_line_of_the_file() -> None:
    lines = baseline_file.to_json(BENCH).decode().splitlines()
    assert any(line.strip() == "[10,4020,4000],[10,4040,4000]" for line in lines)
    assert json.loads("\n".join(lines))["rows"][0]["runs"][1][1] == [10, 4080, 4000]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no benchmark"),
        (b"{}", "is no benchmark"),
        (b"[1", "is no benchmark"),
        (baseline_file.to_json(BENCH).replace(b'"schema": 1', b'"schema": 2'), "has version 2"),
        (baseline_file.to_json(BENCH).replace(b"4020", b'"x"'), "is no benchmark: rows.0.runs.0.0"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bench.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        baseline_file.read(tmp_path)


def test_a_file_that_does_not_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline_file, "MAX_BYTES", 1 << 20)
    with (tmp_path / "bench.json").open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(UserError, match="larger than 1 MiB"):
        baseline_file.read(tmp_path)


def test_a_missing_file_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        baseline_file.read(tmp_path)
