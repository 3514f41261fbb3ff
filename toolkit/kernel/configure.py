"""Configure a kernel: what it begins with, everybody's options on top, and what became of them.

Kconfig silently drops what it cannot have, so every option that was asked for is looked up in the
result. Of a large configuration that somebody brings (``defconfig``, ``distro``, a file) it is said
what is different in the end.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolMissingError
from toolkit.core.model.kernel import Fragment, KernelBase, KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.kernel import (
    kconfig,
    kconfig_explain,
    kconfig_parents,
    module_choice,
    starting_config,
    tree_text,
)
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.kbuild import Builder, part_of
from toolkit.kernel.make import Make
from toolkit.kernel.starting_config import TINY, StartingConfig

_KCONFIG_FILE = re.compile(r"(^|/)Kconfig[^/]*$|^arch/[^/]+/configs/|^kernel/configs/|^scripts/")
# What Kconfig reads of a whole tree: these, and what the Makefiles tell it.
_CONFIGURES = re.compile(rf"{_KCONFIG_FILE.pattern}|^(arch/[^/]+/)?Makefile[^/]*$")
_FORMAT = 3  # of how a configuration is resolved, a part of its key
_WISHES = "wishes"  # which soft options were dropped, in a configuration's entry
_NOTICES = "notices.json"  # what else there is to say, a line each
_PAHOLE, _PAHOLE_PACKAGE = "pahole", "pahole"
_BTF = "BTF"  # options with this in their name need pahole
_KEY, _SIGN = "CONFIG_MODULE_SIG_KEY", "CONFIG_MODULE_SIG_ALL"
_SIGNED = "a kernel that loads signed modules alone"
_OWN_KEY = '"certs/signing_key.pem"'  # which the build makes (certs/Makefile)
# What looks whether a signed module is on a list of those that must not be loaded.
_SIGNING = "kernel/module/signing.c"
_HASH = re.compile(r'crypto_alloc_shash\("(\w+)"')
_KEY_FILES = ("CONFIG_SYSTEM_TRUSTED_KEYS", "CONFIG_SYSTEM_REVOCATION_KEYS")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a configuration is made of: ``fragments``, the stronger ones last, on top of ``start``.

    Of the modules of a start that is not tiny, those are built that somebody asks for or the series
    touches, unless ``all_modules``.
    """

    fragments: tuple[Fragment, ...] = ()
    start: StartingConfig = TINY
    all_modules: bool = False


def configure(
    builder: Builder, tree: PatchedTree, wanted: Wanted, deadline: Deadline
) -> tuple[KernelConfig, bool]:
    """Return the configuration as Kconfig resolves it, and whether the cache had it.

    Raises :class:`UserError` when Kconfig dropped an option, naming it, who asked and the
    dependency that is not met. An option dropped from a soft fragment is a notice.
    """
    asked = kconfig.merge(wanted.fragments)
    wishes = kconfig.wishes(wanted.fragments)
    start = starting_config.fetched(wanted.start, tree.base, builder.arch, builder.cache, deadline)
    touched = frozenset[str]()
    if start != TINY and not wanted.all_modules:
        touched = module_choice.touched(tree, builder.arch.srcarch)
    key = digest(
        _FORMAT,
        _configured_by(builder, tree.base, deadline),
        part_of(tree, _KCONFIG_FILE),
        kconfig.render(asked),
        builder.compiler(deadline),
        builder.arch.name,
        *([wishes] if wishes else []),
        *([] if start == TINY else [[start.target, start.text, wanted.all_modules]]),
        *([sorted(touched)] if touched else []),
        *(
            [pahole_version(deadline)]
            if start != TINY or any(_BTF in option for option in asked)
            else []
        ),
    )

    def fill(folder: Path) -> None:
        with builder.work_tree(tree, deadline) as work:
            job = _Job(builder, work, start, asked, wishes)
            text, notices = job.resolve(None if wanted.all_modules or start == TINY else touched)
            missing = kconfig.dropped(text, asked)
            why = _reasons(job, text, missing)
        if refused := [item for item in missing if item.option not in wishes]:
            raise kconfig.refuse(refused, why)
        if vain := [item for item in missing if not item.granted]:
            (folder / _WISHES).write_text(kconfig.ungranted(vain, why))
        (folder / _NOTICES).write_text(json.dumps(notices))
        (folder / "config").write_text(text)

    path, cached = builder.cache.make("config", key, fill, deadline=deadline, label=tree.base.name)
    if (path / _WISHES).exists():
        builder.observer.notice((path / _WISHES).read_text())
    if (path / _NOTICES).exists():
        for line in json.loads((path / _NOTICES).read_text()):
            builder.observer.notice(line)
    text = (path / "config").read_text()
    return KernelConfig(text, digest(text)), cached


