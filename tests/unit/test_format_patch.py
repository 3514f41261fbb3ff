"""Whatever git format-patch writes comes back as the commits that it was made of."""

from __future__ import annotations

import email.utils
import gzip
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import git, soon
from toolkit.core.model.kernel import KernelBase
from toolkit.series import catalog, importer, patching, reader

NAMES = st.sampled_from(["a.c", "lib/b.c", "lib/sub/d e.S", "h\u00e9.txt", "-x", 'q"uote'])
LINES = st.lists(
    st.sampled_from(["", "x", "\tint a =3D 1;", "--- a/x", "+++ b/x", "@@ -1 +1 @@", "\u00e9"]),
    max_size=8,
)
TEXTS = LINES.map(lambda lines: "".join(f"{line}\n" for line in lines).encode())
BYTES = st.binary(max_size=60).map(lambda data: data.replace(b"\r", b""))  # git mailsplit does, too
CONTENTS = st.one_of(TEXTS, TEXTS.map(lambda text: text.rstrip(b"\n")), BYTES)
TREES = st.dictionaries(NAMES, CONTENTS, max_size=4)
SUBJECTS = st.sampled_from(
    [
        "kvm: fix it",
        "a [b] c: 1/2",
        "Gr\u00f6\u00dfe \u2014 \u7b54\u590d",
        "x" * 90,
        "word " * 30 + "end",
    ]
)
BODIES = st.lists(
    st.sampled_from(
        [
            "",
            "From here on it works.",
            ">From the review",
            "@@ -1,2 +1,2 @@",
            "+++ b/x",
            "Zo\u00eb says: =20 no",
            "> quoted",
            "-- ",
            "  diff --git a/x b/x",
            "Link: https://example.org/x",
        ]
    ),
    max_size=5,
).map("\n".join)
AUTHORS = st.sampled_from(
    [
        ("A Hacker", "a@example.org"),
        ("Zo\u00eb M\u00fcller", "z@example.org"),
        ("J. R. H", "j@e.org"),
    ]
)
OPTIONS = st.tuples(
    st.sampled_from(["", "-n", "-N"]),
    st.sampled_from(["", "-v2"]),
    st.sampled_from(["", "--cover-letter"]),
    st.sampled_from(["", "--attach", "--inline"]),
    st.sampled_from(["", "--thread", "--thread=deep", "--in-reply-to=<x@example.org>"]),
    st.sampled_from(["", "--rfc", "--subject-prefix=PATCH net-next", "--subject-prefix=KVM PATCH"]),
    st.sampled_from(["--no-renames", "-M", "-C", "-B"]),
    st.sampled_from(["", "--base=root", "--zero-commit", "--full-index"]),
    st.sampled_from(["", "--no-signature", "--signature=me\n-- \nmore"]),
    st.sampled_from(["", "-p", "--stat=40"]),
    st.sampled_from(["", "--no-prefix", "--src-prefix=old/", "--dst-prefix=new/"]),
    st.sampled_from(["", "--from=Some One <s@example.org>", "--no-encode-email-headers"]),
    st.sampled_from(["", "--to=kvm@vger.kernel.org", "--cc=Zo\u00eb <z@example.org>"]),
).map(lambda words: [word for word in words if word])
NAMING = st.sampled_from(["", "--suffix=.txt", "--suffix=", "--numbered-files", "--suffix=.PATCH"])


@dataclass(frozen=True)
class Commit:
    author: tuple[str, str]
    subject: str
    body: str
    tree: dict[str, bytes]


COMMITS = st.lists(st.builds(Commit, AUTHORS, SUBJECTS, BODIES, TREES), min_size=2, max_size=4)


def history(work: Path, commits: list[Commit]) -> None:
    """Make a repository with these commits, the first of them the base."""
    work.mkdir()
    git(work, "init", "-q")
    for number, commit in enumerate(commits):
        for path in files_of(commits, number - 1) if number else ():
            (work / path).unlink()
        write(files_of(commits, number), work)
        git(work, "add", "-A")
        name, address = commit.author
        message = f"{commit.subject}\n\n{commit.body}"
        git(work, "-c", "core.autocrlf=false", "commit", "-q", f"--author={name} <{address}>",
            "--date=2009-05-27T12:00:00+0200", "--cleanup=verbatim", "-m", message)  # fmt: skip
        if number == 0:
            git(work, "tag", "root")


