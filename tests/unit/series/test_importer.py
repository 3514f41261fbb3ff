from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.series import catalog, importer

MBOX = Path(__file__).parents[2] / "data/mbox"
THREAD = MBOX / "thread.mbox"  # v1, a reply, then v2: out of order, and one mail twice
AM = MBOX / "v2_am.mbx"  # what b4 0.16 `am` made of it, with the cover letter beside it
TITLE = "KVM: two small things about ioeventfd"


def write(root: Path, mbox: Path, version: int | None = None, **more: str) -> str:
    settings = {"name": "", "base": "6.12", **more}
    files = importer.read(str(mbox), version)
    return importer.write(
        files, root, suites=("kvm",), name=settings["name"], base=settings["base"]
    )


@pytest.mark.parametrize("mbox", [THREAD, AM], ids=["b4-mbox", "b4-am"])
def test_the_newest_version_becomes_a_series(tmp_path: Path, mbox: Path) -> None:
    name = write(tmp_path, mbox)
    assert name == "kvm-two-small-things-about-ioeventfd/v2"
    found = catalog.resolve(name, tmp_path, "6.12.117")
    assert (found.title, found.suites) == (TITLE, ("kvm",))
    assert [patch.name for patch in found.patches] == [
        "0001-KVM-eventfd-say-what-is-left-when-nothing-is-deassig.patch",
        "0002-KVM-start-KVM_IOEVENTFD-from-a-known-state.patch",
    ]
    last = found.patches[1].content
    assert b"struct kvm_ioeventfd data = {};" in last
    assert b"Reviewed-by: R E Viewer <reviewer@example.org>\n" in last
    assert b"\nReceived:" not in last
    assert found.cover_letter.startswith("The cover letter of v2.")
    assert found.mailing
    assert found.mailing.message_id == "<ioeventfd-v2-0@example.org>"


def test_an_older_version_can_be_asked_for(tmp_path: Path) -> None:
    found = catalog.resolve(write(tmp_path, THREAD, 1), tmp_path)
    assert b"kvm_no_such_function" in found.patches[1].content
    assert b"Reviewed-by" not in found.patches[1].content
    assert found.cover_letter.startswith("The cover letter of v1.")


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no version 3") as caught:
        importer.read(str(THREAD), 3)
    assert caught.value.hint == "there is: v1, v2"


def test_a_version_with_a_gap_is_no_secret(tmp_path: Path) -> None:
    mails = THREAD.read_bytes().split(b"From 0000000000000000000000000000000000000000 ")
    kept = [mail for mail in mails if b"Subject: [PATCH v2 1/2]" not in mail]
    (tmp_path / "gap.mbox").write_bytes(
        b"From " + b"0" * 40 + b" " + (b"From " + b"0" * 40 + b" ").join(kept[1:])
    )
    files = importer.read(str(tmp_path / "gap.mbox"))
    assert files.notices == ("the series is not whole: patch 1 of 2 is missing",)


def test_git_takes_what_was_imported(tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, THREAD) / "6.12"
    patch = sorted(folder.glob("000[12]-*.patch"))[1]
    (tmp_path / "mail").mkdir()
    done = subprocess.run(
        ["git", "mailinfo", tmp_path / "msg", tmp_path / "diff"],
        input=patch.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert b"Author: A U Thor" in done.stdout
    assert "Signed-off-by" in (tmp_path / "msg").read_text()


def test_an_mbox_of_it_reads_back(tmp_path: Path) -> None:
    files = importer.read(str(THREAD))
    (tmp_path / "out.mbox").write_bytes(importer.to_mbox(files))
    again = importer.read(str(tmp_path / "out.mbox"))
    assert again.posting.version == 2
    assert [patch.subject for patch in again.patches] == [patch.subject for patch in files.patches]
    assert catalog.resolve(str(tmp_path / "out.mbox"), tmp_path).title == TITLE


@pytest.mark.parametrize("name", ["../x", "a", "a/b/c", "/etc/passwd", "a/.."])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no name"):
        write(tmp_path, THREAD, name=name)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path, THREAD, name="topic/v2")
    with pytest.raises(UserError, match="exists"):
        write(tmp_path, THREAD, name="topic/v2")


def test_a_file_that_is_missing_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file") as caught:
        importer.read(str(tmp_path / "id"))
    assert "message-id" in caught.value.hint