def pahole_version(deadline: Deadline) -> str:
    """Return pahole's version; "" where it is not installed, and Kconfig drops all of BTF."""
    try:
        program = process.find(_PAHOLE, _PAHOLE_PACKAGE)
    except ToolMissingError:
        return ""
    return process.run([program, "--version"], deadline=deadline, inherit=process.CLEAN).text


def absent_pahole(deadline: Deadline) -> str:
    """Return the end of a sentence that says that pahole is not installed; "" where it is."""
    if pahole_version(deadline):
        return ""
    return f"; {_PAHOLE} is not installed (Debian package {_PAHOLE_PACKAGE})"


def _reasons(job: _Job, text: str, missing: Sequence[kconfig.Dropped]) -> dict[str, str]:
    """Return why options were dropped, where that is known."""
    why = kconfig_explain.reasons(
        job.work.source(),
        job.builder.arch.srcarch,
        kconfig.parse_config(text),
        {item.option: item.wanted for item in missing},
    )
    absent = absent_pahole(job.work.deadline)
    return {
        option: reason + (absent if "(PAHOLE_VERSION=0)" in reason else "")
        for option, reason in why.items()
    }


@dataclass(frozen=True, slots=True)
class _Job:
    """One run of Kconfig, in a folder that all configurations of a base share."""

    builder: Builder
    work: WorkTree
    start: StartingConfig
    asked: Mapping[str, tuple[str, str]]
    wishes: Collection[str]  # those of ``asked`` that may be dropped

    def resolve(self, touched: frozenset[str] | None) -> tuple[str, list[str]]:
        """Return what Kconfig makes of it, and what there is to say of it, a line each.

        Of the start's modules only what is asked for and ``touched`` stays; all of them, if None.
        """
        begin = self._begin()
        started = kconfig.parse_config(begin)
        left_out = [] if touched is None else self._left_out(started, touched)
        wanted = kconfig.without(begin, left_out) + kconfig.render(self.asked)
        text = self._resolved(wanted)
        parents = self._parents_of_vain(text)
        if parents:
            text = self._resolved(wanted + kconfig.render(parents))
        signing = tree_text.read(self.work.tree, _SIGNING) or ""
        needed = to_load(kconfig.parse_config(text), self.work.source(), signing)
        if needed:
            text = self._resolved(text + kconfig.render(needed))
        name = self.start.name
        changed = needed if self.start == TINY else {**self.asked, **parents, **needed}
        notices = kconfig.changes(name, started, changed)
        if self.start.text:
            notices += kconfig.lost(name, self.start.text, begin)
        final = kconfig.parse_config(text)
        if gone := [option for option in left_out if final.get(option, "n") == "n"]:
            notices.append(
                f"{name}: {len(gone)} of its {_modules(started)} modules' options are left out,"
                " since nothing asks for them and the series touches none of their files;"
                " --all-modules builds them"
            )
        return text, notices

    def _parents_of_vain(self, text: str) -> dict[str, tuple[str, str]]:
        """Return what would have to be set for wishes that were dropped, if nobody says other."""
        vain = {
            item.option: item.wanted
            for item in kconfig.dropped(text, self.asked)
            if item.option in self.wishes and item.wanted in ("y", "m") and not item.granted
        }
        if not vain:
            return {}
        read = functools.partial(tree_text.read, self.work.tree)
        symbols = kconfig_explain.symbols(read, self.builder.arch.srcarch)
        missing = kconfig_parents.missing_parents(symbols, kconfig.parse_config(text), vain)
        return {
            option: (value, "what others depend on")
            for option, value in missing.items()
            if option not in self.asked or option in self.wishes
        }

    def _left_out(self, started: Mapping[str, str], touched: frozenset[str]) -> list[str]:
        """Return the options of the start's modules that nothing needs."""
        depends = kconfig_explain.dependencies(self.work.source(), self.builder.arch.srcarch)
        keep = module_choice.needed(started, {*self.asked, *touched}, depends)
        return module_choice.without(started, keep)

    def _begin(self) -> str:
        """Return what the start is with this kernel and compiler, before anybody's options."""
        make, config = self._make()
        if self.start.target:
            make.run(self.start.target)
            return config.read_text()
        return self._resolved(self.start.text)

    def _resolved(self, text: str) -> str:
        make, config = self._make()
        config.write_text(text)
        make.run("olddefconfig")
        return config.read_text()

    def _make(self) -> tuple[Make, Path]:
        folder = self.work.place("conf")
        folder.mkdir(exist_ok=True)
        make = self.builder.make(self.work.source(), folder, self.work.deadline, self.work.tree)
        return make, folder / ".config"


