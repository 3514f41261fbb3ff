"""What the cells of a matrix need of this checkout, in one archive for all hosts.

It is taken when a matrix begins, so an edit in mid-run reaches no cell, and a worker tests what the
client has and not what lies in a checkout of its own. What a value names outside the checkout goes
into it, too. Repositories and mails do not: ``git:`` and ``tree:`` are paths of each host.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core import arch
from toolkit.core import paths as places
from toolkit.core.errors import UserError
from toolkit.core.model.matrix import Cell
from toolkit.core.paths import Paths
from toolkit.host import git
from toolkit.kernel import starting_config
from toolkit.matrix import values
from toolkit.series import QUILT, catalog
from toolkit.testing import outside_suites
from toolkit.vm import image

PLACE = "{inputs}"  # in a cell's values: the folder of the unpacked archive
MAX_BYTES = 512 << 20
_GIVEN = "given"
_LOCAL = ("git:", "tree:", "auto:", "tarball:")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The archive, a packed tar file, and each cell with values that lead into it."""

    archive: bytes
    cells: tuple[Cell, ...]

    @property
    def digest(self) -> str:
        """A hex digest of the archive; the same files give the same one."""
        return hashlib.sha256(self.archive).hexdigest()[:32]


def gather(cells: Iterable[Cell], paths: Paths) -> Inputs:
    """Return what ``cells`` need.

    Raises :class:`UserError` for what cannot be read, is no file or folder, or is too large.
    """
    files = _Files(paths)
    changed = tuple(
        replace(
            cell,
            series=files.series(cell.series),
            kernel=_absolute(cell.kernel),
            config=files.config(cell.config),
            profile=files.profile(cell.profile),
            image=files.image(cell.image),
            suite=files.suite(cell.suite, cell.arch),
        )
        for cell in cells
    )
    return Inputs(_archive(files.by_name), changed)


class _Files:
    """Collects the files and folders of values, and returns where each is in the archive."""

    def __init__(self, paths: Paths) -> None:
        self.by_name: dict[str, Path] = {"kselftests": paths.suites, "vm-images": paths.images}
        self._paths = paths
        self._given: dict[Path, str] = {}

    def series(self, value: str) -> str:
        place = catalog.locate(value, self._paths.patches) if value else None
        if not isinstance(place, Path):
            return _absolute(value)
        resolved = place.resolve()
        if resolved.is_relative_to(self._paths.patches):
            name = resolved.relative_to(self._paths.patches)
            self.by_name[f"patches/{name}"] = resolved
            return str(name) if len(name.parts) == 2 else f"{PLACE}/patches/{name}"
        if place.name == QUILT and place.is_file():  # the patches that it lists lie beside it
            return f"{self._from_outside(place.parent)}/{QUILT}"
        return self._from_outside(place)

    def profile(self, value: str) -> str:
        parts = value.split(values.PLUS)
        return values.PLUS.join(
            self._from_outside(Path(each)) if {"/", "."} & set(each) else each for each in parts
        )

    def config(self, value: str) -> str:
        return self._from_outside(Path(value)) if starting_config.parse(value).text else value

    def image(self, value: str) -> str:
        folder = image.locate(value, self._paths.images).resolve()
        own = folder.is_relative_to(self._paths.images.resolve())
        return value if own else self._from_outside(folder)

    def suite(self, value: str, its_arch: str) -> str:
        if not outside_suites.is_path(value):
            return value
        program = outside_suites.PROGRAM if value.startswith(outside_suites.PROGRAM) else ""
        place = outside_suites.checked(value, arch.parse(its_arch))
        return f"{program}{self._from_outside(place)}"

    def _from_outside(self, path: Path) -> str:
        path = path.resolve()
        if path not in self._given:
            self._given[path] = f"{_GIVEN}/{len(self._given)}/{path.name}"
            self.by_name[self._given[path]] = path
        return f"{PLACE}/{self._given[path]}"


def _absolute(value: str) -> str:
    """Return a source or series with its path made absolute, where it names one."""
    word, colon, rest = value.partition(":")
    if f"{word}{colon}" not in _LOCAL or "://" in rest or not rest:
        return value
    path, revision = git.at_revision(rest)
    if not path.exists():
        return value if rest.startswith("/") else f"{word}:{Path.cwd() / places.expand(rest)}"
    return f"{word}:{path.absolute()}{f'@{revision}' * bool(revision)}"


def _archive(files: dict[str, Path]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_plain(tarfile.TarInfo("patches"), folder=True))  # also where nothing is in it
        for name, path in sorted(files.items()):
            for inner, each in _walk(path, name):
                _add(tar, each, inner)
                if stream.tell() > MAX_BYTES:
                    raise UserError(
                        f"what the matrix needs has more than {MAX_BYTES >> 20} MiB",
                        hint=f"name less, or smaller suites and programs; the last was {each}",
                    )
    return gzip.compress(stream.getvalue(), mtime=0)


def _walk(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    yield name, path
    if path.is_dir() and not path.is_symlink():
        for each in sorted(path.iterdir()):
            if each.name != "__pycache__":
                yield from _walk(each, f"{name}/{each.name}")


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file, folder or link as it is, but for its owner and time: they are this host's."""
    try:
        info = path.lstat()
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
            entry = _plain(tarfile.TarInfo(name), executable=bool(info.st_mode & 0o100))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        elif stat.S_ISDIR(info.st_mode):
            tar.addfile(_plain(tarfile.TarInfo(name), folder=True))
        elif stat.S_ISLNK(info.st_mode):
            entry = _plain(tarfile.TarInfo(name))
            entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
            tar.addfile(entry)
        else:
            raise UserError(f"{path} is a device or a pipe", hint="move it out of that folder")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _plain(
    entry: tarfile.TarInfo, *, folder: bool = False, executable: bool = False
) -> tarfile.TarInfo:
    entry.mode = 0o755 if folder or executable else 0o644
    if folder:
        entry.type = tarfile.DIRTYPE
    return entry
