"""Whether a prebuilt kernel still is one's own after a series changed its configuration.

It is where the series only brings options that nothing of the base mentions: the kernel cannot
depend on them, and what the series itself makes of them is found by its files
(:mod:`.reach`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from toolkit.kernel.kconfig import Dropped, dropped, parse_config
from toolkit.kernel.prebuilt.reach import ReachError

# What Kconfig writes down of the programs that it finds; no header has another meaning with them.
_OF_TOOLS = ("CONFIG_CC_VERSION_TEXT", "CONFIG_RUSTC_", "CONFIG_BINDGEN_", "CONFIG_PAHOLE_VERSION")
# What Debian's packages leave out of the configuration that they ship: who signs, and the salt of
# its build ids. None of them changes what a module is compiled to.
_UNPUBLISHED = ("CONFIG_BUILD_SALT", "CONFIG_MODULE_SIG_", "CONFIG_SYSTEM_TRUSTED_KEYS")


def check_same(packaged: str, resolved: str) -> None:
    """Raise :class:`ReachError` unless Kconfig makes ``resolved`` of a package's configuration.

    Both are texts of a .config. Another compiler than the package's shows here: its version is an
    option, and so is what it can do.
    """
    old, new = (_options(text, _OF_TOOLS + _UNPUBLISHED) for text in (packaged, resolved))
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, "n"), new.get(name, "n")
        if was != now:
            raise ReachError(f"with the compiler of this host {name} is {now}, and it was {was}")


def new_options(
    before: str, after: str, mentioned: Callable[[Collection[str]], Collection[str]]
) -> frozenset[str]:
    """Return the options that ``after`` has and ``before``, the prebuilt kernel's, has not.

    Both are texts of a .config, and ``mentioned`` returns which of some options any file of the
    base mentions. Raises :class:`ReachError` where the kernel would be another one.
    """
    old, new = (_options(text) for text in (before, after))
    added = {name for name in new.keys() - old.keys() if new[name] != "n"}
    other = sorted(
        name
        for name in old.keys() | (new.keys() - added)
        if old.get(name, "n") != new.get(name, "n")
    )
    if other:
        name = other[0]
        raise ReachError(
            f"the series makes {name}={new.get(name, 'n')} of the kernel's {old.get(name, 'n')}"
        )
    if known := sorted(mentioned(added)):
        raise ReachError(f"the series turns on {known[0]}, which the kernel's own files mention")
    return frozenset(added)


def _options(text: str, ignored: tuple[str, ...] = _OF_TOOLS) -> dict[str, str]:
    options = parse_config(text)
    return {name: value for name, value in options.items() if not name.startswith(ignored)}


def unmet(config: str, asked: Mapping[str, tuple[str, str]]) -> list[Dropped]:
    """Return what of the options ``asked`` for a kernel with this .config does not have.

    A module will do for what is wanted built in, and the other way round: a prebuilt kernel's
    modules are loaded before they are needed.
    """
    return [item for item in dropped(config, asked) if not item.granted]
