"""A scheduler and workers as processes of their own; the toolkit is a few lines of shell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.matrix import fake_toolkit
from tests.unit.matrix.fake_toolkit import FakeToolkit
from tests.unit.matrix.processes import processes
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.matrix.addresses import Certificates

pytest.importorskip("distributed")

from distributed import Security

from toolkit.matrix import remote

CELLS = 6
FILE = """\
axes:
  series: [v4, io-bus-order/v1, none]
  kernel: ["debian:6.12", "debian:6.1"]
  suite: [kvm]
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


def test_a_scheduler_that_is_not_there() -> None:
    with (
        pytest.raises(InfrastructureError, match="cannot be reached"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(remote, "_CONNECT", "1s")
        with remote.of_scheduler("tcp://127.0.0.1:9", None)("0" * 16, b""):
            pass


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
