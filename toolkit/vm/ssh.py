"""A session in a guest over SSH: commands and files, each with a deadline.

Nothing the guest sends is trusted: its host key is checked against the one the machine was
given, what is kept of its output is bounded, and nothing of it is ever executed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST
from paramiko.message import Message

from toolkit.core.deadline import Deadline, Wait
from toolkit.core.errors import InfrastructureError, MachineLostError
from toolkit.host import recording
from toolkit.vm import ssh_keys, transfer_disk

MAX_OUTPUT = 64 << 20  # bytes kept of one stream of one command
_POLL = 0.1  # seconds between looks at whether the machine still lives
_RETRY = 0.05
_HANDSHAKE = 30.0
_CHUNK = 1 << 16

logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

Sink = Callable[[bytes], object]
Alive = Callable[[], str]  # "" while the machine lives, else why it does not


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command in the guest ended: an exit status or the signal that killed it."""

    status: int | None
    signal: str | None  # SEGV, without SIG
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode(errors="replace")


def _channel_request(channel: Any, message: Message) -> None:
    """Remember an exit-signal (RFC 4254, 6.10), which paramiko itself ignores."""
    start = message.packet.tell()
    if message.get_text() == "exit-signal":
        message.get_boolean()
        channel.toolkit_signal = message.get_text()
        channel.status_event.set()
        return
    message.packet.seek(start)
    paramiko.Channel._handle_request(channel, message)  # type: ignore[attr-defined]


class _Transport(paramiko.Transport):
    """A transport that also reports which signal ended a command."""

    _channel_handler_table = {  # noqa: RUF012 - it replaces paramiko's own
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _channel_request,
    }


class _Answer(threading.Event):
    """What a channel waits for after a request, which paramiko itself does for ever."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; raises what ``check`` raises meanwhile."""
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(_POLL):
            self._check()
        return True


@dataclass(slots=True)
class _Streams:
    """A command's input that is still to be sent, and its output so far, bounded."""

    input: memoryview
    on_stdout: Sink | None
    on_stderr: Sink | None
    keep: int  # bytes of each stream
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    closed: bool = False

    def pump(self, channel: paramiko.Channel) -> bool:
        """Move what can be moved either way; return whether nothing more can come."""
        self._drain_stderr(channel)
        if not self.closed and not channel.recv_ready():
            self._send(channel)
            return False
        try:
            chunk = channel.recv(_CHUNK)
        except TimeoutError:
            return False
        if chunk:
            self._take(self.out, chunk, self.on_stdout)
            return False
        self._drain_stderr(channel)
        return channel.status_event.wait(_POLL) or channel.closed

    def _send(self, channel: paramiko.Channel) -> None:
        if self.input:
            with contextlib.suppress(TimeoutError):  # the guest is slow to read: look again
                self.input = self.input[channel.send(bytes(self.input[:_CHUNK])) :]
        if not self.input:
            channel.shutdown_write()
            self.closed = True

    def _drain_stderr(self, channel: paramiko.Channel) -> None:
        while channel.recv_stderr_ready():
            self._take(self.err, channel.recv_stderr(_CHUNK), self.on_stderr)

    def _take(self, kept: bytearray, chunk: bytes, sink: Sink | None) -> None:
        kept += chunk[: max(0, self.keep - len(kept))]
        if sink and chunk:
            sink(chunk)


