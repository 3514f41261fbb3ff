"""Variants of a module's C file, compiled and linked beside a finished build that stays as it is.

Each variant has a folder of its own below the build folder. The commands are those that kbuild
recorded, with other names in them; so what a variant costs is one object and two links. The
variant's lines go by the name of the file itself (``#line``), and its object by its own name, so
that two variants with the same code give the same object. ``modpost`` is left out: it works out
again what a module needs of others (``.mod.o``), and a module that comes to need more is refused.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.errors import BuildError, ToolFailedError
from toolkit.host import process
from toolkit.kernel.incremental import affected
from toolkit.kernel.incremental.replay import COMPILED, DEPENDENCIES, LINKED, MORE, unescaped
from toolkit.kernel.make import REPRODUCIBLE, Make

FOLDER = ".toolkit-variants"  # in the build folder
# What make modules_install does to a module besides copying it.
_INSTALLED_OTHERWISE = re.compile(r"CONFIG_MODULE_(SIG_ALL|COMPRESS(_ALL)?)=y")
_COMPILE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """A C file that is compiled once and becomes a part of one module.

    ``target`` and ``source`` are what the recorded command calls them, and ``stem`` is the module's
    path without its suffix.
    """

    path: str
    target: str
    source: str
    command: str
    stem: str


class Variants:
    """Makes variants in the build folder of ``make``, where a build with ``config`` is finished."""

    def __init__(self, make: Make, config: str) -> None:
        # A store of objects that nobody will ask for again serves nobody: no ccache.
        self._make = replace(make, env={}, log=None)
        self._folder = make.output / FOLDER
        self._known: dict[str, Part | None] = {}
        lines = config.splitlines()
        self._unfit = not set(MORE).isdisjoint(lines) or any(
            _INSTALLED_OTHERWISE.fullmatch(line) for line in lines
        )
        self._config = config
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()

    def close(self) -> None:
        """Remove what was made; the build folder is as it was."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def part(self, path: str) -> Part | None:
        """Return how a C file becomes a part of a module; None where it takes a whole build.

        That is where the file is built into the kernel, where other files include it, or where
        the configuration has more done to a module than the recorded commands do.
        """
        if path not in self._known:
            self._known[path] = None if self._unfit else self._find(path)
        return self._known[path]

    def reaches_modules_alone(self, paths: Collection[str]) -> bool:
        """Return whether nothing but modules reads these files, so that vmlinux stays as it is."""
        make, changed = self._make, dict.fromkeys(paths, True)
        found = affected.in_modules(make.output, self._config, changed, make.deadline)
        return found is not None

    def _find(self, path: str) -> Part | None:
        output = self._make.output
        records = affected.in_modules(output, self._config, {path: True}, self._make.deadline)
        if records is None or len(records) != 1 or not path.endswith(".c"):
            return None
        match = COMPILED.match((output / records[0]).read_text())
        source = match and re.search(rf"(?<!\S)(\S*/{re.escape(Path(path).name)})(?!\S)", match[2])
        if not match or not source or not DEPENDENCIES.search(match["command"]):
            return None
        target = os.path.normpath(match["target"])
        for name in affected.modules(output):
            stem = name.removesuffix(".ko")
            if target in affected.objects(output, stem):
                return Part(path, match["target"], source[1], match["command"], stem)
        return None

    def compile(self, part: Part, content: bytes, name: str) -> Path:
        """Compile ``content`` in the place of a part's file; return the object.

        ``name`` is the variant's, which no other has. Raises :class:`BuildError` with the
        compiler's lines where it does not compile.
        """
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        source = folder / Path(part.path).name
        source.write_bytes(f'#line 1 "{part.source}"\n'.encode() + content)
        target = source.with_suffix(".o")
        beside = str(Path(part.source).parent)
        command = _exchanged(
            DEPENDENCIES.sub(lambda _: f"-Wp,-MMD,{target}.d", part.command),
            {part.target: str(target), part.source: f"-Wno-error -iquote {beside} {source}"},
        )
        try:
            self._shell(command)
        except ToolFailedError as error:
            if error.status < 0:
                raise
            lines = [line for line in error.detail if ": error: " in line]
            what = lines[0].partition(": error: ")[2] if lines else error.what
            raise BuildError(what, detail=error.detail) from error
        return target

    def link(self, part: Part, made: Path) -> Path:
        """Link the module with the object ``made`` in it; return the module.

        Raises :class:`BuildError` where the module now needs what no other exports.
        """
        output, folder = self._make.output, made.parent
        module_object, module = f"{part.stem}.o", f"{part.stem}.ko"
        names = {os.path.normpath(part.target): str(made), part.target: str(made)}
        if module_object not in affected.objects(output, part.stem):
            linked = folder / Path(module_object).name
            parts = (output / f"{part.stem}.mod").read_text().split()
            listed = folder / Path(f"{part.stem}.mod").name
            listed.write_text("\n".join(names.get(os.path.normpath(each), each) for each in parts))
            names |= {module_object: str(linked), f"@{part.stem}.mod": f"@{listed}"}
            self._recorded(module_object, names)
        result = folder / Path(module).name
        self._recorded(module, {**names, module: str(result)})
        self._check_needs(part, result)
        return result

    def _recorded(self, target: str, names: Mapping[str, str]) -> None:
        place = self._make.output / target
        match = LINKED.match(place.with_name(f".{place.name}.cmd").read_text())
        if not match:
            raise BuildError(f"the record of {target} does not look as it should")
        self._shell(_exchanged(match["command"], names))

    def _check_needs(self, part: Part, module: Path) -> None:
        new = self._needs(module) - self._needs(self._make.output / f"{part.stem}.ko")
        if not new:
            return
        rows = (self._make.output / "Module.symvers").read_text().splitlines()
        exported = {
            row[1] for line in rows if len(row := line.split("\t")) > 2 and row[2] == "vmlinux"
        }
        if missing := sorted(new - exported):
            raise BuildError(f"{missing[0]} is not exported to modules")

    def _needs(self, module: Path) -> set[str]:
        argv = [self._make.toolchain.tool("nm"), "--undefined-only", "--format=posix", str(module)]
        done = process.run(argv, deadline=self._make.deadline)
        return {line.split()[0] for line in done.text.splitlines() if line.split()}

    def _shell(self, command: str) -> None:
        make = self._make
        process.run(
            ["/bin/sh", "-c", f"set -e; {unescaped(command)}"],
            cwd=make.output,
            deadline=make.deadline.sooner(_COMPILE_SECONDS),
            env=REPRODUCIBLE,
            inherit=process.CLEAN,
            merge=True,
            within=make.confined(),
        )


def _exchanged(command: str, names: Mapping[str, str]) -> str:
    """Return a command with some of its words exchanged for others."""
    return re.sub(r"[^\s;]+", lambda word: names.get(word[0], word[0]), command)
