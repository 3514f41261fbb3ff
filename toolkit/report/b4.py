"""Answers b4: ``b4.review-series-check-cmd`` and ``b4.review-perpatch-check-cmd``.

b4 (0.16) runs the command in the top folder of the reviewer's git tree. On standard input it gives
the cover letter, or the first patch where there is none; for the second command each patch. It
wants a JSON list on standard output, of objects with ``tool``, ``status`` (pass, warn or fail),
``summary``, ``details`` and ``url``, and shows a column for each tool. ``$B4_TRACKING_FILE`` may
name a JSON file that tells which git blob has the whole thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolkitError, UserError
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Blame
from toolkit.core.model.testing import Leaf
from toolkit.core.text import visible
from toolkit.host import process
from toolkit.report import view, wording
from toolkit.series import reader
from toolkit.series.gitmail import Mail
from toolkit.testing import verdicts

TOOL = "toolkit"
MAX_DETAILS = 60  # lines
_SHA = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One cell of b4's table."""

    tool: str
    status: str  # pass, warn or fail
    summary: str
    details: str = ""
    url: str = ""


def to_json(answers: Iterable[Answer]) -> str:
    """Return what b4 reads."""
    return json.dumps([asdict(answer) for answer in answers], indent=1)


def thread(message: bytes, mbox: Path | None, tracking: Path | None, folder: Path) -> Path:
    """Return an mbox with the thread of ``message``, in ``folder`` unless ``mbox`` is given.

    The thread comes from b4's tracking file, else the message must be a whole series. Raises
    :class:`UserError` when it is not.
    """
    if mbox:
        return mbox
    path = folder / "thread.mbox"
    mail = read_message(message)
    if tracking and (data := _tracked(tracking)):
        path.write_bytes(data)
    elif mail.is_patch and mail.headers.tags.total in (None, 1):
        path.write_bytes(message)
    else:
        raise UserError(
            "only one mail of the series is at hand",
            hint="enrol it with b4 review, or name the thread's mbox with --mbox",
        )
    return path


def _tracked(tracking: Path) -> bytes | None:
    """Return the thread that b4 keeps as a blob in the repository it runs the check in."""
    try:
        sha = json.loads(tracking.read_bytes())["series"]["thread-blob"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        return None
    argv = [process.find("git"), "cat-file", "blob", sha]
    return process.run(argv, deadline=Deadline.after(30)).stdout or None


def read_message(message: bytes) -> Mail:
    """Return the mail that b4 gave; raise :class:`UserError` when it is none."""
    return reader.read_mail(message, "standard input")


def series_of(message: Mail, mbox: Path) -> reader.PatchFiles:
    """Return the series in ``mbox`` of the version and stable kernel ``message`` belongs to."""
    tags = message.headers.tags
    release = ".".join(map(str, tags.kernels[0][0])) if tags.kernels else None
    return reader.read(mbox, version=tags.version, release=release)


# --- answers -------------------------------------------------------------------------------


def of_result(result: RunResult, folder: Path) -> list[Answer]:
    """Return the answers for a run: one for the build, one for the boot, one for each suite."""
    url = (folder / "report.html").as_uri()
    return [Answer(**{**asdict(answer), "url": url}) for answer in _of_result(result)]


def _of_result(result: RunResult) -> Iterator[Answer]:
    done = {stage.name for stage in result.stages}
    evidence = "\n".join(result.detail[:MAX_DETAILS])
    if result.verdict in (Verdict.USER_ERROR, Verdict.INFRASTRUCTURE, Verdict.INTERRUPTED):
        # The series may be at fault where it does not apply, the host is never the series' fault.
        status = "fail" if result.verdict is Verdict.USER_ERROR else "warn"
        yield _answer("apply", status, result.message or result.verdict.value, evidence)
        return
    if result.verdict is Verdict.BUILD_BREAK:
        details = "\n".join([*map(_blamed, result.blames), evidence])
        status = "warn" if view.of(result).host_at_fault else "fail"
        yield _answer("build", status, result.message, details)
        return
    yield _answer("build", "pass", f"Linux {result.release} builds")
    if result.verdict is Verdict.BOOT_FAILURE:
        yield _answer("boot", "fail", result.message, evidence)
        return
    if "test" not in done and not result.leaves:
        return
    suites: dict[str, list[Leaf]] = {}
    for program in view.programs(result.leaves):
        suites.setdefault(program.suite, []).extend(program.leaves)
    for suite, leaves in suites.items():
        yield _suite(result, suite, leaves)
    if not suites:
        yield _answer("test", "warn", "no test ran")


def _suite(result: RunResult, suite: str, leaves: list[Leaf]) -> Answer:
    details = [
        f"{leaf.status.value}: {leaf.id}: {leaf.message}" for leaf in leaves if leaf.status.bad
    ]
    status = "fail" if details else "pass"
    details += [_blamed(blame) for blame in result.blames] if details else []
    if result.verdict is Verdict.NO_TESTS:
        status = "warn"
        details += [f"{number} skipped: {why}" for why, number in view.skip_reasons(leaves)]
    return _answer(suite, status, wording.tally(verdicts.counts(leaves)), "\n".join(details))


def _blamed(blame: Blame) -> str:
    return "\n".join([f"patch {blame.patch}, {blame.subject}: {blame.said}", *blame.hunk])


def of_error(error: ToolkitError) -> list[Answer]:
    """Return the answer for what went wrong before there was a result."""
    status = "fail" if isinstance(error, UserError) else "warn"
    return [_answer("apply", status, error.what, "\n".join((*error.detail, error.hint)))]


def of_checkpatch(lines: Iterable[str]) -> list[Answer]:
    """Return the answer for one patch, in the form that b4 shows finding by finding."""
    findings: list[Mapping[str, str]] = []
    for line in lines:
        bad = "ERROR:" in line
        findings.append({"status": "fail" if bad else "warn", "description": visible(line)})
    if not findings:
        return [_answer("checkpatch", "pass", "nothing to say")]
    worst = "fail" if any(each["status"] == "fail" for each in findings) else "warn"
    count = f"{len(findings)} finding" + ("s" if len(findings) > 1 else "")
    return [Answer(f"{TOOL} checkpatch", worst, count, json.dumps(findings))]


def _answer(what: str, status: str, summary: str, details: str = "") -> Answer:
    shown = "\n".join(visible(details, keep="\n\t").strip("\n").split("\n")[:MAX_DETAILS])
    return Answer(f"{TOOL} {visible(what)}", status, visible(summary), shown)
