from __future__ import annotations

import base64
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.host.shared import keys
from toolkit.host.shared.keys import Keyring

LINE = f"ed25519 {base64.b64encode(bytes(range(32))).decode()} me@here"


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "settings")


def test_a_key_signs_and_its_public_half_checks(ring: Keyring) -> None:
    assert ring.own() is None
    own = ring.make_own()
    again = ring.own()
    assert again
    signature = again.sign(b"data")
    assert own.public.signed(signature, b"data")
    assert not own.public.signed(signature, b"date")
    assert not own.public.signed(signature[:-1], b"data")
    assert not keys.parse(LINE).signed(signature, b"data")


def test_nobody_else_can_read_a_key(ring: Keyring) -> None:
    ring.make_own()
    (file,) = ring.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(UserError, match="others can read the key"):
        ring.own()


@pytest.mark.parametrize("content", [b"", b"AAAA", b"\xff", b"no key"])
def test_a_file_that_holds_no_key(ring: Keyring, content: bytes) -> None:
    ring.make_own()
    (file,) = ring.folder.iterdir()
    file.write_bytes(content)
    with pytest.raises(UserError, match="key"):
        ring.own()


def test_a_key_is_not_made_over_another(ring: Keyring) -> None:
    before = ring.make_own().public
    with pytest.raises(UserError, match="there is a key"):
        ring.make_own()
    own = ring.own()
    assert own
    assert own.public == before


def test_keys_are_trusted_until_they_are_not(ring: Keyring) -> None:
    key = keys.parse(LINE)
    assert key.text == LINE
    assert ring.trusted() == ()
    assert ring.trust(key)
    assert not ring.trust(key)
    assert ring.trusted() == (key,)
    assert ring.distrust(key)
    assert not ring.distrust(key)
    assert ring.trusted() == ()


@pytest.mark.parametrize(
    "text",
    ["", "ed25519", "ed25519 AAAA", "rsa" + LINE[7:], LINE[8:], LINE + "\x1b[1m", "ed25519 !!! x"],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(UserError, match="this is no public key"):
        keys.parse(text)


def test_a_bad_line_among_the_trusted_names_its_file(ring: Keyring) -> None:
    ring.trust(keys.parse(LINE))
    (file,) = ring.folder.iterdir()
    file.write_text(f"# mine\n\n{LINE}\nnonsense\n")
    with pytest.raises(UserError, match=rf"{file}: this is no public key: 'nonsense'"):
        ring.trusted()
