from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.cli.conftest import Call
from tests.unit.matrix.fake_pool import FakePool, Play
from tests.unit.matrix.results import by_series, leaf
from toolkit.core.model.testing import Status
from toolkit.matrix import version

FILE = "axes: {series: [v4, v5], suite: [kvm]}"


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
        "series  settings\nv4      slow\nnone\n2 cells, 2 builds\n",
    )


def test_what_is_wrong_in_the_file_is_the_caller_s(command_line: Call, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("axes: {series: [v4], suites: [kvm]}")
    code, printed = command_line("matrix", str(file), "--list")
    assert code == 2
    assert f"{file}:1: unknown key 'suites' in axes" in printed
    assert "did you mean 'suite'?" in printed


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> FakePool:
    """Return the pool that the command gets, in which v5 fails."""
    pytest.importorskip("distributed")
    from toolkit.matrix import cluster

    bad = leaf("kvm/b_test/case", Status.FAIL, "3 != 4")
    made = FakePool(play=cast(Play, by_series({"v5": (bad,)})))

    @contextlib.contextmanager
    def opened(*_: Any) -> Iterator[FakePool]:
        yield made

    monkeypatch.setattr(cluster, "of_this_host", lambda _: opened)
    monkeypatch.setattr(version, "this", lambda: "1.0 (abc)")
    return made


def test_a_matrix_is_run_and_its_worst_cell_is_the_exit_code(
    command_line: Call, pool: FakePool, tmp_path: Path
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(FILE)
    code, printed = command_line("matrix", str(file), "--run-dir", str(tmp_path / "out"))
    assert code == 1
    lines = printed.splitlines()
    # What came out is printed last on the terminal, and first here: it is standard output.
    assert lines[:3] == [
        "v5 on debian:6.12, kvm: FAIL: 1 failed, 1 passed",
        "1 failed, 1 passed",
        f"report: {tmp_path}/out/index.html",
    ]
    assert "v4 on debian:6.12, kvm: PASS: 1 passed" in lines
    assert "build v4 on debian:6.12 on one: done, 1.00 s" in lines


def test_ctrl_c_says_interrupted(command_line: Call, pool: FakePool, tmp_path: Path) -> None:
    def play(*_: Any) -> Any:
        raise KeyboardInterrupt

    pool.play = play
    file = tmp_path / "m.yaml"
    file.write_text(FILE)
    code, printed = command_line("matrix", str(file))
    assert code == 130
    assert printed.endswith("toolkit: interrupted\n")
    assert pool.stopped


def test_without_dask_it_says_what_to_install(
    command_line: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    file = tmp_path / "m.yaml"
    file.write_text(FILE)
    code, printed = command_line("matrix", str(file))
    assert code == 3
    assert "Dask is not installed" in printed
    assert "./bootstrap toolkit matrix" in printed


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--scheduler", "tcp://build1:8786"], "is an open port"),
        (["--scheduler", "tls://build1:8786"], "needs certificates"),
        (["--scheduler", "localhost:1", "--ssh", "a"], "are different clusters"),
        (["--tls-key", "k"], "TLS takes three files"),
        (["--ssh", "-x"], "names no host"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(
    command_line: Call, tmp_path: Path, words: list[str], what: str
) -> None:
    pytest.importorskip("distributed")
    file = tmp_path / "m.yaml"
    file.write_text(FILE)
    code, printed = command_line("matrix", str(file), *words)
    assert code == 2
    assert what in printed
    assert not (tmp_path / "state").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("address", "what"),
    [("tcp://hub:8786", "is an open port"), ("hub", "is no address of a scheduler")],
)
def test_a_worker_talks_to_no_open_port(command_line: Call, address: str, what: str) -> None:
    pytest.importorskip("distributed")
    code, printed = command_line("worker", address)
    assert (code, what in printed) == (2, True)


def test_a_worker_opens_no_port(command_line: Call) -> None:
    pytest.importorskip("distributed")
    code, printed = command_line("worker", "tcp://localhost:9", "--listen", "0.0.0.0")
    assert (code, "would be an open port" in printed) == (2, True)


def test_a_worker_without_its_scheduler(
    command_line: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    from toolkit.matrix import worker

    monkeypatch.setattr(worker, "_CONNECT_SECONDS", 0.3)
    code, printed = command_line("worker", "tcp://127.0.0.1:9")
    assert code == 3
    assert "the scheduler at tcp://127.0.0.1:9 cannot be reached" in printed
