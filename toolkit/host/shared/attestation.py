"""What is said of an entry in a shared cache, and who says it. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolkit.host.shared import keys
from toolkit.host.shared.keys import PublicKey, SigningKey

MOST_BYTES = 1 << 16  # of an attestation
_CONTEXT = b"kernel-toolkit, entry of a shared cache, 1\n"  # before what is signed


class RefusedError(Exception):
    """An entry of a shared cache does not count; its text says why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Attestation(_Strict):
    """An entry: which one, and what its archive has to be."""

    kind: str
    key: str
    label: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)  # bytes of the archive
    toolkit: str  # the version that made it

    @property
    def archive(self) -> str:
        """The name of the archive, beside the attestation."""
        return f"{self.key}.{self.sha256[:16]}.tar.zst"


class _Signed(_Strict):
    payload: str  # an Attestation in JSON, as it was signed
    key: str
    signature: str


def sign(attestation: Attestation, key: SigningKey) -> bytes:
    """Return an attestation as it lies in the store."""
    payload = attestation.model_dump_json()
    signature = key.sign(_CONTEXT + payload.encode())
    return (
        _Signed(
            payload=payload,
            key=base64.b64encode(key.public.raw).decode(),
            signature=base64.b64encode(signature).decode(),
        )
        .model_dump_json()
        .encode()
    )


def verify(data: bytes, kind: str, key: str, trusted: Iterable[PublicKey]) -> Attestation:
    """Return what is attested of the entry ``kind/key``; raises :class:`RefusedError`."""
    try:
        signed = _Signed.model_validate_json(data)
        raw = base64.b64decode(signed.key, validate=True)
        signature = base64.b64decode(signed.signature, validate=True)
    except (ValidationError, ValueError) as error:
        raise RefusedError("its attestation is damaged") from error
    signer = next((each for each in trusted if each.raw == raw), None)
    if signer is None:
        raise RefusedError(
            f"it is signed with a key that is not trusted, {PublicKey(raw).text}"
            if len(raw) == keys.SIZE
            else "its attestation is damaged"
        )
    if not signer.signed(signature, _CONTEXT + signed.payload.encode()):
        raise RefusedError(f"its signature is not that of {signer.text}")
    try:
        attestation = Attestation.model_validate(json.loads(signed.payload))
    except (ValidationError, ValueError) as error:
        raise RefusedError("its attestation is of another version of the toolkit") from error
    if (attestation.kind, attestation.key) != (kind, key):
        raise RefusedError(f"it is another entry, {attestation.kind}/{attestation.key}")
    return attestation
