"""Get one file by URL, and check its SHA-256."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError

SCHEMES = ("http", "https", "file")
STALL = 60.0  # seconds for which a server may send nothing
_CHUNK = 1 << 18

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


def download(url: str, sha256: str, target: Path, report: Report, deadline: Deadline) -> None:
    """Write what is at ``url`` to ``target``; its SHA-256 must be ``sha256`` (in hex).

    Raises :class:`UserError` for a URL that leads nowhere or to other content, and
    :class:`InfrastructureError` when the connection fails. ``target`` is then absent.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise UserError(f"cannot download {url}: only {', '.join(SCHEMES)} URLs are supported")
    try:
        actual = _copy(url, target, report, deadline)
        check(url, actual, sha256)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(url: str, target: Path, report: Report, deadline: Deadline) -> str:
    request = urllib.request.Request(url, headers={"User-Agent": "kernel-toolkit"})  # noqa: S310
    state = hashlib.sha256()
    done = 0
    timeout = max(0.1, min(STALL, deadline.remaining()))
    try:
        # The scheme was checked; urllib itself refuses a redirection to file:.
        with urllib.request.urlopen(request, timeout=timeout) as answer, target.open("wb") as file:  # noqa: S310
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                state.update(chunk)
                done += len(chunk)
                report(done, total)
                deadline.check(f"the download of {url}")
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise InfrastructureError(f"{url}: the server says {error.code}") from error
        raise UserError(f"{url}: the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError | IsADirectoryError):
            raise UserError(f"cannot read {url}: {error.reason.strerror}") from error
        raise _broken(url, error.reason, deadline) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(url, error, deadline) from error
    if total is not None and done != total:
        raise _broken(url, f"{done} of {total} bytes came", deadline)
    return state.hexdigest()


def _broken(url: str, reason: object, deadline: Deadline) -> InfrastructureError:
    deadline.check(f"the download of {url}")
    return InfrastructureError(
        f"cannot download {url}: {reason}", hint="see whether the network and the server work"
    )


def check(name: str, actual: str, wanted: str) -> None:
    """Raise :class:`UserError` unless the SHA-256 ``actual`` of ``name`` is the one wanted."""
    if actual != wanted.lower():
        raise UserError(
            f"{name} has the SHA-256 {actual}, not {wanted}",
            hint="correct the checksum if you trust that content, else get the file elsewhere",
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
