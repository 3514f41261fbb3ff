"""The ed25519 keys of a shared cache: this user's own, and those that are trusted.

A public key is a line ``ed25519 BASE64 COMMENT``, in the manner of OpenSSH's.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from toolkit.core import files
from toolkit.core.errors import InfrastructureError, UserError

_ALGORITHM = "ed25519"
SIZE = 32  # bytes of either key (RFC 8032)
_MOST_BYTES = 1 << 20  # of a file of keys


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with. The comment says whose it is, and proves nothing."""

    raw: bytes
    comment: str = ""

    @property
    def text(self) -> str:
        """The line that others are given."""
        words = (_ALGORITHM, base64.b64encode(self.raw).decode(), self.comment)
        return " ".join(filter(None, words))

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Return whether the holder of the private key signed ``data``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse(text: str) -> PublicKey:
    """Return the key of a line; raises :class:`UserError` for anything else."""
    algorithm, _, rest = text.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if algorithm != _ALGORITHM or len(raw) != SIZE or not comment.isprintable():
        raise UserError(
            f"this is no public key: {text.strip()[:120]!r}",
            hint="a key is the line that `toolkit cache keygen` prints: ed25519 BASE64 COMMENT",
        )
    return PublicKey(raw, comment.strip())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """This user's own key."""

    private: Ed25519PrivateKey
    public: PublicKey

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``."""
        return self.private.sign(data)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys in a folder of this user's settings."""

    folder: Path

    @property
    def _own(self) -> Path:
        return self.folder / "shared-cache.key"

    @property
    def _trusted(self) -> Path:
        return self.folder / "shared-cache.trusted"

    def own(self) -> SigningKey | None:
        """Return this user's key; None before there is one.

        Raises :class:`UserError` for a file that holds none, or that others can read.
        """
        try:
            others = self._own.stat().st_mode & 0o077
            raw = base64.b64decode(self._own.read_bytes(), validate=True)
        except FileNotFoundError:
            return None
        except (OSError, binascii.Error) as error:
            raise UserError(f"cannot read the key in {self._own}: {error}") from error
        if others:
            raise UserError(
                f"others can read the key in {self._own}", hint=f"chmod 600 {self._own}"
            )
        if len(raw) != SIZE:
            raise UserError(f"{self._own} holds no key", hint="remove it, and make a new one")
        private = Ed25519PrivateKey.from_private_bytes(raw)
        return SigningKey(private, PublicKey(private.public_key().public_bytes_raw(), _whose()))

    def make_own(self) -> SigningKey:
        """Make this user's key; raises :class:`UserError` where there is one."""
        if self._own.exists():
            raise UserError(
                f"there is a key in {self._own} already",
                hint="remove the file first; what it signed stays valid for those who trust it",
            )
        private = Ed25519PrivateKey.generate()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self._own, flags, 0o600), "wb") as file:
                file.write(base64.b64encode(private.private_bytes_raw()))
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._own}: {error}") from error
        key = self.own()
        assert key
        return key

    def trusted(self) -> tuple[PublicKey, ...]:
        """Return the keys that are trusted; raises :class:`UserError` for a bad line."""
        try:
            if self._trusted.stat().st_size > _MOST_BYTES:
                raise UserError(f"{self._trusted} is larger than {_MOST_BYTES >> 20} MiB")
            lines = self._trusted.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise UserError(f"cannot read {self._trusted}: {error}") from error
        try:
            return tuple(parse(line) for line in lines if line.strip() and line[0] != "#")
        except UserError as error:
            raise UserError(f"{self._trusted}: {error.what}", hint=error.hint) from error

    def trust(self, key: PublicKey) -> bool:
        """Trust a key; return whether it was not trusted before."""
        known = self.trusted()
        if key.raw in {other.raw for other in known}:
            return False
        self._write((*known, key))
        return True

    def distrust(self, key: PublicKey) -> bool:
        """Trust a key no longer; return whether it was trusted before."""
        known = self.trusted()
        kept = tuple(other for other in known if other.raw != key.raw)
        self._write(kept)
        return kept != known

    def _write(self, keys: tuple[PublicKey, ...]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.replace(self._trusted, (f"{key.text}\n".encode() for key in keys))
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._trusted}: {error}") from error


def _whose() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user that passwd does not know
        return socket.gethostname()
