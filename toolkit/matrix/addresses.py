"""Where a scheduler may be: behind TLS, or at the end of a tunnel on this host's loopback.

What Dask sends is Python's pickle, so whoever reaches an open port runs what they like.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import UserError

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/\s]+):(?P<port>\d+)"
)
_LOCALHOST = ("localhost", "ip6-localhost")


@dataclass(frozen=True, slots=True)
class Certificates:
    """A team's certificates, as files: its authority, and this side's own with its key."""

    ca: Path
    cert: Path
    key: Path


def certificates(ca: Path | None, cert: Path | None, key: Path | None) -> Certificates | None:
    """Return the certificates that are named; None where none is.

    Raises :class:`UserError` where only some are.
    """
    if ca and cert and key:
        return Certificates(ca, cert, key)
    if ca or cert or key:
        raise UserError(
            "TLS takes three files: an authority, a certificate and its key",
            hint="name all of --tls-ca-file, --tls-cert and --tls-key",
        )
    return None


def checked(address: str, *, tls: bool, tunnel: bool = True) -> str:
    """Return the whole address of a scheduler that may be talked to, with or without TLS.

    ``tunnel``: whether its end is as good as the scheduler itself. Raises :class:`UserError` for
    all others, with the reason.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UserError(
            f"{address!r} is no address of a scheduler", hint="write tls://HOST:PORT, or tcp://"
        )
    scheme = match["scheme"] or ("tls" if tls else "tcp")
    whole = f"{scheme}://{match['host']}:{match['port']}"
    if scheme not in ("tls", "tcp"):
        raise UserError(f"{address}: there is tls:// and tcp:// alone")
    if scheme == "tls" and not tls:
        raise UserError(
            f"{address} needs certificates",
            hint="name those of the team: --tls-ca-file, --tls-cert and --tls-key",
        )
    if scheme == "tcp" and tls:
        raise UserError(f"{address} is not encrypted", hint=f"did you mean tls{whole[3:]}?")
    if scheme == "tcp" and not _is_loopback(match["host"].strip("[]")):
        way = (
            f", or open a tunnel and name its end: ssh -L {match['port']}:localhost:"
            f"{match['port']} {match['host']}, tcp://localhost:{match['port']}"
        )
        raise UserError(
            f"{address} is an open port: Dask sends Python objects, so whoever reaches it can run "
            "what they like on each worker, and what they send would be run here",
            hint=f"start the scheduler with TLS{way * tunnel}",
        )
    return whole


def listening(address: str, *, tls: bool) -> str:
    """Return where a worker may listen that was told ``address``; "" for any address.

    Raises :class:`UserError` for what others would reach without TLS.
    """
    if tls or (address and _is_loopback(address)):
        return address
    if address:
        raise UserError(
            f"--listen {address} would be an open port",
            hint="start the scheduler with TLS, and name the team's certificates",
        )
    return "127.0.0.1"


def _is_loopback(host: str) -> bool:
    if host in _LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
