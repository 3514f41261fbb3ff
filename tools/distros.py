"""Run the README's commands in a bare Debian: ``python -m tools.distros [--help]``.

    tox -e distros                                        both commands, in bookworm and in trixie
    tox -e distros -- trixie --only tox                   one command in one of them
    tox -e distros -- trixie --run 'tox -e lint,unit'     another command
    tox -e distros -- bookworm --cache ~/.cache/kernel-toolkit    with the kernels of this host

Each distribution is made by mmdebstrap (minbase) from the sources of this host's apt, gets a clone
of this checkout's HEAD, and runs the commands there as root with an empty cache. They see neither
the host's processes nor its environment, and pip as it is configured here. Whatever they mount or
leave running ends with them, and the folder is removed. Needs root. Exit code 1 when a command
failed.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolkit.core.deadline import Deadline
from toolkit.core.errors import EXIT_INTERRUPTED, InfrastructureError, ToolkitError, UserError
from toolkit.host import process

DISTRIBUTIONS = ("bookworm", "trixie")
README = {"toolkit": "toolkit build-and-test --patch v4", "tox": "tox"}
CHECKOUT = Path(__file__).parents[1]
_INSIDE = "/root/toolkit"  # where the clone is, seen from inside
_CACHE = "/root/cache"
_CARRIED = "carried"  # holds the files that pip's configuration names
_PASSED = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "TERM")
_PIP_LINE = re.compile(r"(?P<scope>[^=]+)\.(?P<key>[a-z-]+)=(?P<value>'.*'|\".*\")")


@dataclass(frozen=True)
class Outcome:
    """How one command ended in one distribution."""

    distribution: str
    command: str
    status: int
    seconds: float

    def __str__(self) -> str:
        word = "passed" if self.status == 0 else f"FAILED ({self.status})"
        return (
            f"{self.distribution:10} {self.seconds:6.0f} s  {word:12}  ./bootstrap {self.command}"
        )


def sources(targets: str, host: str, wanted: str) -> list[str]:
    """Return sources.list lines for the distribution ``wanted`` from those of the host.

    ``targets`` has an address, a suite and a component a line, as apt-get indextargets writes
    them; ``host`` is the host's own distribution. Raises :class:`UserError` when the host has no
    source of its own distribution.
    """
    lines = {
        f"deb {address} {wanted}{suite.removeprefix(host)} {component}"
        for address, suite, component in (line.split() for line in targets.splitlines())
        if suite == host or suite.startswith(f"{host}-")
    }
    if not lines:
        raise UserError(
            f"apt has no sources of {host} here",
            hint="run apt-get update, on a host that is Debian itself",
        )
    return sorted(lines)


def pip_settings(listing: str) -> dict[str, str]:
    """Return pip's settings from what ``pip config list`` printed; the environment's come last."""
    found = [match for line in listing.splitlines() if (match := _PIP_LINE.fullmatch(line))]
    found.sort(key=lambda match: match["scope"] == ":env:")
    return {match["key"]: ast.literal_eval(match["value"]) for match in found}


def carry(settings: Mapping[str, str]) -> tuple[str, list[tuple[Path, str]]]:
    """Return a pip.conf with ``settings``, and which host files go where for it.

    Each path or file: URL that a setting names gets a place below ``/carried``. A local index
    is carried with what is beside it, for its pages link to files there.
    """
    places: list[tuple[Path, str]] = []

    def moved(key: str, word: str) -> str:
        path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
        if not path.is_absolute() or not path.exists():
            return word
        top = path.parent if key.endswith("index-url") else path
        places.append((top, f"{_CARRIED}/{len(places)}"))
        place = f"/{places[-1][1]}/{path.relative_to(top)}".removesuffix("/.")
        return f"file://{place}" if word.startswith("file:") else place

    lines = ["[global]"]
    for key, value in settings.items():
        lines.append(f"{key} = {' '.join(moved(key, word) for word in value.split())}")
    return "\n".join(lines) + "\n", places


def script(root: Path, places: Iterable[tuple[Path, str]], command: str) -> str:
    """Return the shell script that mounts what ``root`` needs, and runs ``command`` there.

    It runs in mount and process namespaces of its own, with which the mounts go.
    """
    here = shlex.quote(str(root))
    # A mount of its own, as the root of a machine is: what runs there makes namespaces, too.
    lines = ["set -e", f"mount --bind {here} {here}", f"cd {here}", "mount -t proc proc proc"]
    lines += [f"mount --rbind /{folder} {folder}" for folder in ("sys", "dev")]
    for source, place in places:
        made = "mkdir -p" if source.is_dir() else "touch"
        lines.append(f"mkdir -p {_CARRIED} && {made} {place}")
        lines.append(f"mount --bind -o ro {shlex.quote(str(source))} {place}")
    environment = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "XDG_CACHE_HOME": _CACHE,
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    inside = f"cd {_INSIDE} && exec ./bootstrap {command}"
    # Not by exec: the first process of a namespace has to reap orphans, and hears few signals.
    lines.append(f"chroot . env -i {shlex.join(words)} sh -c {shlex.quote(inside)} || exit $?")
    return "\n".join(lines)


class Bare:
    """A bare distribution in a folder."""

    def __init__(self, distribution: str, root: Path, deadline: Deadline) -> None:
        self.distribution = distribution
        self.root = root
        self._deadline = deadline
        self._places: list[tuple[Path, str]] = []

    def make(self) -> None:
        """Fill the folder; raise :class:`ToolkitError` when it cannot be."""
        form = ("--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
        targets = self._text("apt-get", "indextargets", *form)
        host = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        lines = sources(targets, host, self.distribution)
        proxies = self._text("apt-config", "dump", "Acquire::http", "Acquire::https")
        options = [f"--aptopt={line}" for line in proxies.splitlines() if "::Proxy " in line]
        make = ["mmdebstrap", "--quiet", "--variant=minbase", *options, self.distribution]
        self._run([*make, str(self.root), *lines])
        if self._text("git", "-C", str(CHECKOUT), "status", "--porcelain"):
            _print("    what is not committed is not in the clone")
        clone = ["git", "clone", "--quiet", "--no-local", str(CHECKOUT)]
        self._run([*clone, f"{self.root}{_INSIDE}"])
        for name in ("resolv.conf", "hosts"):
            place = self.root / "etc" / name
            place.unlink(missing_ok=True)  # a link would lead out of the folder
            shutil.copyfile(Path("/etc") / name, place)
        settings = pip_settings(self._text(sys.executable, "-m", "pip", "config", "list"))
        text, self._places = carry(settings)
        (self.root / "etc/pip.conf").write_text(text)

    def fill_cache(self, cache: Path) -> None:
        """Let the toolkit find there what ``cache`` has, the user's kernel-toolkit folder."""
        place = Path(f"{self.root}{_CACHE}/kernel-toolkit")
        place.mkdir(parents=True)
        # Entries alone: work folders are large, and change while they are copied.
        entries = [str(path) for path in cache.iterdir() if path.name not in ("work", "speed")]
        argv = ["cp", "-a", "--reflink=auto", *entries, str(place)]
        # What other runs are making meanwhile may vanish; the toolkit checks what it finds.
        process.run(argv, deadline=self._deadline, merge=True, check=False)

    def run(self, command: str) -> Outcome:
        """Run ``./bootstrap COMMAND`` inside, printing what it prints."""
        alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        argv = [*alone, "sh", "-c", script(self.root, self._places, command)]
        done = process.run(argv, deadline=self._deadline, merge=True, check=False, on_line=_print)
        return Outcome(self.distribution, command, done.status, done.seconds)

    def _run(self, argv: Sequence[str]) -> None:
        process.run(argv, deadline=self._deadline, merge=True)

    def _text(self, *argv: str) -> str:
        return process.run(argv, deadline=self._deadline).text


