"""Let a kernel build take from ccache what was compiled before.

kbuild keeps what is up to date, and no more: a series taken off and put on again compiles its
headers' users twice, and so does a build folder that was pruned. ccache stands before the
compiler under the compiler's own name, so that no command of the build changes and a build
folder may be used with it and without.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from toolkit.host.cache import Cache

_COMPILER = "gcc"
_LIMIT = "3G"  # what it keeps; a kernel of the minimal image takes about 20 MiB


def environment(cache: Cache) -> dict[str, str]:
    """Return what to set for a build: nothing where ccache is not installed, or nothing is reused.

    Its store is a work folder of ``cache``, so that ``cache list`` tells and ``cache prune``
    frees it; ccache is safe for any number of builds at once, and for a store that goes away.
    Settings that the caller's environment has for ccache go before these.
    """
    program = shutil.which("ccache")
    if not program or cache.cold:
        return {}
    store = cache.root / "work/ccache" / _COMPILER
    names = store / "bin"
    try:
        names.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (names / _COMPILER).symlink_to(program)
        os.utime(store)
    except OSError:
        return {}  # what cannot be written is no reason not to build
    wanted = {
        "CCACHE_DIR": str(store / "store"),
        "CCACHE_MAXSIZE": _LIMIT,
        # The preprocessor's work is not done twice; kbuild asks the compiler for what it read.
        "CCACHE_DEPEND": "1",
    }
    path = f"{names}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | {"PATH": path}