# --- the forms of a mailbox ----------------------------------------------------------------------


def concatenated(files: list[Path], out: Path) -> Path:
    box = out / "box.mbox"
    box.write_bytes(b"".join(file.read_bytes() for file in files))
    return box


def mboxrd(files: list[Path], out: Path) -> Path:
    box = out / "box.mbox"
    bodies = [file.read_bytes().partition(b"\n")[2] for file in files]
    quoted = [re.sub(rb"(?m)^(>*From )", rb">\1", body) for body in bodies]
    head = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    box.write_bytes(b"".join(head + body + b"\n" for body in quoted))
    return box


def maildir(files: list[Path], out: Path) -> Path:
    for folder in ("cur", "new", "tmp"):
        (out / "box" / folder).mkdir(parents=True)
    for number, file in enumerate(files, 1):
        body = file.read_bytes().partition(b"\n")[2]
        (out / f"box/cur/{number}.x:2,S").write_bytes(body)
    return out / "box"


def packed(files: list[Path], out: Path) -> Path:
    box = out / "box.mbox.gz"
    box.write_bytes(gzip.compress(concatenated(files, out).read_bytes()))
    return box


def crlf(files: list[Path], out: Path) -> Path:
    box = concatenated(files, out)
    box.write_bytes(box.read_bytes().replace(b"\n", b"\r\n"))
    return box


def eml(files: list[Path], out: Path) -> Path:
    (out / "mails").mkdir()
    for number, file in enumerate(files):
        (out / f"mails/{number}.eml").write_bytes(file.read_bytes().partition(b"\n")[2])
    return out / "mails"


def imported(files: list[Path], out: Path) -> Path:
    """What our own import makes of it, and our own mbox of that."""
    read = importer.read(str(concatenated(files, out)))
    name = importer.write(read, out / "patches", name="t/v1", base="6.12", suites=())
    again = reader.read(out / "patches" / name / "6.12")
    (out / "again.mbox").write_bytes(importer.to_mbox(again))
    return out / "again.mbox"


FORMS: list[Callable[[list[Path], Path], Path]] = [
    concatenated, mboxrd, maildir, packed, crlf, eml, imported
]  # fmt: skip


def check(commits: list[Commit], place: Path, work: Path) -> None:
    base = KernelBase("x", "6.12.0", work.parent / "base", "k")
    found = catalog.resolve(str(place), work)
    assert found.notices == ()
    wanted = commits[1:]
    assert [patch.subject for patch in found.patches] == [each.subject.strip() for each in wanted]
    assert [patch.author for patch in found.patches] == [
        f"{each.author[0]} <{each.author[1]}>" for each in wanted
    ]
    for patch, each in zip(found.patches, wanted, strict=True):
        # git mailinfo takes the space at the ends of lines away.
        body = "\n".join(line.rstrip() for line in each.body.split("\n"))
        assert patch.message.strip() == body.strip()
        date = email.utils.parsedate_to_datetime(patch.date)
        assert date.isoformat() == "2009-05-27T12:00:00+02:00"
    for number, prefix in enumerate(catalog.prefixes(found), 1):
        whole = files_of(commits, 0)
        for path, file in patching.apply(base, prefix, soon()).files.items():
            if file.content is None:
                del whole[path]
            else:
                whole[path] = file.content
        assert whole == files_of(commits, number)


def files_of(commits: list[Commit], number: int) -> dict[str, bytes]:
    """Return the tree of a commit, which has a file of its own so that none is empty."""
    return {**commits[number].tree, f"n{number}": b"%d\n" % number}


def write(files: dict[str, bytes], folder: Path) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each run is too slow for the others
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commits=COMMITS, options=OPTIONS, naming=NAMING, form=st.sampled_from([None, *FORMS]))
def test_what_git_formats_is_read_as_the_same_commits(
    commits: list[Commit],
    options: list[str],
    naming: str,
    form: Callable[[list[Path], Path], Path] | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("history")
    work, out = root / "work", root / "out"
    history(work, commits)
    write(files_of(commits, 0), root / "base")
    words = [*options, *([naming] if naming else [])]
    git(work, "format-patch", "-q", "--binary", *words, "-o", str(out), "root..")
    files = sorted(out.iterdir(), key=lambda path: int(re.sub(r"^v2-|\D.*", "", path.name)))
    place = form(files, root) if form else out
    check(commits, place, work)
    shutil.rmtree(root)