def _print(line: str) -> None:
    print(line, flush=True)


def remove(root: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Remove a distribution's folder; raise :class:`InfrastructureError` if a mount is in it."""
    escaped = str(root).replace(" ", "\\040")  # as proc(5) has it
    if f" {escaped}/" in mounts.read_text():
        raise InfrastructureError(f"something is mounted below {root}", hint="unmount it by hand")
    shutil.rmtree(root)


def outcomes(
    distributions: Sequence[str],
    commands: Sequence[str],
    folder: str | None,
    seconds: float,
    cache: Path | None = None,
) -> Iterator[Outcome]:
    """Yield how each command ended in each distribution."""
    for distribution in distributions:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix=f"toolkit-{distribution}.", dir=folder))
        try:
            bare = Bare(distribution, root / "root", Deadline.after(seconds))
            _print(f"==> {distribution}: mmdebstrap")
            bare.make()
            if cache:
                bare.fill_cache(cache)
            for command in commands:
                _print(f"==> {distribution}: ./bootstrap {command}")
                yield bare.run(command)
        finally:
            remove(root)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the README's commands in a bare Debian.")
    parser.add_argument("distributions", nargs="*", metavar="DISTRIBUTION", help="such as trixie")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", choices=README, help="one of the README's two commands")
    what.add_argument("--run", metavar="COMMAND", help="another, as it would follow ./bootstrap")
    parser.add_argument("--folder", help="where to make them (default: the temporary folder)")
    parser.add_argument("--seconds", type=float, default=3 * 3600.0, help="for each distribution")
    parser.add_argument("--cache", type=Path, help="begin with a copy of this one, not with none")
    given = parser.parse_args(arguments)
    commands = [given.run] if given.run else [README[given.only]] if given.only else README.values()
    if os.geteuid() != 0:
        parser.error("this needs root, to mount and to chroot")
    names = given.distributions or DISTRIBUTIONS
    ended: list[Outcome] = []
    try:
        ended.extend(outcomes(names, list(commands), given.folder, given.seconds, given.cache))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ToolkitError as error:
        print(f"distros: {error.what}", *error.detail, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    finally:
        for outcome in ended:
            print(outcome)
    return int(any(outcome.status for outcome in ended))


if __name__ == "__main__":
    sys.exit(main())
