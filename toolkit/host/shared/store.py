"""Takes entries from a shared cache, and puts new ones there; what goes wrong costs a notice."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from toolkit import __version__
from toolkit.core import text
from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    DeadlineError,
    InfrastructureError,
    ToolFailedError,
    ToolkitError,
    UserError,
)
from toolkit.host import process
from toolkit.host.cache import AbsentError, Name
from toolkit.host.shared import archive, attestation, transfer
from toolkit.host.shared.attestation import Attestation, RefusedError
from toolkit.host.shared.keys import Keyring

# What takes longer to make than to copy, and is the same wherever it was made. What a host was
# found to be able to do is not (probe), and neither are results.
KINDS = frozenset({"source", "kconfig", "config", "build", "image", "suite", "snapshot"})
_ASK_SECONDS = 20.0  # for an answer, and with it the first bytes
_BYTES_A_SECOND = 2_000_000  # a store that is slower than that is no help
_NO_PLACE = re.compile(r"[A-Za-z0-9+.-]+:/*")
_TRANSFER = "toolkit.host.shared.transfer"


class SharedCache:
    """The store at ``url``, for one run: :class:`toolkit.host.cache.Shared`.

    ``notice`` gets a line on each entry that is copied, on each that does not count, and on a
    store that fails: that is not tried again. Raises :class:`UserError` for a URL without a place.
    """

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        notice: Callable[[str], None],
    ) -> None:
        if _NO_PLACE.fullmatch(url):
            raise UserError(
                f"the shared cache {url} has no place",
                hint="name a folder, s3://BUCKET/FOLDER or sftp://HOST/FOLDER",
            )
        self._url = url.rstrip("/")
        self._own = keyring.own()
        self._trusted = (*keyring.trusted(), *([self._own.public] if self._own else []))
        self._notice = notice
        self._failed: set[str] = set()  # "get", "put"
        if not self._trusted:
            self._failed.add("get")
            notice(
                f"the shared cache {url} is not used: no key is trusted. `toolkit cache trust KEY` "
                "trusts one, and `toolkit cache keygen` makes one of your own"
            )

    def get(self, name: Name, into: Path, deadline: Deadline) -> None:
        """Fill the empty folder ``into`` with an entry; raises :class:`AbsentError`."""
        if "get" in self._failed or name.kind not in KINDS:
            raise AbsentError
        with self._given_up("get", deadline), _scratch(into) as scratch:
            try:
                said = self._attested(name, scratch / "attestation", deadline)
                packed = scratch / "archive"
                self._notice(f"{name} from {self._url}, {text.size(said.size)}")
                self._fetch(f"{name.kind}/{said.archive}", packed, said.size, deadline)
                if archive.sha256(packed) != said.sha256:
                    raise RefusedError("its archive is not the one that was signed")
                archive.unpack(packed, into, deadline.sooner(_seconds(said.size)))
            except RefusedError as refused:
                self._notice(f"{name} in the shared cache is not used: {refused}")
                raise AbsentError from refused
            else:
                return
        raise AbsentError

    def put(self, name: Name, folder: Path, without: str, deadline: Deadline) -> None:
        """Store an entry but for one of its files, if this user has a key to sign it with."""
        if "put" in self._failed or self._own is None or name.kind not in KINDS:
            return
        with self._given_up("put", deadline), _scratch(folder) as scratch:
            packed, statement = scratch / "archive", scratch / "attestation"
            archive.pack(folder, packed, deadline, without)
            said = Attestation(
                **name._asdict(),
                sha256=archive.sha256(packed),
                size=packed.stat().st_size,
                toolkit=__version__,
            )
            statement.write_bytes(attestation.sign(said, self._own))
            self._notice(f"{name} to {self._url}, {text.size(said.size)}")
            for source, target in ((packed, said.archive), (statement, _statement(name))):
                limit = deadline.sooner(_seconds(source.stat().st_size))
                self._transfer(["put", str(source), f"{self._url}/{name.kind}/{target}"], limit)

    def _attested(self, name: Name, target: Path, deadline: Deadline) -> Attestation:
        self._fetch(f"{name.kind}/{_statement(name)}", target, attestation.MOST_BYTES, deadline)
        return attestation.verify(target.read_bytes(), name.kind, name.key, self._trusted)

    def _fetch(self, place: str, target: Path, size: int, deadline: Deadline) -> None:
        argv = ["get", f"{self._url}/{place}", str(target), str(size)]
        self._transfer(argv, deadline.sooner(_seconds(size)))

    def _transfer(self, argv: list[str], deadline: Deadline) -> None:
        """Let the program of :mod:`~toolkit.host.shared.transfer` copy a file."""
        command = [sys.executable, "-P", "-m", _TRANSFER, *argv]
        try:
            process.run(command, deadline=deadline)
        except ToolFailedError as error:
            if error.status == transfer.ABSENT:
                raise AbsentError from error
            raise

    @contextlib.contextmanager
    def _given_up(self, what: str, deadline: Deadline) -> Iterator[None]:
        """Do no more of ``what`` in this run when it fails; a run that is out of time ends."""
        try:
            yield
        except AbsentError:
            raise
        except (ToolkitError, OSError) as error:
            deadline.check("the shared cache")
            self._failed.add(what)
            words = "read" if what == "get" else "written"
            self._notice(f"the shared cache {self._url} is not {words} any more: {_why(error)}")


def _why(error: ToolkitError | OSError) -> str:
    if isinstance(error, DeadlineError):
        return "it does not answer in time"
    if isinstance(error, InfrastructureError):
        return error.detail[-1] if error.detail else error.what
    return str(error)


def _seconds(size: int) -> float:
    return _ASK_SECONDS + size / _BYTES_A_SECOND


def _statement(name: Name) -> str:
    return f"{name.key}.json"


@contextlib.contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """Lend a folder beside an entry, which whoever makes that entry next removes if it is left."""
    key = beside.name.removeprefix(".").partition(".")[0]
    with tempfile.TemporaryDirectory(prefix=f".{key}.", dir=beside.parent) as name:
        yield Path(name)
