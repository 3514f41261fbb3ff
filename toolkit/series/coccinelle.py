"""Run a kernel tree's own ``scripts/coccinelle`` over single files, as ``make coccicheck`` does.

Each script that has a report mode runs with the options it names (scripts/coccicheck), over any
number of versions of files at once, each by itself. What is said of a version is kept in the
cache: it depends on its text, the scripts and spatch. Nearly all scripts ask for --no-includes;
the few others do without the tree's headers here, too.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolMissingError
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, digest

PROGRAM = "spatch"
PACKAGE = "coccinelle"
SCRIPTS = "scripts/coccinelle"
FILE_SECONDS = 200  # for one script and one file, as in the kernel's .cocciconfig

_OPTIONS = re.compile(r"^//.*?Options:(.*)", re.MULTILINE)
_REQUIRES = re.compile(r"^//\s*Requires:\s*([0-9.]+)", re.MULTILINE)
_REPORT_MODE = re.compile(r"^virtual\b.*\breport\b", re.MULTILINE)
_VERSION = re.compile(r"version ([0-9][0-9.]*)")
_COMPLAINT = re.compile(r"(?:\./)?([^/\s]+)/(\S+?):\d+:\d+-\d+: (.*)")
_A_LINE = re.compile(r"\b(lines?) \d+")

Version = tuple[str, bytes]  # a file's path in the tree, and its text
OnScript = Callable[[int, int, str], None]  # how many are done, of how many, which


@dataclass(frozen=True, slots=True)
class Script:
    """A semantic patch: where it is, the options it asks for, the spatch it requires."""

    path: Path
    options: tuple[str, ...] = ()
    requires: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the scripts say of a file, without numbers of lines, and why some did not run."""

    complaints: tuple[str, ...]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checker:
    """The scripts of a tree, ready to run ``jobs`` at a time."""

    scripts: tuple[Script, ...]
    key: str
    cache: Cache
    jobs: int

    def reports(
        self, versions: Iterable[Version], on_script: OnScript, deadline: Deadline
    ) -> Mapping[Version, Report]:
        """Return what the scripts say of each version of a file.

        ``on_script`` hears of each script that is done, if any has to run.
        """
        wanted = {version: self._key(version) for version in versions}
        unknown = [each for each, key in wanted.items() if not self.cache.find("coccinelle", key)]
        if unknown:
            for version, report in self._run(unknown, on_script, deadline).items():
                self._keep(version[0], wanted[version], report, deadline)
        return {version: self._known(key) for version, key in wanted.items()}

    def _key(self, version: Version) -> str:
        return digest(self.key, version[0], digest(version[1]))

    def _keep(self, name: str, key: str, report: Report, deadline: Deadline) -> None:
        def fill(folder: Path) -> None:
            text = json.dumps({"complaints": report.complaints, "failed": report.failed})
            (folder / "report.json").write_text(text)

        self.cache.make("coccinelle", key, fill, deadline=deadline, label=name)

    def _known(self, key: str) -> Report:
        path = self.cache.find("coccinelle", key)
        assert path  # it was found or kept a moment ago
        previous = json.loads((path / "report.json").read_text())
        return Report(tuple(previous["complaints"]), tuple(previous["failed"]))

    def _run(
        self, versions: Sequence[Version], on_script: OnScript, deadline: Deadline
    ) -> dict[Version, Report]:
        """Lay the versions out side by side and run each script over all of them."""
        with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
            for number, (name, content) in enumerate(versions):
                file = Path(scratch, str(number), name)
                file.parent.mkdir(parents=True)
                file.write_bytes(content)

            folders = {script.path.parent for script in self.scripts}
            within = sandbox.confine(readonly=[Path(scratch), *folders])

            def run(script: Script) -> process.Completed:
                argv = [
                    *(process.find(PROGRAM, PACKAGE), "-D", "report", "--no-show-diff"),
                    *("--very-quiet", "--timeout", str(FILE_SECONDS)),
                    *("--cocci-file", str(script.path), *script.options, "--dir", "."),
                ]
                return process.run(
                    argv,
                    cwd=Path(scratch),
                    check=False,
                    deadline=deadline,
                    inherit=process.CLEAN,
                    within=within,
                )

            by_file: dict[str, list[str]] = defaultdict(list)
            failed = []
            with ThreadPoolExecutor(self.jobs) as pool:
                done = zip(self.scripts, pool.map(run, self.scripts), strict=True)
                for count, (script, ended) in enumerate(done, 1):
                    on_script(count, len(self.scripts), script.path.stem)
                    for folder, complaint in parse_complaints(ended.text.splitlines()):
                        by_file[folder].append(complaint)
                    if ended.status != 0:
                        failed.append(f"{script.path.name}: {_last_line(ended.stderr)}")
        return {
            version: Report(tuple(by_file[str(number)]), tuple(failed))
            for number, version in enumerate(versions)
        }


def checker(tree: Path, cache: Cache, jobs: int, deadline: Deadline) -> Checker | None:
    """Return a checker with the scripts of ``tree``, or None where spatch is not installed."""
    try:
        program = process.find(PROGRAM, PACKAGE)
    except ToolMissingError:
        return None
    version = parse_version(process.run([program, "--version"], deadline=deadline).text)
    texts = {
        path: path.read_text(errors="replace")
        for path in sorted((tree / SCRIPTS).resolve().rglob("*.cocci"))
    }
    scripts = tuple(
        script
        for path, text in texts.items()
        if (script := parse_script(path, text)) and script.requires <= _numbers(version)
    )
    key = digest(version, sorted(digest(text) for text in texts.values()))
    return Checker(scripts, key, cache, jobs)


def parse_script(path: Path, text: str) -> Script | None:
    """Return the script at ``path`` that holds ``text``, or None if it has no report mode."""
    if not _REPORT_MODE.search(text):
        return None
    options = [word for line in _OPTIONS.findall(text) for word in line.split()]
    requires = _REQUIRES.search(text)
    return Script(path, tuple(options), _numbers(requires[1]) if requires else ())


def parse_version(text: str) -> str:
    """Return the version out of what ``spatch --version`` printed, or "0"."""
    match = _VERSION.search(text)
    return match[1].rstrip(".") if match else "0"


def parse_complaints(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return (folder, "file: message") for each complaint, without numbers of lines in it."""
    return [
        (match[1], match[2] + ": " + _A_LINE.sub(r"\1 N", match[3]))
        for line in lines
        if (match := _COMPLAINT.match(line))
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "failed"
