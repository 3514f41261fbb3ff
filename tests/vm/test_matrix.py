"""Who may die in the middle of a matrix, and what that costs: nothing.

The scheduler, the workers and the clients are processes of their own, and the toolkit is a few
lines of shell, so that there is something to kill within seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.matrix.processes import Processes, processes, wait
from tests.unit.matrix.test_remote import CELLS, FILE, finished, toolkits

pytest.importorskip("distributed")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path) as its:
        its.scheduler()
        yield its


def outcome(folder: Path) -> Any:
    """Return what a matrix came to, without what differs from one run to the next."""
    data = json.loads((folder / "matrix.json").read_bytes())
    times = ("started", "seconds", "change", "attempts")

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key not in times}
        return [without(each) for each in value] if isinstance(value, list) else value

    return without(data)


def test_a_worker_that_is_killed_loses_nothing(
    tmp_path: Path, file: Path, hosts: Processes
) -> None:
    one, two = toolkits(tmp_path, "one", "two")
    first = hosts.worker("one", Path(one.command[0]))
    client = hosts.client(file, tmp_path / "out")
    wait(lambda: finished(one, which="calls"), "a test")
    hosts.worker("two", Path(two.command[0]))
    first.kill()
    assert client.wait(120) == 0, hosts.log("client")
    assert all(number == 1 for number in finished(one, two).values())
    assert outcome(tmp_path / "out")["exit_code"] == 0


def test_a_client_that_is_killed_goes_on_and_repeats_no_test(
    tmp_path: Path, file: Path, hosts: Processes
) -> None:
    one, two = toolkits(tmp_path, "one", "two")
    hosts.worker("one", Path(one.command[0]))
    hosts.worker("two", Path(two.command[0]))
    client = hosts.client(file, tmp_path / "out")
    wait(lambda: len(finished(one, two)) >= 2, "two tests")
    client.kill()
    client.wait()
    before = len(finished(one, two))
    assert hosts.client(file, tmp_path / "out").wait(120) == 0, hosts.log("client")
    assert "going on with what began at" in hosts.log("client")
    assert before < CELLS
    assert list(finished(one, two).values()) == [1] * CELLS, "each cell once"
    assert hosts.client(file, tmp_path / "whole", "other").wait(120) == 0
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


def test_a_scheduler_that_is_killed_ends_the_client_which_goes_on(
    tmp_path: Path, file: Path
) -> None:
    with processes(tmp_path) as hosts:
        scheduler = hosts.scheduler()
        (one,) = toolkits(tmp_path, "one")
        first = hosts.worker("one", Path(one.command[0]))
        client = hosts.client(file, tmp_path / "out")
        wait(lambda: len(finished(one)) >= 2, "two tests")
        scheduler.kill()
        scheduler.wait()
        assert client.wait(120) == 3
        assert "the same command goes on" in hosts.log("client")
        first.kill()  # as its operator does
        first.wait()
        hosts.scheduler()
        hosts.worker("one", Path(one.command[0]))
        assert hosts.client(file, tmp_path / "out").wait(120) == 0, hosts.log("client")
        assert sum(finished(one).values()) == CELLS, "each cell once"


def test_two_clients_at_once(tmp_path: Path, file: Path, hosts: Processes) -> None:
    one, two = toolkits(tmp_path, "one", "two", takes=0.1)
    hosts.worker("one", Path(one.command[0]))
    hosts.worker("two", Path(two.command[0]))
    first = hosts.client(file, tmp_path / "a", "a")
    second = hosts.client(file, tmp_path / "b", "b")
    assert (first.wait(120), second.wait(120)) == (0, 0), hosts.log("a") + hosts.log("b")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    assert sum(finished(one, two).values()) == 2 * CELLS
