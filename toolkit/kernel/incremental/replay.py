"""Make the modules of an edited source again by the commands that kbuild recorded.

Before kbuild compiles anything, it runs the compiler some fifty times to see what it can do, and
checks everything that a build prepares (1.4 to 2.3 s of an edit's 2.5 to 3.4 s). Where only the
content of files has changed, neither gives anything new. kbuild writes each command beside what
it makes (``.NAME.cmd``, scripts/Kbuild.include). All records are read before anything runs; then
one make in one sandbox runs their commands in kbuild's own order: the objects
(scripts/Makefile.build), modpost (scripts/Makefile.modpost), and the modules themselves
(scripts/Makefile.modfinal). It writes the records as kbuild does, so that a later build goes on
from here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import ToolFailedError
from toolkit.host import process, sandbox
from toolkit.kernel.incremental import affected
from toolkit.kernel.make import REPRODUCIBLE, Make

# With these kbuild does more to an object or a module than the command that it records.
MORE = (
    "CONFIG_MODVERSIONS=y",
    "CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y",
    "CONFIG_DEBUG_INFO_BTF_MODULES=y",
    "CONFIG_LTO_CLANG=y",
)
# scripts/basic/fixdep.c writes this, with "cmd_" alone before Linux 6.3.
COMPILED = re.compile(
    r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)\n\nsource_(?P=target) := \S+\.c\n"
)
LINKED = re.compile(r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)")
DEPENDENCIES = re.compile(r"-Wp,-MM?D,(\S+)")
_ESCAPED = re.compile(r"\$\$|\$\(pound\)")  # make-cmd in scripts/Kbuild.include
_FIXDEP = "scripts/basic/fixdep"
_NAME = re.compile(r"[\w./+,@-]+")  # means nothing else to make and to a shell
_NO_TEXT = re.compile(r"\\$|^\s*(?:define|endef)\b", re.MULTILINE)  # that define could hold
# The built-in rules would make objects of what lies there.
_MAKE = ("make", "--no-builtin-rules", "--no-print-directory", "--file=-")
_BEGINNING = "pound := \\#\nall:\n.DELETE_ON_ERROR:\n.PHONY: all modpost again\nagain:\n"


def unescaped(recorded: str) -> str:
    """Return a recorded command as the shell gets it."""
    return _ESCAPED.sub(lambda match: "$" if match[0] == "$$" else "#", recorded)


class _RecordError(Exception):
    """A .cmd file that does not look as it should."""


def modules(
    make: Make,
    config: str,
    names: Sequence[str],
    records: Collection[Path],
    on_line: Callable[[str], None],
) -> bool:
    """Make those of ``names`` again that depend on ``records``; return whether that worked.

    ``names`` are all modules of a finished build in ``make.output`` (``arch/x86/kvm/kvm.ko``),
    ``records`` the .cmd files of those objects of theirs that have to be compiled, ``config`` the
    configuration's text; ``on_line`` gets what make prints, line by line. After False kbuild has to
    do it, and says what is wrong if something is. Raises :class:`DeadlineError` as the commands do.
    """
    if not set(MORE).isdisjoint(config.splitlines()) or not (make.output / _FIXDEP).is_file():
        return False
    if not records:
        return True
    try:
        rules = _Records(make.output).rules(names, records)
        # A linker that is killed leaves a half-made module, newer than what it is made of.
        with sandbox.unfinished(make.output):
            process.run(
                [*_MAKE, f"--jobs={make.jobs}"],
                cwd=make.output,
                deadline=make.deadline,
                env={**REPRODUCIBLE, **make.env},
                inherit=process.CLEAN,
                input=rules.encode(),
                log=make.log,
                merge=True,
                on_line=on_line,
                # make passes TERM on to the compilers it runs; KILL would orphan them.
                death_signal="TERM",
                within=make.confined(),
            )
    except (_RecordError, ToolFailedError, OSError, UnicodeDecodeError):
        return False
    return not sandbox.sweep(make.output, links_to=[make.source])


@dataclass(frozen=True, slots=True)
class _Records:
    """What kbuild recorded in a build folder, and the rules of a makefile to do it again."""

    output: Path

    def rules(self, names: Sequence[str], records: Collection[Path]) -> str:
        """Return a makefile that compiles ``records`` and makes of it what modules it reaches.

        Objects of ``records`` are made in any case. What modpost says of a module is compiled, and
        a module linked, where make finds it older than what it is made of, as kbuild has it.
        """
        parts = {name: affected.objects(self.output, name.removesuffix(".ko")) for name in names}
        descriptions = {_record(_described(name)) for name in names}
        compiled = {affected.target(record) for record in records if record not in descriptions}
        text = [_BEGINNING, f"all: {' '.join(names)}\n"]
        text += [self._compile(_record(target), ["again"]) for target in sorted(compiled)]
        before_modpost = set(compiled)
        for name, objects in parts.items():
            linked = name.removesuffix(".ko") + ".o"
            made = compiled & objects
            if made and linked not in objects:
                text.append(self._link(linked, sorted(made)))
                before_modpost.add(linked)
        text.append(self._link("Module.symvers", sorted(before_modpost), rule="modpost"))
        for name in names:
            description = _described(name)
            source = description.removesuffix(".o") + ".c"
            if not (self.output / source).is_file():
                raise _RecordError(source)
            again = ["again"] if _record(description) in records else []
            text.append(f"{source}: modpost\n\t@:\n")
            text.append(self._compile(_record(description), [source, *again]))
            text.append(self._link(name, [name.removesuffix(".ko") + ".o", description]))
        return "".join(text)

    def _compile(self, record: Path, needs: Iterable[str]) -> str:
        text = (self.output / record).read_text()
        match = COMPILED.match(text)
        # What follows the list of dependencies is not fixdep's.
        _, end_of_list, rest = text.partition(f"\n$(deps_{match['target']}):\n" if match else "\0")
        depends = DEPENDENCIES.search(match["command"]) if match else None
        if not match or not depends or not end_of_list or _NO_TEXT.search(rest):
            raise _RecordError(record)
        target, fresh = affected.target(record), f"{record}.new"
        fixdep = shlex.join([_FIXDEP, _name(depends[1]), match["target"], match["command"]])
        return (
            f"define rest-{target}\n{_for_make(rest)}\nendef\n"
            f"{target}: export REST = $(rest-{target})\n"
            + _rule(target, needs)
            + f"\t@echo '  CC [M]  {target}'\n"
            # Whatever happens from here on, kbuild compiles an object without a record again.
            f"\t@rm -f {_name(str(record))}\n"
            f"\tset -e; {match['command']}\n"
            f"\t@{_for_make(fixdep)} >{fresh}\n"
            f'\t@printf %s "$$REST" >>{fresh} && rm -f {depends[1]} && mv {fresh} {record}\n'
        )

    def _link(self, target: str, needs: Iterable[str], rule: str = "") -> str:
        record = _record(target)
        match = LINKED.match((self.output / record).read_text())
        if not match:
            raise _RecordError(record)
        step = "MODPOST" if rule else "LD [M] "
        return (
            _rule(rule or target, needs)
            + f"\t@echo '  {step} {target}'\n\tset -e; {match['command']}\n"
        )


def _record(target: str) -> Path:
    """Return the .cmd file of what is made, relative to the build folder."""
    path = Path(target)
    return path.with_name(f".{path.name}.cmd")


def _described(name: str) -> str:
    """Return the object of what modpost says of a module: ``arch/x86/kvm/kvm.mod.o``."""
    return name.removesuffix(".ko") + ".mod.o"


def _rule(target: str, needs: Iterable[str]) -> str:
    return f"{_name(target)}: {' '.join(map(_name, needs))}\n"


def _name(path: str) -> str:
    if not _NAME.fullmatch(path):
        raise _RecordError(path)
    return path


def _for_make(text: str) -> str:
    return text.replace("$", "$$")
