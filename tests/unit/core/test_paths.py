from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

import pytest

from toolkit.core import paths
from toolkit.core.errors import UserError

ALL = ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user whom the password database does not know, with no HOME."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ALL:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("home", [None, "", "not/absolute"])
def test_without_a_home_the_user_is_told_what_to_set(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(UserError, match="no home folder for the toolkit's files") as caught:
        paths.resolve()
    assert "HOME" in caught.value.hint


@pytest.mark.usefixtures("nobody")
def test_the_xdg_variables_do_instead_of_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    with pytest.raises(UserError, match="XDG_STATE_HOME"):
        paths.resolve()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert paths.resolve().cache == tmp_path / "c" / paths.APP
    assert paths.resolve().runs == tmp_path / "s" / paths.APP / "runs"


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    (tmp_path / "patches").mkdir()
    with pytest.raises(UserError, match="lacks kselftests, vm-images"):
        paths.resolve(tmp_path)


def test_a_tilde_stands_for_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/a/home")
    assert paths.expand("~/b") == Path("/a/home/b")
    assert paths.expand("b/~") == Path("b/~")
    root = pwd.getpwuid(os.getuid())
    assert paths.expand(f"~{root.pw_name}/b") == Path(root.pw_dir) / "b"


def test_a_tilde_before_nobody_s_name() -> None:
    with pytest.raises(UserError, match=r"^~no-such-user/b: no home folder"):
        paths.expand("~no-such-user/b")


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    assert paths.exists(tmp_path)
    assert not paths.exists(tmp_path / "none")
    assert not paths.exists(tmp_path / ("x" * 5000))
    assert not paths.exists(tmp_path / "a\0b")


def test_what_may_not_be_looked_for_is_the_caller_s_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(UserError, match=r"cannot look for .*: Permission denied") as caught:
        paths.exists(tmp_path)
    assert caught.value.hint
