"""Inputs that mean harm: nothing is written outside, nothing hangs, and each is the user's error.

They are made here by code. What is refused is refused by a UserError, which is exit code 2; what
is taken has touched only files inside the tree.
"""

from __future__ import annotations

import base64
import gzip
import os
import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, mail, make_base, soon
from toolkit.core.errors import EXIT_USER, UserError
from toolkit.series import catalog, importer, patching, reader

FILE = "virt/kvm/eventfd.c"
WHOLE = mail(edit(FILE))
SECONDS = 30.0  # far above the bounds: a busy host must not fail the test


def nested(kind: str, depth: int) -> bytes:
    if kind == "rfc822":
        head = b"Content-Type: message/rfc822\n\n" * depth
        return b"From: a@b\nSubject: [PATCH] n\n" + head + edit(FILE).encode()
    parts = "".join(
        f'Content-Type: multipart/{kind}; boundary="b{n}"\n\n--b{n}\n' for n in range(depth)
    )
    return f"From: a@b\nSubject: [PATCH] n\nMIME-Version: 1.0\n{parts}\n{edit(FILE)}".encode()


def subject(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return WHOLE.replace(b"[PATCH] kvm: change a thing", raw)


def binary(kind: str, size: int, data: bytes) -> bytes:
    lines = b"".join(
        bytes([b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[len(part) - 1]])
        + base64.b85encode(part, pad=True) + b"\n"
        for part in (data[at : at + 52] for at in range(0, len(data), 52))
    )  # fmt: skip
    head = (
        b"diff --git a/x.bin b/x.bin\nnew file mode 100644\n"
        b"index " + b"0" * 40 + b".." + b"1" * 40 + b"\n"
    )
    return mail(head + b"GIT binary patch\n%s %d\n%s\n" % (kind.encode(), size, lines))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | (number & 0x7F))
        number >>= 7
    return bytes([*out, number])


def copies(size: int) -> bytes:
    """A git delta that makes ``size`` bytes by copying a byte range over and over."""
    return varint(0x10000) + varint(size) + b"\x80" * (size >> 16)


def rename(old: str, new: str) -> str:
    return (
        f"diff --git a/{old} b/{new}\nsimilarity index 100%\nrename from {old}\nrename to {new}\n"
    )


def mails() -> Iterator[tuple[str, bytes]]:
    """Yield mails that are bad as mails, each with a name for it."""
    for kind in ("mixed", "alternative", "related", "rfc822"):
        for depth in (5, 50, 1000, 20_000):
            yield f"nested-{kind}-{depth}", nested(kind, depth)
    yield "from-lines", b"From a " + b"1:11 " * 20_000 + b"\n" + WHOLE
    yield "many-from-lines", b"From a 1:11 2024\n" * 100_000
    yield "from-lines-in-words", WHOLE.replace(b"Why.\n", b"From x at 11:11 or 2024\n" * 2000)
    yield "encoded-words", subject("[PATCH] " + "=?utf-8?q?x?= " * 20_000)
    yield "half-encoded-words", subject("[PATCH] " + "=?utf-8?q?" * 20_000)
    yield "brackets", subject("[" * 50_000 + "PATCH" + "]" * 50_000)
    yield "many-brackets", subject("[PATCH 1/1]" * 20_000 + " x")
    yield "replies", subject("Re: " * 50_000 + "[PATCH] x")
    yield "numbers", subject("[PATCH 9999/9999] x")
    yield "huge-numbers", subject("[PATCH v999999999999 99999999999/99999999999999] x")
    yield "folded", subject("[PATCH]" + "\n x" * 50_000)
    for charset in ("rot13", "unicode_escape", "mbcs", "../../etc", "utf-7", "x" * 5000, "zlib"):
        yield f"charset-{charset[:10]}", subject(f"=?{charset}?q?[PATCH]=FFx?=")
        yield (
            f"content-{charset[:10]}",
            WHOLE.replace(
                b"Subject", f"Content-Type: text/plain; charset={charset}\nSubject".encode()
            ),
        )
    for name, text in {
        "escape": "\x1b]0;x\x07\x1b[2J", "nul": "\0", "rtl": "\u202e", "bell": "\a" * 100,
        "shell": "$(touch pwned)`touch pwned`;touch pwned", "dots": "../../../pwned",
        "yaml": "!!python/object/apply:os.system ['touch pwned']", "html": "<script>",
        "surrogate": "=?utf-7?q?+2AA-?=", "newline": "=?utf-8?q?=0Atitle:_x?=", "empty": "",
        "line-separators": "a\u2028b\u2029c\x85d", "noncharacter": "\uffff\ufffe",
    }.items():  # fmt: skip
        yield f"subject-{name}", subject(f"[PATCH] {text}")
        yield f"words-{name}", WHOLE.replace(b"Why.", text.encode(errors="replace"))


