"""Message-ids: b4 itself, against an archive on this machine that answers as public-inbox does."""

from __future__ import annotations

import gzip
import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.series.mails import BOB, Posted, posting, reply
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.series import catalog, lore, reader, scratch
from toolkit.series.place import Message


@dataclass
class Archive:
    """What is served: answers by path, and the paths that were asked for."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def post(self, *mails: Posted) -> None:
        """Serve a thread under the id of each of its mails, with an older copy of each mail."""
        copies = b"".join(mail.mail() for mail in (*mails, *mails))
        for mail in mails:
            self.answers[f"/all/{mail.identity}/t.mbox.gz"] = 200, gzip.compress(copies)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    served = Archive()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.unquote(self.path)
            served.asked.append(path)
            status, body = served.answers.get(path, (404, b"not found"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - as http.server calls it

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    configure(monkeypatch, served.url)
    lore.thread.cache_clear()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Configure b4 as `git config b4.midmask` does, and keep all proxies out."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for number, (name, mask) in enumerate((("midmask", "/all/%s"), ("linkmask", "/%s"))):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", f"b4.{name}")
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", url + mask)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_message_id_brings_its_whole_thread(archive: Archive) -> None:
    cover, first, second = posting(2)
    first.body = "Why.\n\nFrom nobody to everybody\n"
    ack = reply(cover, "Acked-by: Bob Example <bob@example.org>\n")
    archive.post(cover, first, second, ack)
    found = reader.read(Message(second.identity))
    assert [patch.subject for patch in found.patches] == ["step 1", "step 2"]
    assert found.patches[0].message == "Why.\n\nFrom nobody to everybody"
    assert [each.text for each in found.posting.trailers] == [
        "Acked-by: Bob Example <bob@example.org>"
    ]
    assert found.mailing is not None
    assert found.mailing.message_id == f"<{cover.identity}>"
    assert archive.asked == [f"/all/{second.identity}/t.mbox.gz"]
    assert reader.read(Message(second.identity)).title == "all of it"
    assert len(archive.asked) == 1  # asked once, however often it is read


def test_what_does_not_belong_to_the_thread_is_left_out(archive: Archive) -> None:
    """An archive may answer with threads that only look alike."""
    cover, first = posting(1)
    other = Posted("[PATCH 1/1] another", "o.c", sender=BOB)
    archive.post(cover, first, other)
    assert [patch.subject for patch in reader.read(Message(first.identity)).patches] == ["step 1"]


def test_the_address_of_a_message(archive: Archive) -> None:
    cover, first = posting(1)
    archive.post(cover, first)
    for form in ("{}/all/{}/", "{}/all/{}/T/#u", "{}/all/{}/raw?x=y", "{}/r/{}"):
        name = form.format(archive.url, first.identity)
        found = catalog.resolve(name, Path("/nonexistent"))
        assert found.title == "all of it"
    assert catalog.resolve(f"<{first.identity}>", Path("/nonexistent")).name == (first.identity)


def test_another_archive_than_the_configured_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover, first = posting(1)
    archive.post(cover, first)
    configure(monkeypatch, "http://127.0.0.1:9")
    address = f"{archive.url}/all/{first.identity}"
    assert reader.read(Message(address)).title == "all of it"


def test_a_message_that_is_not_there(archive: Archive) -> None:
    with pytest.raises(
        UserError, match=r"127\.0\.0\.1:\d+ has no message x@example\.org"
    ) as caught:
        reader.read(Message("x@example.org"))
    assert "b4.midmask" in caught.value.hint


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, "http://127.0.0.1:9")  # discard: nobody listens
    lore.thread.cache_clear()
    with pytest.raises(InfrastructureError, match=r"cannot reach 127\.0\.0\.1:9") as caught:
        reader.read(Message("y@example.org"))
    assert caught.value.exit_code == 3
    assert "refused" in caught.value.what
    assert "b4 mbox MESSAGE-ID" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [(500, b"", "500"), (403, b"no", "403"), (200, b"<html>", "no mailbox")],
)
def test_an_archive_that_does_not_answer_well(
    archive: Archive, status: int, body: bytes, word: str
) -> None:
    archive.answers["/all/z@example.org/t.mbox.gz"] = status, body
    with pytest.raises(InfrastructureError, match=r"does not give z@example\.org") as caught:
        reader.read(Message("z@example.org"))
    assert word in caught.value.what


def test_a_small_answer_that_unpacks_to_more_than_a_thread(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "SECONDS", 60.0)  # a busy host must not get in before
    bomb = gzip.compress(bytes(512 << 20), compresslevel=1)
    archive.answers["/all/bomb@example.org/t.mbox.gz"] = 200, bomb
    with pytest.raises(UserError, match="takes more than 300 MiB"):
        reader.read(Message("bomb@example.org"))


def test_nobody_is_left_behind_in_the_home_folder(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor is a home folder needed."""
    cover, first = posting(1)
    archive.post(cover, first)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert reader.read(Message(first.identity)).patches
    assert list(tmp_path.iterdir()) == []
    lore.thread.cache_clear()
    monkeypatch.delenv("HOME")
    assert reader.read(Message(cover.identity)).patches
