import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, UserError
from toolkit.host.download import download, sha256_of

CONTENT = bytes(range(256)) * 4096
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; what goes wrong is in the path's name."""

    def do_GET(self) -> None:
        if self.path.startswith("/status/"):
            self.send_error(int(self.path.rpartition("/")[2]))
            return
        if self.path == "/to-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/unknown-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path in ("/short", "/stall") else CONTENT)
        if self.path == "/stall":
            self.server.gate.wait(30)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.gate = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.gate.set()  # type: ignore[attr-defined]
        httpd.shutdown()
        thread.join()


def quiet(done: int, total: int | None) -> None:
    pass


@pytest.mark.parametrize("path", ["/whole", "/unknown-length"])
def test_content_and_progress(server: str, tmp_path: Path, path: str) -> None:
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "a"
    download(server + path, SUM.upper(), target, lambda *count: told.append(count), soon())
    assert sha256_of(target) == SUM
    assert told[-1] == (len(CONTENT), len(CONTENT) if path == "/whole" else None)


def test_a_file_url(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    download((tmp_path / "a").as_uri(), SUM, tmp_path / "b", quiet, soon())
    assert (tmp_path / "b").read_bytes() == CONTENT
    with pytest.raises(UserError, match="none"):
        download((tmp_path / "none").as_uri(), SUM, tmp_path / "b", quiet, soon())


@pytest.mark.parametrize(
    ("path", "error", "what"),
    [
        ("/status/404", UserError, "404"),
        ("/status/503", InfrastructureError, "503"),
        ("/short", InfrastructureError, "1000 of 1048576 bytes came"),
        ("/to-file", (UserError, InfrastructureError), "to-file"),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    server: str, tmp_path: Path, path: str, error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        download(server + path, SUM, tmp_path / "a", quiet, soon())
    assert list(tmp_path.iterdir()) == []


def test_another_checksum_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"SHA-256 {SUM}, not {'0' * 64}"):
        download(server + "/whole", "0" * 64, tmp_path / "a", quiet, soon())
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_stalls_meets_the_deadline(server: str, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError):
        download(server + "/stall", SUM, tmp_path / "a", quiet, Deadline.after(0.3))
    assert list(tmp_path.iterdir()) == []


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot download"):
        download("http://127.0.0.1:9/x", SUM, tmp_path / "a", quiet, soon())


@pytest.mark.parametrize("url", ["ftp://example.org/x", "data:,x", "x", "javascript:1"])
def test_other_schemes(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="only http, https, file"):
        download(url, SUM, tmp_path / "a", quiet, soon())