def to_load(config: Mapping[str, str], source: Path, signing: str) -> dict[str, tuple[str, str]]:
    """Return the options without which the build lacks a key, or its modules would not load.

    ``signing`` is the text of the kernel's kernel/module/signing.c.

    Somebody's configuration names keys that only he has: those that are not in ``source`` go, and
    the build makes one of its own for the modules. A kernel that loads signed modules alone gets
    its modules signed. Debian's hashes each signed module, and loads none whose hash it cannot
    compute (-ENOENT, without a word), but has no Kconfig line that asks for the algorithm.
    """
    needed: dict[str, tuple[str, str]] = {}
    for option in _KEY_FILES:
        if _absent(config.get(option, ""), source):
            needed[option] = ('""', f"the build ({config[option]} is not in the tree)")
    own = config.get(_KEY, "")
    forced = config.get("CONFIG_MODULE_SIG_FORCE") == "y"
    if _absent(own, source) and own != _OWN_KEY:
        needed[_KEY] = (_OWN_KEY, f"the build ({own} is not in the tree)")
    if forced and own == '""':
        needed[_KEY] = (_OWN_KEY, _SIGNED)
    if forced and config.get(_SIGN) != "y":
        needed[_SIGN] = ("y", _SIGNED)
    if config.get("CONFIG_MODULE_SIG") == "y":
        for algorithm in _HASH.findall(signing):
            option = f"CONFIG_CRYPTO_{algorithm.upper()}"
            if config.get(option) != "y":
                needed[option] = ("y", f"a kernel that hashes its modules ({_SIGNING})")
    return needed


def _absent(value: str, source: Path) -> bool:
    """Return whether a quoted option names a file or a token that a build does not have here."""
    name = value.strip('"')
    return bool(name) and not (source / name).is_file()


def _modules(config: Mapping[str, str]) -> int:
    return sum(value == "m" for value in config.values())


def _configured_by(builder: Builder, base: KernelBase, deadline: Deadline) -> str:
    """Return what stands for the base in a configuration's key.

    Most commits leave the Kconfig files as they are, so Kconfig need not run for each.
    """
    if not base.lineage:
        return base.key

    def fill(folder: Path) -> None:
        digests = {
            name: digest((base.path / name).read_bytes())
            for name in sorted(_names(base.path))
            if _CONFIGURES.search(name) and (base.path / name).is_file()
        }
        (folder / "key").write_text(digest(digests))

    path, _ = builder.cache.make("kconfig", base.key, fill, deadline=deadline, label=base.name)
    return (path / "key").read_text()


def _names(root: Path) -> Iterator[str]:
    """Yield the path of every file below ``root``."""
    for place, _, files in os.walk(root):
        prefix = place[len(str(root)) + 1 :]
        yield from (f"{prefix}/{name}" if prefix else name for name in files)
