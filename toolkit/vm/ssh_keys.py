"""The SSH keys of one machine: made afresh, passed through QEMU's fw_cfg, never part of an image.

Two pairs: the machine's host key (ed25519), whose private half goes into the guest and whose
public half the toolkit checks, and the client's key (RSA), whose public half goes into the guest.
Under emulation dropbear takes 75 ms to check an ed25519 signature, and 10 ms to check an RSA one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from toolkit.core.errors import InfrastructureError, UserError

HOST_KEY_TYPES = ("dropbear", "openssh")
KEY_TYPE = b"ssh-ed25519"
_HOST_PUBLIC = "host_key.pub"
_RSA_BITS = 2048
_RSA_EXPONENT = 65537
FW_CFG_FOLDER = "opt/toolkit"  # QEMU reserves names below opt/ for its user (docs/specs/fw_cfg)


@dataclass(frozen=True, slots=True)
class MachineKeys:
    """The key files of one machine. Every file is readable by its owner alone."""

    client_key: Path  # private, OpenSSH format: what an SSH client logs in with
    authorized_keys: Path  # one line: what the guest lets in
    host_key: Path  # private, in the format of the guest's SSH server
    host_public: str  # "ssh-ed25519 AAAA...": what the server must show

    @property
    def fw_cfg(self) -> Mapping[str, Path]:
        """The files to hand to the machine, by the fw_cfg names its init looks for."""
        return {
            f"{FW_CFG_FOLDER}/host_key": self.host_key,
            f"{FW_CFG_FOLDER}/authorized_keys": self.authorized_keys,
        }


def make_keys(folder: Path, host_key_type: str) -> MachineKeys:
    """Write fresh keys below ``folder``, which is made if need be, and return their paths.

    ``host_key_type`` is ``dropbear`` or ``openssh``; anything else is a :class:`UserError`.
    Raises :class:`InfrastructureError` when the files cannot be written.
    """
    if host_key_type not in HOST_KEY_TYPES:
        raise UserError(
            f"there is no host key format {host_key_type!r}",
            hint=f"an image may ask for {' or '.join(HOST_KEY_TYPES)}",
        )
    client = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
    host = Ed25519PrivateKey.generate()
    encode_host = dropbear_private if host_key_type == "dropbear" else openssh_private
    keys = _keys(folder, public_line(host))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(keys.client_key, openssh_private(client))
        _write_private(keys.authorized_keys, f"{public_line(client)} toolkit\n".encode())
        _write_private(keys.host_key, encode_host(host))
        _write_private(folder / _HOST_PUBLIC, f"{keys.host_public}\n".encode())
    except OSError as error:
        raise InfrastructureError(f"cannot write SSH keys to {folder}: {error}") from error
    return keys


def load_keys(folder: Path) -> MachineKeys:
    """Return the keys that :func:`make_keys` wrote below ``folder``, wherever it is now.

    Raises :class:`InfrastructureError` when they cannot be read.
    """
    try:
        public = (folder / _HOST_PUBLIC).read_text().strip()
    except OSError as error:
        raise InfrastructureError(f"cannot read SSH keys in {folder}: {error}") from error
    return _keys(folder, public)


def load_client(path: Path) -> rsa.RSAPrivateKey:
    """Return the private key in a file that :func:`make_keys` wrote.

    It is trusted: checking its primes again would take 40 to 80 ms for each machine.
    Raises :class:`InfrastructureError` when it cannot be read.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"cannot read the SSH key {path}: {error}") from error
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _keys(folder: Path, host_public: str) -> MachineKeys:
    return MachineKeys(
        client_key=folder / "client_key",
        authorized_keys=folder / "authorized_keys",
        host_key=folder / "host_key",
        host_public=host_public,
    )


def openssh_private(key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a private key as OpenSSH writes it (PROTOCOL.key), without a pass phrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def dropbear_private(key: Ed25519PrivateKey) -> bytes:
    """Return a private key as dropbear's host key file holds it.

    That is an SSH string (RFC 4251, section 5) with the type and one with the 32-byte seed
    followed by the 32-byte public key, as buf_put_ed25519_priv_key() in dropbear's ed25519.c.
    """
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return _string(KEY_TYPE) + _string(seed + public)


def public_line(key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    """Return the public half as authorized_keys and known_hosts show it, without a comment."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _write_private(path: Path, data: bytes) -> None:
    # A new file: open() does not change the mode of one that exists already.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
