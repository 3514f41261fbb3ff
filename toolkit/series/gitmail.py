"""Lets git read mails: `git mailsplit` and `git mailinfo`, as `git am` calls them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.series import Patch
from toolkit.formats import mailheaders, patch_exports, patchfile
from toolkit.formats.mailheaders import Headers
from toolkit.host import process
from toolkit.series import scratch

# One shell for all, since each start of a program through the toolkit costs as much as git does.
_SCRIPT = Path(__file__).with_name("read_mails.sh")
_MBOXRD = re.compile(rb"From (?:mboxrd|git)@z ")  # public-inbox' and b4's


@dataclass(frozen=True, slots=True)
class MailFile:
    """A file with mails in it.

    ``raw``: it is one patch, whatever its lines look like. ``keep_cr``: that came by no mail, so a
    CR at the end of a line is the patched file's own.
    """

    name: str
    data: bytes
    path: Path | None = None
    raw: bool = False
    keep_cr: bool = False
    strip: int | None = None  # for git apply
    context: int | None = None


@dataclass(frozen=True, slots=True, eq=False)  # each is itself: comparing large ones takes time
class Mail:
    """A mail as git reads it. ``problem`` says why git cannot, and then there is no more of it."""

    file: MailFile
    name: str  # for errors: its file's, and its number where there are several
    headers: Headers
    subject: str = ""  # without tags
    author: str = ""
    date: str = ""
    message: str = ""
    content: bytes = field(default=b"", repr=False)  # in git format-patch form
    diff_at: int = 0
    problem: str = ""

    @property
    def is_patch(self) -> bool:
        """Whether there is a diff in it."""
        return patchfile.has_diff(self.content, self.diff_at)

    def patch(self, name: str) -> Patch:
        """Return its patch under a file's name."""
        return Patch(
            name=name,
            subject=self.subject,
            content=self.content,
            path=self.file.path,
            diff_at=self.diff_at,
            author=self.author,
            date=self.date,
            message=self.message,
            strip=self.file.strip,
            context=self.file.context,
        )


def read(files: Sequence[MailFile], deadline: Deadline) -> list[Mail]:
    """Return the mails in ``files``, in their order.

    Raises :class:`UserError` when there are too many, or when reading them takes too long.
    """
    count = sum(1 + (0 if file.raw else file.data.count(b"\nFrom ")) for file in files)
    what = files[0].name if len(files) == 1 else f"these {len(files)} files"
    if count > scratch.MAX_MAILS:
        raise UserError(
            f"{what} may hold {count} mails, and {scratch.MAX_MAILS} is the most that is read",
            hint="give one series, or the thread that it is in",
        )
    with tempfile.TemporaryDirectory(prefix="toolkit-mail-") as name:
        folder = Path(name).resolve() / "mails"
        folder.mkdir()
        places = [(file, _place(folder, number, file)) for number, file in enumerate(files)]
        process.find("git")  # the shell would say of each mail that it is not there
        argv = ["sh", str(_SCRIPT)]
        done = scratch.run(argv, folder, deadline, what=what, mails=count)
        if done.status != 0:
            raise UserError(
                f"git cannot read {what}", detail=done.stderr.decode(errors="replace").splitlines()
            )
        return list(_collect(folder, places))


def _place(folder: Path, number: int, file: MailFile) -> str:
    """Write a file to where the script wants it, and return its kind; nothing for an empty one."""
    start = file.data[:512].lstrip()
    if not start and not file.data.strip():
        return ""
    if file.raw:
        edited = file.data.partition(b"\n")[0].endswith(b"\r")  # by what ends all lines so
        kind = "exact" if file.keep_cr and not edited else "raw"
    elif _MBOXRD.match(start):
        kind = "mboxrd"
    elif not start.startswith(b"From ") or b"\nFrom " not in file.data.lstrip():
        # git mailsplit -b takes a file that begins otherwise for one mail, and copies it but for
        # space before it and the CR of its line ends.
        kind = "one" if b"\r" in file.data or file.data[:1].isspace() else "raw"
    else:
        kind = "many"
    (folder / kind).mkdir(exist_ok=True)
    data = file.data if file.raw else patch_exports.to_mail(file.data)
    (folder / kind / f"{number:06}").write_bytes(data)
    return kind


def _collect(folder: Path, places: Sequence[tuple[MailFile, str]]) -> Iterator[Mail]:
    singles = 0
    for number, (file, kind) in enumerate(places):
        if not kind:
            yield Mail(file, file.name, mailheaders.read(b""), problem="it is empty")
        elif kind in ("raw", "exact"):
            yield _mail(file, file.name, folder / kind / f"{number:06}")
        elif kind == "one":
            singles += 1
            yield _mail(file, file.name, folder / "one.mails" / f"{singles:06}")
        else:
            inside = folder / kind / f"{number:06}.mails"
            mails = sorted(path for path in inside.iterdir() if not path.suffix)
            for at, path in enumerate(mails, 1):
                named = f"{file.name}, mail {at}" if len(mails) > 1 else file.name
                yield _mail(file, named, path)


def _mail(file: MailFile, name: str, path: Path) -> Mail:
    data = path.read_bytes()
    if data == file.data:
        data = file.data  # once is enough, where it is large
    headers = mailheaders.read(data)

    def beside(kind: str) -> bytes:
        return Path(f"{path}.{kind}").read_bytes()

    if Path(f"{path}.failed").exists():
        lines = beside("error").decode(errors="replace").split("\n")
        problem = lines[0].removeprefix("error: ") or "git mailinfo gives no reason"
        return Mail(file, name, headers, problem=problem)
    info, message, diff = _info(beside("info")), beside("message"), beside("diff")
    subject = info.get("Subject", "")
    text = message.decode(errors="replace").strip("\n")
    if not subject:
        subject, _, text = text.partition("\n")  # as git commit takes it
    address = info.get("Email", "")
    author = f"{info.get('Author', '')} <{address}>".strip() if address else ""
    date = info.get("Date", "")
    content = data
    if not data.endswith(diff):  # it was encoded, or in parts
        content = mailheaders.compose(headers, author, date, subject, text) + diff
    return Mail(
        file=file,
        name=name,
        headers=headers,
        subject=" ".join(subject.split()),
        author=author,
        date=date,
        message=text.strip("\n"),
        content=content,
        diff_at=len(content) - len(diff),
    )


def _info(data: bytes) -> dict[str, str]:
    rows = (line.partition(": ") for line in data.decode(errors="replace").splitlines())
    return {name: value.strip() for name, _, value in rows}
