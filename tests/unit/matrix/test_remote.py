"""A scheduler and workers as processes of their own, the latter also over SSH.

All is real but ssh itself, which stays on this host, and the toolkit, a few lines of shell.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.matrix import fake_toolkit
from tests.unit.matrix.fake_toolkit import FakeToolkit
from tests.unit.matrix.processes import PROJECT, processes, wait
from tests.unit.matrix.test_run import Listener
from toolkit.core import paths
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.model.matrix import MatrixResult
from toolkit.matrix import cells, run
from toolkit.matrix.addresses import Certificates

pytest.importorskip("distributed")

from distributed import Security

from toolkit.matrix import dask_pool, remote

CELLS = 6
FILE = """\
axes:
  series: [v4, io-bus-order/v1, none]
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
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.yaml"
    path.write_text(FILE)
    return path


def toolkits(tmp_path: Path, *names: str, takes: float = 0.3) -> list[FakeToolkit]:
    made = [fake_toolkit.make(tmp_path / "toolkits" / name) for name in names]
    for each in made:
        each.let("test", "takes", str(takes))
    return made


def finished(*of: FakeToolkit, which: str = "ends") -> Counter[str]:
    """Return how often each test job has come to its end."""
    calls = [call.split() for each in of for call in each.calls(which)]
    folders = [call[call.index("--run-dir") + 1] for call in calls if call[0] == "test"]
    return Counter(Path(folder).parent.name for folder in folders)


def test_one_host_builds_what_another_one_tests_behind_tls(tmp_path: Path, file: Path) -> None:
    certificates(tmp_path / "tls")
    with processes(tmp_path, tmp_path / "tls") as hosts:
        hosts.scheduler()
        builder, tester = toolkits(tmp_path, "builder", "tester", takes=0)
        hosts.worker("builder", Path(builder.command[0]))
        hosts.worker("tester", Path(tester.command[0]))
        assert hosts.client(file, tmp_path / "out").wait(120) == 0, hosts.log("client")
        assert {call.split()[0] for call in builder.calls()} == {"fetch", "build"}
        assert {call.split()[0] for call in tester.calls()} == {"test"}
        assert list(finished(tester).values()) == [1] * CELLS
        # Who has no certificate is not talked to.
        certificates(tmp_path / "other")
        hosts.tls = tmp_path / "other"
        assert hosts.client(file, tmp_path / "denied", "denied").wait(120) == 3
        assert "cannot be reached" in hosts.log("denied")


def certificates(folder: Path) -> None:
    folder.mkdir()
    security = Security.temporary()
    (folder / "ca.pem").write_text(security.tls_ca_file)
    (folder / "cert.pem").write_text(security.tls_client_cert)
    (folder / "key.pem").write_text(security.tls_client_key)


def test_a_scheduler_that_is_not_there_is_waited_for_aloud() -> None:
    said: list[str] = []
    with (
        pytest.raises(InfrastructureError, match="cannot be reached"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(remote, "_CONNECT", "1s")
        with remote.of_scheduler("tcp://127.0.0.1:9", None, said.append)("0" * 16, b""):
            pass
    assert said == ["connecting to the scheduler at tcp://127.0.0.1:9, for 1s at most"]


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no certificate"):
        remote.security_of(Certificates(tmp_path / "ca", tmp_path / "cert", tmp_path / "key"))


@pytest.mark.parametrize(
    ("text", "name", "folder"),
    [
        ("build1", "build1", "/here"),
        ("me@build1:/srv/toolkit", "me@build1", "/srv/toolkit"),
        ("build1:~/toolkit", "build1", "~/toolkit"),
    ],
)
def test_a_host_of_ssh(text: str, name: str, folder: str) -> None:
    assert remote.Host.parse(text, Path("/here")) == remote.Host(name, folder)


@pytest.mark.parametrize("text", ["", ":/srv", "-oProxyCommand=x", "a b"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(UserError, match="names no host"):
        remote.Host.parse(text, Path("/here"))


# --- over SSH ----------------------------------------------------------------------------------


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


def run_on(file: Path, *hosts: remote.Host) -> tuple[MatrixResult, list[str]]:
    listener = Listener()
    asked = run.Asked(file, ("toolkit",), file.with_name("out"), patience=60.0)
    pool = remote.of_ssh(hosts, 0, "127.0.0.1", listener.notice)
    result, _ = run.run(cells.load(file), asked, paths.resolve(PROJECT), pool, listener)
    return result, listener.lines


def commands(*of: FakeToolkit) -> Counter[str]:
    return Counter(call.split()[0] for each in of for call in each.calls("ends"))


def test_hosts_share_the_jobs_and_nothing_stays_behind(
    tmp_path: Path, file: Path, log: Path
) -> None:
    (one, first), (two, second) = checkout(tmp_path, "one"), checkout(tmp_path, "two")
    result, _ = run_on(file, one, two)
    assert [cell.exit_code for cell in result.cells] == [0] * CELLS
    assert commands(first, second)["test"] == CELLS
    logged = log.read_text()
    assert "BatchMode=yes" in logged
    assert "PRIVATE KEY" not in logged, "everybody on the host could read it"
    wait(lambda: not _running(tmp_path), "the workers' end")
    assert not list(tmp_path.glob("*/state/kernel-toolkit/worker/runs/*")), "the client has it all"


def test_a_host_that_is_down_is_named_and_the_other_does_it_all(
    tmp_path: Path, file: Path, log: Path
) -> None:
    one, toolkit = checkout(tmp_path, "one")
    result, lines = run_on(file, remote.Host("down", "/srv/toolkit"), one)
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