def diffs() -> Iterator[tuple[str, bytes]]:
    """Yield diffs that reach for what is not theirs, or for more than there is."""
    for path in (
        "../out", "a/../../out", "/tmp/out", ".git/config", "x/.GIT/hooks/post-checkout", "y" * 300,
        "/".join("d" * 50), ".git /config", "git~1/config", ".g\u200cit/config", "con", "~/out",
        "-n", "a/./b", "a//b", "a\\..\\b", "scripts/include/x.h", "scripts/include",
    ):  # fmt: skip
        yield f"new-{path[:20]}", mail(create(path))
        yield f"edit-{path[:20]}", mail(edit(path))
        yield f"rename-{path[:20]}", mail(rename(FILE, path))
        old = f"--- a/{path}\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        yield f"traditional-{path[:20]}", mail(old)
    yield "link", mail(create("l", "/etc", "120000"))
    yield "link-then-through", mail(create("l", "/tmp", "120000") + create("l/pwned"))
    yield "submodule", mail(create("s", "x", "160000"))
    yield "setuid", mail(create("s", "x", "104755"))
    yield "device", mail(create("s", "x", "020666"))
    yield "other-name", mail(edit(FILE).replace(f"+++ b/{FILE}", "+++ b/../../out"))
    yield "prefix-dots", mail(edit(FILE).replace(" b/", " ../").replace(" a/", " ../"))
    yield "literal", binary("literal", 1 << 30, zlib.compress(b"\0" * (1 << 20)))
    yield "literal-lies", binary("literal", 10, zlib.compress(b"\0" * (50 << 20)))
    yield "delta", binary("delta", 1 << 16, zlib.compress(copies(1 << 32)))
    yield "hunk-huge", mail(edit(FILE).replace("-7,7", "-999999999,999999999"))
    yield "hunk-endless", mail(edit(FILE).replace("@@ -7", "@@ -7" + "7" * 10_000))
    yield "hunks", mail(f"--- a/{FILE}\n+++ b/{FILE}\n" + "@@ -1 +1 @@\n-line 1\n+x\n" * 20_000)


def containers() -> Iterator[tuple[str, bytes]]:
    """Yield files that are large, packed, or nothing at all."""
    yield "headers", b"".join(b"X-%d: x\n" % n for n in range(50_000)) + WHOLE
    yield "ids", WHOLE.replace(b"Date", b"References: " + b"<a@b> " * 50_000 + b"\nDate")
    yield "quilt-name", mail(edit(FILE).replace("a/", '"' + "\\" * 10_000))
    yield "spaces", mail(f"diff --git {' ' * 100_000}\nold mode 100644\nnew mode 100755\n")
    yield "nothing-but-lines", b"From: a@b\nSubject: [PATCH] x\n\n---\n" + b"\n" * (3 << 20)
    yield "gzip-bomb", gzip.compress(b"\0" * (100 << 20))
    yield "gzip-twice", gzip.compress(gzip.compress(WHOLE))
    yield "gzip-cut", gzip.compress(WHOLE)[:50]
    noise = random.Random(2009)  # so that it is the same each time
    for number in range(5):
        yield f"noise-{number}", noise.randbytes(50_000)
        broken = bytearray(WHOLE * 3)
        for _ in range(60):
            broken[noise.randrange(len(broken))] = noise.randrange(256)
        yield f"broken-{number}", bytes(broken)


CASES = dict([*mails(), *diffs(), *containers()])


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, b"" if path.is_symlink() else
                                        path.read_bytes())
        for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()
    }  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(CASES) > 150


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_means_harm(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base(tmp_path / "base")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(scratch)
    file = tmp_path / "in.patch"
    file.write_bytes(CASES[name])
    before = state(tmp_path)
    began = time.monotonic()
    try:
        series = catalog.resolve(str(file), tmp_path / "none")
        tree = patching.apply(base, series, soon())
    except UserError as error:
        assert error.exit_code == EXIT_USER
        assert error.what.isprintable()
        assert error.hint
    else:
        assert all(not path.startswith(("/", "../")) for path in tree.files)
        assert all(patch.name.isprintable() and "/" not in patch.name for patch in series.patches)
        roundtrip(reader.read(file), tmp_path / "patches")
    assert time.monotonic() - began < SECONDS
    after = state(tmp_path)
    assert {path: what for path, what in after.items() if not path.startswith("patches/")} == before
    assert list(scratch.iterdir()) == []


def roundtrip(files: reader.PatchFiles, root: Path) -> None:
    """An import of it can be read, and says the same."""
    name = importer.write(files, root, name="t/v1", base="6.12", suites=())
    again = catalog.resolve(name, root)
    assert len(again.patches) == len(files.patches)
    assert again.title.isprintable()
    again.title.encode()
    assert catalog.list_series(root)
    assert importer.to_mbox(files)


def test_a_folder_of_traps(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "0001-a.patch").write_bytes(WHOLE)
    os.mkfifo(folder / "0002-b.patch")
    (folder / "0003-c.patch").symlink_to("0003-c.patch")
    (folder / "0004-d.patch").symlink_to("/dev/zero")
    (folder / "0005-e.patch").mkdir()
    (folder / "0006-\x1b[2J.patch").write_bytes(WHOLE.replace(b"line 10", b"changed"))
    found = catalog.resolve(str(folder), tmp_path)
    assert [patch.name for patch in found.patches] == ["0001-a.patch", "0006-\x1b[2J.patch"]
    assert list(patching.apply(base, found, soon()).files) == [FILE]
    with pytest.raises(UserError, match="it is a device"):
        reader.read(Path("/dev/zero"))