class GuestSession:
    """An authenticated connection to one guest. A context manager: leaving closes it."""

    def __init__(
        self, transport: paramiko.Transport, alive: Alive, payload_disk: Path | None = None
    ) -> None:
        self._transport = transport
        self._alive = alive
        self._payload_disk = payload_disk
        self._clock_due = False

    @classmethod
    def connect(
        cls,
        port: int,
        *,
        user: str,
        client_key: Path,
        host_key: bytes,
        deadline: Deadline,
        alive: Alive = lambda: "",
        payload_disk: Path | None = None,
    ) -> GuestSession:
        """Connect to a loopback port, check the host key and log in by public key.

        ``host_key`` is the wire form of the key the guest must show. Archives go through the
        ``payload_disk`` that the guest has, if any. Retries while the guest is not up yet. Raises
        :class:`InfrastructureError` on another host key, :class:`MachineLostError` when the machine
        dies, :class:`DeadlineError` in the end.
        """
        key = paramiko.RSAKey(key=ssh_keys.load_client(client_key))
        wait = deadline.wait()
        while True:
            cls._check(alive, wait, "connecting over SSH")
            transport: paramiko.Transport | None = None
            try:
                sock = socket.create_connection(("127.0.0.1", port), deadline.remaining())
                transport = _Transport(sock)
                transport.banner_timeout = deadline.remaining()
                transport.start_client(timeout=min(_HANDSHAKE, deadline.remaining()))
                if transport.get_remote_server_key().asbytes() != host_key:
                    raise InfrastructureError(
                        "the guest shows another SSH host key than the one it was given",
                        hint="is something else listening on the forwarded port?",
                    )
                transport.auth_publickey(user, key)
            except paramiko.AuthenticationException as error:
                _close(transport)
                raise InfrastructureError(
                    f"the guest refuses the key it was given for {user}",
                    hint="its SSH server may have logged the reason to console.log",
                ) from error
            except (OSError, EOFError, paramiko.SSHException):
                _close(transport)
                time.sleep(_RETRY)
            except BaseException:
                _close(transport)
                raise
            else:
                return cls(transport, alive, payload_disk)

    @staticmethod
    def _check(alive: Alive, wait: Wait | Deadline, what: str) -> None:
        if reason := alive():
            raise MachineLostError(reason)
        wait.check(what)

    def __enter__(self) -> GuestSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def log_out(self, deadline: Deadline) -> bool:
        """End the connection, and return whether the guest has ended its half by the deadline.

        Its server has closed the connection then, and sends nothing with this session's keys again.
        """
        with contextlib.suppress(OSError):  # the guest was quicker
            self._transport.sock.shutdown(socket.SHUT_WR)
        self._transport.join(deadline.remaining())
        ended = not self._transport.is_alive()
        self.close()
        return ended

    @contextlib.contextmanager
    def open_channel(self, deadline: Deadline) -> Iterator[paramiko.Channel]:
        """Lend a fresh channel; raise :class:`MachineLostError` when the connection is gone."""
        if self._clock_due:
            self.check("true", deadline=deadline)
        with self._channel(deadline) as channel:
            yield channel

    @contextlib.contextmanager
    def _channel(self, deadline: Deadline) -> Iterator[paramiko.Channel]:
        try:
            channel = self._transport.open_session(timeout=max(0.1, deadline.remaining()))
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._check(self._alive, deadline, "opening a channel")
            raise MachineLostError(f"the SSH connection is gone: {error}") from error
        wait = deadline.wait()
        channel.event = _Answer(
            lambda: self._check(self._alive, wait, "waiting for the guest's SSH server")
        )
        try:
            yield channel
        finally:
            channel.close()

    def run(
        self,
        command: str,
        *,
        deadline: Deadline,
        input: bytes = b"",
        on_stdout: Sink | None = None,
        on_stderr: Sink | None = None,
        keep: int = MAX_OUTPUT,
        lost: Callable[[], float] | None = None,
    ) -> CommandResult:
        """Run a shell command in the guest and return how it ended and what it wrote.

        Of each stream the first ``keep`` bytes are returned; the sinks get all of it. ``lost`` is
        as in :meth:`Deadline.wait`.

        The two sinks get each stream as it comes, so that a caller has the output even
        when this raises: :class:`DeadlineError` with the command still running, or
        :class:`MachineLostError` when the machine is gone.
        """
        began = time.monotonic()
        recording.note(f"guest: {command}")
        streams = _Streams(memoryview(input), on_stdout, on_stderr, keep)
        with self._channel(deadline) as channel:
            channel.settimeout(_POLL)
            wait = deadline.wait(lost)
            try:
                channel.exec_command(self._on_time(command))
                while not streams.pump(channel):
                    self._check(self._alive, wait, f"`{shorten(command)}` in the guest")
            except (OSError, EOFError, paramiko.SSHException) as error:
                self._check(self._alive, deadline, "the SSH connection")
                raise MachineLostError(f"the SSH connection broke: {error}") from error
            signal = getattr(channel, "toolkit_signal", None)
            status = channel.exit_status if signal is None and channel.exit_status >= 0 else None
            if status is None and signal is None:
                # The server closed the channel and did not report how the command ended.
                reason = self._alive() or "the guest ended the command without an exit status"
                raise MachineLostError(reason)
        seconds = time.monotonic() - began
        ended = f"exit status {status}" if signal is None else f"killed by {signal}"
        recording.note(f"guest: {ended} after {seconds:.3f} s: {shorten(command)}")
        return CommandResult(status, signal, bytes(streams.out), bytes(streams.err), seconds)

    def check(self, command: str, *, deadline: Deadline, input: bytes = b"") -> CommandResult:
        """Run a command that must succeed; raise :class:`InfrastructureError` when it does not."""
        result = self.run(command, deadline=deadline, input=input)
        if result.status != 0:
            ended = f"signal {result.signal}" if result.signal else f"exit status {result.status}"
            lines = (result.stderr or result.stdout).decode(errors="replace").splitlines()
            raise InfrastructureError(
                f"`{shorten(command)}` failed in the guest with {ended}",
                hint="console.log has what the kernel logged meanwhile",
                detail=lines[-20:],
            )
        return result

    def put_archive(
        self, archive: Path, *, deadline: Deadline, then: str = "true"
    ) -> CommandResult:
        """Unpack a tar archive at the root of the guest; folders that are missing are made.

        ``then`` is a shell command that runs afterwards and has to succeed as well: as a command of
        its own it would take an emulated guest 0.1 s. Returns what it wrote.
        """
        with archive.open("rb") as source:
            return self._unpack(lambda file: shutil.copyfileobj(source, file), deadline, then)

    def put(
        self, source: Path, folder: str, *, deadline: Deadline, only: Collection[str] | None = None
    ) -> None:
        """Copy a file or a folder's content into a folder of the guest, made when missing.

        With ``only``, just the entries of a folder with these names are copied.
        """
        place = folder.strip("/")

        def write(file: BinaryIO) -> None:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for path in [source] if source.is_file() else sorted(source.iterdir()):
                    if only is None or path.name in only:
                        archive.add(path, f"{place}/{path.name}")

        self._unpack(write, deadline)

    def _unpack(
        self, write_archive: Callable[[BinaryIO], object], deadline: Deadline, then: str = "true"
    ) -> CommandResult:
        if self._payload_disk:  # several machines at once: no archive is held in memory
            size = transfer_disk.write(self._payload_disk, write_archive)
            return self.check(f"{transfer_disk.unpacking(size)} && {then}", deadline=deadline)
        buffer = io.BytesIO()
        write_archive(buffer)
        command = f"{transfer_disk.UNPACK} && {then}"
        return self.check(command, deadline=deadline, input=buffer.getvalue())

    def set_clock(self) -> None:
        """Have the next command first set the guest's clock to the host's, to the second.

        A restored guest's clock is behind. A command of its own would take an emulated guest 80 ms.
        """
        self._clock_due = True

    def _on_time(self, command: str) -> str:
        if not self._clock_due:
            return command
        self._clock_due = False
        return f"date -u -s @{round(time.time())} >/dev/null && {{ {command}\n}}"

    def get(self, path: str, *, deadline: Deadline) -> bytes:
        """Return the content of a file in the guest."""
        return self.check(f"cat {shlex.quote(path)}", deadline=deadline).stdout


def _close(transport: paramiko.Transport | None) -> None:
    if transport is not None:
        transport.close()


def shorten(command: str, limit: int = 60) -> str:
    """Return a command as one short printable line, for messages."""
    line = "".join(c if c.isprintable() else " " for c in command)
    return line if len(line) <= limit else line[: limit - 1] + "…"
