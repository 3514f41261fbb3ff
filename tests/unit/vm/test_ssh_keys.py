import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from toolkit.core.errors import InfrastructureError, UserError
from toolkit.vm import ssh_keys
from toolkit.vm.ssh_keys import make_keys

# RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_dropbear_private_is_type_then_seed_and_public_key() -> None:
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    assert ssh_keys.dropbear_private(key) == (
        b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x40" + SEED + PUBLIC
    )


def test_public_line_is_what_openssh_reads() -> None:
    line = ssh_keys.public_line(Ed25519PrivateKey.from_private_bytes(SEED))
    assert load_ssh_public_key(line.encode()).public_bytes_raw() == PUBLIC  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ssh_keys.HOST_KEY_TYPES)
def test_keys_are_private_files_that_belong_together(tmp_path: Path, kind: str) -> None:
    made = make_keys(tmp_path / "keys", kind)
    for path in (made.client_key, made.authorized_keys, made.host_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = load_ssh_private_key(made.client_key.read_bytes(), None)
    assert isinstance(client, rsa.RSAPrivateKey)
    assert made.authorized_keys.read_text() == f"{ssh_keys.public_line(client)} toolkit\n"
    assert ssh_keys.load_client(made.client_key).private_numbers() == client.private_numbers()
    host_blob = base64.b64decode(made.host_public.split()[1])
    host = made.host_key.read_bytes()
    if kind == "dropbear":
        assert host[-32:] == host_blob[-32:]
    else:
        loaded = load_ssh_private_key(host, None)
        assert isinstance(loaded, Ed25519PrivateKey)
        assert ssh_keys.public_line(loaded) == made.host_public


def test_every_machine_gets_its_own_keys(tmp_path: Path) -> None:
    one = make_keys(tmp_path / "1", "dropbear")
    two = make_keys(tmp_path / "2", "dropbear")
    assert one.host_public != two.host_public
    assert one.authorized_keys.read_text() != two.authorized_keys.read_text()


def test_a_file_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "client_key").write_text("old")
    (tmp_path / "client_key").chmod(0o644)
    made = make_keys(tmp_path, "openssh")
    assert stat.S_IMODE(made.client_key.stat().st_mode) == 0o600
    assert b"old" not in made.client_key.read_bytes()


def test_fw_cfg_names_are_those_the_images_look_for(tmp_path: Path) -> None:
    made = make_keys(tmp_path, "dropbear")
    assert made.fw_cfg == {
        "opt/toolkit/host_key": made.host_key,
        "opt/toolkit/authorized_keys": made.authorized_keys,
    }


def test_unknown_format_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        make_keys(tmp_path, "putty")
    assert "dropbear or openssh" in caught.value.hint


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="cannot write SSH keys"):
        make_keys(tmp_path / "file" / "keys", "dropbear")


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "client_key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InfrastructureError, match=r"cannot read the SSH key .*client_key"):
        ssh_keys.load_client(path)
