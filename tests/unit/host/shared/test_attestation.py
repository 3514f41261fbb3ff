from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.host.shared import attestation
from toolkit.host.shared.attestation import Attestation, RefusedError
from toolkit.host.shared.keys import Keyring, SigningKey

SAID = Attestation(
    kind="build", key="k1", label="6.12.1", sha256="ab" * 32, size=12, toolkit="0.3.0"
)


def a_key(folder: Path) -> SigningKey:
    return Keyring(folder).make_own()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return a_key(tmp_path_factory.mktemp("key"))


def refusal(data: bytes, *keys: SigningKey, name: str = "k1") -> str:
    with pytest.raises(RefusedError) as caught:
        attestation.verify(data, "build", name, [key.public for key in keys])
    return str(caught.value)


def test_what_is_signed_is_what_was_said(key: SigningKey) -> None:
    data = attestation.sign(SAID, key)
    assert attestation.verify(data, "build", "k1", [key.public]) == SAID
    assert SAID.archive == "k1.abababababababab.tar.zst"


def test_whose_word_does_not_count(key: SigningKey, tmp_path: Path) -> None:
    other = a_key(tmp_path)
    data = attestation.sign(SAID, other)
    assert "not trusted, ed25519 " in refusal(data, key)
    assert refusal(data, key, other, name="k2") == "it is another entry, build/k1"
    forged = {**json.loads(data), "key": json.loads(attestation.sign(SAID, key))["key"]}
    assert "its signature is not that of ed25519" in refusal(json.dumps(forged).encode(), key)


def test_what_a_later_toolkit_says_is_not_guessed(key: SigningKey) -> None:
    signed = json.loads(attestation.sign(SAID, key))
    payload = json.dumps({**json.loads(signed["payload"]), "compressed": "xz"})
    # Signed as a later toolkit would, if it did not change what stands before the payload.
    later = attestation._Signed(
        payload=payload,
        key=signed["key"],
        signature=base64.b64encode(key.sign(attestation._CONTEXT + payload.encode())).decode(),
    )
    assert "another version" in refusal(later.model_dump_json().encode(), key)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(data: bytes, key: SigningKey) -> None:
    assert refusal(data, key) == "its attestation is damaged"


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int, key: SigningKey) -> None:
    data = bytearray(attestation.sign(SAID, key))
    data[at % len(data)] ^= 1 << bit
    try:
        said = attestation.verify(bytes(data), "build", "k1", [key.public])
    except RefusedError:
        return
    assert said == SAID  # white space of the JSON around it, or the unused bits of base64
