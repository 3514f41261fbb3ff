"""The session against a real SSH server in this process: paramiko's own, with a shell behind it."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import paramiko
import paramiko.common
import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, MachineLostError
from toolkit.vm import transfer_disk
from toolkit.vm.ssh import GuestSession, shorten
from toolkit.vm.ssh_keys import make_keys


def soon() -> Deadline:
    return Deadline.after(20)


class Server(paramiko.ServerInterface):
    """Lets one key in and runs each command under sh, as dropbear would."""

    def __init__(self, client: paramiko.PKey) -> None:
        self.client = client

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.common.OPEN_SUCCEEDED)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if username == "root" and key == self.client:
            return int(paramiko.common.AUTH_SUCCESSFUL)
        return int(paramiko.common.AUTH_FAILED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if command == b"say nothing":  # as a guest does whose kernel hangs in fork()
            while channel.get_transport().is_active():
                time.sleep(0.05)
            return False
        # paramiko says yes once this has returned; a command must not end before that.
        serve = threading.Timer(0.05, self._serve, args=(channel, command))
        serve.daemon = True
        serve.start()
        return True

    @staticmethod
    def _serve(channel: paramiko.Channel, command: bytes) -> None:
        if command == b"vanish":
            channel.get_transport().close()
            return
        with subprocess.Popen(
            ["sh", "-c", command.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            assert child.stderr is not None
            feeder = threading.Thread(target=_feed, args=(channel, child.stdin), daemon=True)
            feeder.start()
            while out := os.read(child.stdout.fileno(), 1 << 16):
                channel.sendall(out)
            channel.sendall_stderr(child.stderr.read())
            child.wait()
        if child.returncode < 0:
            message = paramiko.Message()
            message.add_byte(bytes([98]))  # SSH_MSG_CHANNEL_REQUEST
            message.add_int(channel.remote_chanid)
            message.add_string("exit-signal")
            message.add_boolean(False)
            message.add_string("SEGV" if child.returncode == -11 else str(-child.returncode))
            message.add_boolean(False)
            message.add_string("")
            message.add_string("")
            transport: Any = channel.get_transport()
            transport._send_user_message(message)
        elif command != b"exit 77":
            channel.send_exit_status(child.returncode)
        channel.close()


def _feed(channel: paramiko.Channel, pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:
        while chunk := channel.recv(1 << 16):
            pipe.write(chunk)


class Endpoint:
    def __init__(self, folder: Path) -> None:
        made = make_keys(folder / "keys", "openssh")
        self.host_key = paramiko.Ed25519Key.from_private_key_file(str(made.host_key))
        self.client_key = made.client_key
        self.server = Server(paramiko.RSAKey.from_private_key_file(str(made.client_key)))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self.transports.append(transport)
            self.connections.append(connection)
            try:
                transport.start_server(server=self.server)
            except (paramiko.SSHException, EOFError):
                continue

    def connect(self, **changed: Any) -> GuestSession:
        wanted: dict[str, Any] = {
            "user": "root",
            "client_key": self.client_key,
            "host_key": self.host_key.asbytes(),
            "deadline": soon(),
        }
        return GuestSession.connect(self.port, **{**wanted, **changed})


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    made = Endpoint(tmp_path)
    yield made
    made.listener.close()
    for transport in made.transports:
        transport.close()


def test_runs_a_command_and_tells_how_it_ended(endpoint: Endpoint) -> None:
    with endpoint.connect() as session:
        done = session.run("echo out; echo err >&2; exit 5", deadline=soon())
        assert (done.stdout, done.stderr, done.status, done.signal) == (b"out\n", b"err\n", 5, None)


def test_tells_the_signal(endpoint: Endpoint) -> None:
    with endpoint.connect() as session:
        done = session.run("kill -SEGV $$", deadline=soon())
        assert (done.status, done.signal) == (None, "SEGV")


def test_a_session_has_ended_when_the_server_has_closed_it(endpoint: Endpoint) -> None:
    with endpoint.connect() as session:
        assert session.run("true", deadline=soon()).status == 0
        assert session.log_out(soon())
        with pytest.raises(MachineLostError):
            session.run("true", deadline=soon())


def test_a_session_lives_while_any_process_of_the_server_has_it(endpoint: Endpoint) -> None:
    with endpoint.connect() as session, endpoint.connections[-1].dup():
        assert not session.log_out(Deadline.after(0.2))


def test_passes_large_input_and_output(endpoint: Endpoint) -> None:
    data = bytes(range(256)) * 20_000
    heard = bytearray()
    with endpoint.connect() as session:
        done = session.run("cat", deadline=soon(), input=data, on_stdout=heard.extend)
    assert done.stdout == data
    assert heard == data


def test_copies_files_there_and_back(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "from/deep").mkdir(parents=True)
    (tmp_path / "from/deep/file").write_text("content")
    target = tmp_path / "to; rm -rf it"
    with endpoint.connect() as session:
        session.put(tmp_path / "from", str(target), deadline=soon())
        assert session.get(f"{target}/deep/file", deadline=soon()) == b"content"
        with pytest.raises(InfrastructureError, match="failed in the guest with exit status 1"):
            session.get(f"{target}/missing", deadline=soon())


def test_of_a_folder_only_what_is_named_is_copied(endpoint: Endpoint, tmp_path: Path) -> None:
    for name in ("from/deep/file", "from/more", "from/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with endpoint.connect() as session:
        only = {"deep", "more"}
        session.put(tmp_path / "from", str(tmp_path / "to"), deadline=soon(), only=only)
    assert {path.name for path in (tmp_path / "to").iterdir()} == only
    assert (tmp_path / "to/deep/file").read_text() == "from/deep/file"


def test_what_a_guest_reads_from_its_disk_does_not_go_over_ssh(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bytes]] = []

    def check(self: GuestSession, command: str, *, deadline: Deadline, input: bytes = b"") -> None:
        asked.append((command, input))

    monkeypatch.setattr(GuestSession, "check", check)
    disk, archive = tmp_path / "disk", tmp_path / "archive"
    disk.touch()
    archive.write_bytes(b"an archive")
    with endpoint.connect(payload_disk=disk) as session:
        session.put_archive(archive, deadline=soon(), then="modprobe it")
    with endpoint.connect() as session:
        session.put_archive(archive, deadline=soon())
    assert asked == [
        (f"{transfer_disk.unpacking(10)} && modprobe it", b""),
        (f"{transfer_disk.UNPACK} && true", b"an archive"),
    ]
    assert disk.read_bytes() == b"an archive"


def test_another_host_key_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    other = base64.b64decode(make_keys(tmp_path / "other", "openssh").host_public.split()[1])
    with pytest.raises(InfrastructureError, match="another SSH host key"):
        endpoint.connect(host_key=other)


def test_a_key_that_is_not_let_in_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    stranger = make_keys(tmp_path / "stranger", "openssh")
    with pytest.raises(InfrastructureError, match="refuses the key"):
        endpoint.connect(client_key=stranger.client_key)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a ``date`` on the PATH that writes down what it is to set, and fails on request."""
    said = tmp_path / "clock"
    program = tmp_path / "programs/date"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ ! -e {said}.broken ] && echo "$@" >>{said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return said


def test_the_clock_is_set_by_the_next_command_and_no_other(endpoint: Endpoint, clock: Path) -> None:
    with endpoint.connect() as session:
        session.set_clock()
        assert not clock.exists()
        assert session.check(f"cat {clock}; exec echo on time", deadline=soon()).text == (
            f"{clock.read_text()}on time\n"
        )
        session.check("true", deadline=soon())
    (command,) = clock.read_text().splitlines()
    assert command.startswith("-u -s @")
    assert abs(int(command.removeprefix("-u -s @")) - time.time()) < 20


def test_a_channel_of_ones_own_finds_the_clock_set(endpoint: Endpoint, clock: Path) -> None:
    with endpoint.connect() as session:
        session.set_clock()
        with session.open_channel(soon()):
            assert clock.exists()


def test_nothing_runs_while_the_clock_is_wrong(endpoint: Endpoint, clock: Path) -> None:
    clock.with_name("clock.broken").touch()
    with endpoint.connect() as session:
        session.set_clock()
        with pytest.raises(InfrastructureError, match="failed in the guest"):
            session.check(f"touch {clock}", deadline=soon())
    assert not clock.exists()


def test_the_deadline_of_a_command_leaves_what_it_wrote(endpoint: Endpoint) -> None:
    heard = bytearray()
    with endpoint.connect() as session, pytest.raises(DeadlineError, match="`echo started"):
        session.run(
            "echo started; exec sleep 5", deadline=Deadline.after(0.5), on_stdout=heard.extend
        )
    assert heard == b"started\n"


def test_a_server_that_never_answers_a_request_ends_at_the_deadline(endpoint: Endpoint) -> None:
    with (
        endpoint.connect() as session,
        pytest.raises(DeadlineError, match="the guest's SSH server"),
    ):
        session.run("say nothing", deadline=Deadline.after(0.5))


def test_a_machine_that_dies_before_its_server_answers_is_lost(endpoint: Endpoint) -> None:
    reasons = iter(["", "", "the kernel panicked"])
    with (
        endpoint.connect(alive=lambda: next(reasons, "the kernel panicked")) as session,
        pytest.raises(MachineLostError, match="the kernel panicked"),
    ):
        session.run("say nothing", deadline=soon())


def test_a_command_that_talks_while_it_is_fed_does_not_block(endpoint: Endpoint) -> None:
    data = b"line\n" * 1_000_000  # more than SSH's window (2 MiB) in both directions
    with endpoint.connect() as session:
        assert session.run("cat", deadline=soon(), input=data).stdout == data


def test_nobody_listening_ends_at_the_deadline(endpoint: Endpoint) -> None:
    with (
        socket.socket() as bound,  # but it does not listen
        pytest.raises(DeadlineError, match="connecting over SSH"),
    ):
        bound.bind(("127.0.0.1", 0))
        endpoint.port = bound.getsockname()[1]
        endpoint.connect(deadline=Deadline.after(0.3))


def test_a_dead_machine_is_noticed_while_connecting(endpoint: Endpoint) -> None:
    with pytest.raises(MachineLostError, match="it burnt down"):
        endpoint.connect(alive=lambda: "it burnt down")


def test_a_machine_that_dies_under_a_command_is_lost(endpoint: Endpoint) -> None:
    dead = [""]
    with endpoint.connect(alive=lambda: dead[0]) as session:
        timer = threading.Timer(0.3, dead.__setitem__, (0, "QEMU was killed by signal 9"))
        timer.start()
        with pytest.raises(MachineLostError, match="killed by signal 9"):
            session.run("sleep 5", deadline=soon())


def test_a_connection_that_breaks_is_lost(endpoint: Endpoint) -> None:
    with endpoint.connect() as session, pytest.raises(MachineLostError):
        session.run("vanish", deadline=soon())


def test_an_end_without_a_status_is_lost(endpoint: Endpoint) -> None:
    with endpoint.connect() as session, pytest.raises(MachineLostError, match="without an exit"):
        session.run("exit 77", deadline=soon())


def test_shorten_hides_what_would_disturb_a_terminal() -> None:
    assert shorten("a\x1b[2Jb\nc") == "a [2Jb c"
    assert len(shorten("x" * 500)) == 60


def test_a_command_that_ended_while_the_toolkit_was_stopped_has_ended(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    code = f"""
from pathlib import Path
from toolkit.core.deadline import Deadline
from toolkit.vm.ssh import GuestSession
key = Path({str(endpoint.client_key)!r})
session = GuestSession.connect({endpoint.port}, user="root", client_key=key,
    host_key={endpoint.host_key.asbytes()!r}, deadline=Deadline.after(20))
command = "echo word; touch {started}; sleep 0.3; touch {ended}"
print(session.run(command, deadline=Deadline.after(2)).text)
session.close()
"""
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for file, number in ((started, signal.SIGSTOP), (ended, signal.SIGCONT)):
        while not file.exists():
            assert client.poll() is None
            time.sleep(0.02)
        time.sleep(2.5 if file == ended else 0)  # its time is out then
        client.send_signal(number)
    out, _ = client.communicate(timeout=20)
    assert (client.returncode, out.strip()) == (0, "word")
