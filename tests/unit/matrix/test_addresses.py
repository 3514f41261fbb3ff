from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.matrix import addresses
from toolkit.matrix.addresses import Certificates


@pytest.mark.parametrize(
    ("address", "tls", "whole"),
    [
        ("tls://build1:8786", True, "tls://build1:8786"),
        ("build1.example.org:8786", True, "tls://build1.example.org:8786"),
        ("tls://[2001:db8::1]:8786", True, "tls://[2001:db8::1]:8786"),
        ("localhost:8786", False, "tcp://localhost:8786"),
        ("tcp://127.0.0.1:8786", False, "tcp://127.0.0.1:8786"),
        ("tcp://127.1.2.3:1", False, "tcp://127.1.2.3:1"),
        ("tcp://[::1]:8786", False, "tcp://[::1]:8786"),
    ],
)
def test_tls_and_the_loopback_are_taken(address: str, tls: bool, whole: str) -> None:
    assert addresses.checked(address, tls=tls) == whole


@pytest.mark.parametrize(
    ("address", "tls", "what", "hint"),
    [
        ("tcp://build1:8786", False, "is an open port", "ssh -L 8786:localhost:8786 build1"),
        ("10.0.0.1:8786", False, "is an open port", "start the scheduler with TLS"),
        ("127.0.0.1.example.org:8786", False, "is an open port", ""),
        ("[::2]:1", False, "is an open port", ""),
        ("tls://build1:8786", False, "needs certificates", "--tls-ca-file"),
        ("tcp://build1:8786", True, "is not encrypted", "did you mean tls://build1:8786?"),
        ("tcp://localhost:8786", True, "is not encrypted", "tls://localhost"),
        ("ws://localhost:8786", False, "there is tls:// and tcp:// alone", ""),
        ("localhost", False, "is no address of a scheduler", "tls://HOST:PORT"),
        ("tcp://local host:1", False, "is no address of a scheduler", ""),
        ("tcp://-oProxyCommand=x:1:2", False, "is no address of a scheduler", ""),
    ],
)
def test_all_others_are_refused_with_the_reason(
    address: str, tls: bool, what: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        addresses.checked(address, tls=tls)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_tunnel_is_of_no_use_to_a_worker() -> None:
    with pytest.raises(UserError) as caught:
        addresses.checked("tcp://build1:8786", tls=False, tunnel=False)
    assert caught.value.hint == "start the scheduler with TLS"


def test_without_tls_a_worker_listens_on_the_loopback() -> None:
    assert addresses.listening("", tls=False) == "127.0.0.1"
    assert addresses.listening("::1", tls=False) == "::1"
    assert addresses.listening("eth0", tls=True) == "eth0"
    assert addresses.listening("", tls=True) == ""
    for address in ("0.0.0.0", "eth0", "10.0.0.1"):
        with pytest.raises(UserError, match="would be an open port"):
            addresses.listening(address, tls=False)


def test_certificates_are_three_files() -> None:
    ca, cert, key = (Path(name) for name in ("ca", "cert", "key"))
    assert addresses.certificates(ca, cert, key) == Certificates(ca, cert, key)
    assert addresses.certificates(None, None, None) is None
    with pytest.raises(UserError, match="TLS takes three files"):
        addresses.certificates(ca, None, key)
