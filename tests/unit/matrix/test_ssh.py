"""Workers that are started over SSH: all is real but ssh itself, and the toolkit that they call."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.matrix import fake_toolkit
from tests.unit.matrix.fake_toolkit import FakeToolkit
from tests.unit.matrix.processes import PROJECT, wait
from tests.unit.matrix.test_run import Listener
from toolkit.core import paths
from toolkit.core.model.matrix import MatrixResult
from toolkit.matrix import cells, run

pytest.importorskip("distributed")

from toolkit.matrix import dask_pool, remote

CELLS = 4
FILE = """\
axes:
  series: [v4, io-bus-order/v1]
  kernel: ["debian:6.12", "debian:6.1"]
  suite: [kvm]
"""
SSH = """\
#!/bin/sh
echo "$@" >>{log}
for word; do host=$command; command=$word; done
[ "$host" != down ] || {{ echo "connect to host down: No route to host" >&2; exit 255; }}
exec sh -c "$command"
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ssh that stays on this host first on the PATH; return where it logs its words."""
    programs, log = tmp_path / "bin", tmp_path / "ssh.log"
    programs.mkdir()
    (programs / "ssh").write_text(SSH.format(log=shlex.quote(str(log))))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "client"))
    monkeypatch.setattr(dask_pool, "_LOOK", 0.1)
    return log


def checkout(tmp_path: Path, name: str) -> tuple[remote.Host, FakeToolkit]:
    """Return a host with a checkout whose toolkit is a few lines of shell."""
    toolkit = fake_toolkit.make(tmp_path / "toolkits" / name)
    toolkit.let("test", "takes", "0.3")
    folder = tmp_path / name
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    words = [sys.executable, "-m", "tests.unit.matrix.processes", "checkout", *toolkit.command]
    python.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(PROJECT))} "
        f'XDG_STATE_HOME="$PWD/state"\nexec {shlex.join(words)} "$@"\n'
    )
    python.chmod(0o755)
    return remote.Host(name, str(folder)), toolkit


def run_on(tmp_path: Path, *hosts: remote.Host) -> tuple[MatrixResult, list[str]]:
    file, listener = tmp_path / "m.yaml", Listener()
    file.write_text(FILE)
    asked = run.Asked(file, ("toolkit",), tmp_path / "out", patience=60.0)
    pool = remote.of_ssh(hosts, 0, "127.0.0.1", listener.notice)
    result, _ = run.run(cells.load(file), asked, paths.resolve(PROJECT), pool, listener)
    return result, listener.lines


def commands(*of: FakeToolkit) -> Counter[str]:
    return Counter(call.split()[0] for each in of for call in each.calls("ends"))


def test_hosts_share_the_jobs_and_nothing_stays_behind(tmp_path: Path, log: Path) -> None:
    (one, first), (two, second) = checkout(tmp_path, "one"), checkout(tmp_path, "two")
    result, _ = run_on(tmp_path, one, two)
    assert [cell.exit_code for cell in result.cells] == [0] * CELLS
    assert commands(first, second)["test"] == CELLS
    logged = log.read_text()
    assert "BatchMode=yes" in logged
    assert "PRIVATE KEY" not in logged, "everybody on the host could read it"
    wait(lambda: not _running(tmp_path), "the workers' end")
    assert not list(tmp_path.glob("*/state/kernel-toolkit/worker/runs/*")), "the client has it all"


def test_a_host_that_is_down_is_named_and_the_other_does_it_all(tmp_path: Path, log: Path) -> None:
    one, toolkit = checkout(tmp_path, "one")
    result, lines = run_on(tmp_path, remote.Host("down", "/srv/toolkit"), one)
    assert result.exit_code == 0
    assert commands(toolkit)["test"] == CELLS
    assert "down: its worker ended (255): connect to host down: No route to host" in lines


def _running(tmp_path: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_text(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in words:
            found.append(words)
    return found
