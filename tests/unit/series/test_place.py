from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.series import place
from toolkit.series.place import Commits, Message


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("20240102.77-1-a@e.org", "20240102.77-1-a@e.org"),
        ("<a/b=c@e.org>", "a/b=c@e.org"),
        ("id:a@e.org", "id:a@e.org"),
        ("https://lore.kernel.org/kvm/a@e.org/T/#u", "https://lore.kernel.org/kvm/a@e.org/T"),
        ("https://lore.kernel.org/r/a@e.org", "https://lore.kernel.org/r/a@e.org"),
        ("http://lore.kernel.org/all/a%40e.org/?q=x@y", "http://lore.kernel.org/all/a%40e.org"),
        (
            "https://patchwork.kernel.org/project/kvm/patch/a@e.org/",
            "https://patchwork.kernel.org/project/kvm/patch/a@e.org",
        ),
    ],
)
def test_a_mail_of_an_archive(name: str, wanted: str) -> None:
    assert place.parse(name) == Message(wanted)


@pytest.mark.parametrize(
    "name", ["v4", "iosignalfd/v4", "./a@b", "a b@c", "a@b@c", "a@b/c", "-", "@", "~/a@b.mbox"]
)
def test_what_may_be_a_path(name: str) -> None:
    assert place.parse(name) is None


def test_a_file_goes_before_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place.parse("a@b.mbox") == Message("a@b.mbox")
    Path("a@b.mbox").touch()
    assert place.parse("a@b.mbox") is None


@pytest.mark.parametrize(
    "name", ["https://lore.kernel.org/kvm/", "https://lore.kernel.org", "http://user@host/kvm"]
)
def test_an_address_of_no_message(name: str) -> None:
    with pytest.raises(UserError, match="is the address of no message") as caught:
        place.parse(name)
    assert "lore.kernel.org/r/MESSAGE-ID" in caught.value.hint


def test_a_range_of_commits(tmp_path: Path) -> None:
    (tmp_path / "li@nux").mkdir()
    path = tmp_path / "li@nux"
    found = place.parse(f"git:{path}@v6.12..HEAD@{{1}}")
    assert found == Commits(path, "v6.12", "HEAD@{1}")
    assert found.name == "li@nux@v6.12..HEAD@{1}"
    assert place.parse(f"git:{path}@v6.12..") == Commits(path, "v6.12", "")
    assert place.parse(f"git:{path}@..topic") == Commits(path, "", "topic")


@pytest.mark.parametrize("rest", ["", "@v6.12", "@a...b"])
def test_no_range_of_commits(tmp_path: Path, rest: str) -> None:
    with pytest.raises(UserError, match="names no range of commits") as caught:
        place.parse(f"git:{tmp_path}{rest}")
    assert "git:PATH@A..B" in caught.value.hint
