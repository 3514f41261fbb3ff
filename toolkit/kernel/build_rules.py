"""Which of a series' files a build runs on the host, rather than only compiling them.

A Makefile, a Kconfig file, a script or a program that takes part in the build can write whatever
the build may write to. What is compiled for the target cannot, so a series of nothing but that may
share what other builds use again (:func:`toolkit.kernel.make.ccache_environment`).
"""

from __future__ import annotations

import re

from toolkit.core.model.series import PatchedTree
from toolkit.host.cache import digest

# Nothing else is only compiled, assembled, translated or read by people.
_COMPILED = re.compile(r".*\.(?:[chS]|rs|dts|dtsi|dtso|rst|txt|svg)|MAINTAINERS|CREDITS|\.mailmap")
# Where host programs and what they include lie: `hostprogs` in the Makefiles of 6.1 to 6.19.
_RUN = re.compile(
    r"(?:scripts|usr|certs|samples|tools(?!/testing/selftests/))/"
    r"|arch/[^/]+/(?:.*/)?(?:tools|boot|vdso[^/]*|nvhe|pi)/"
    r"|(?:.*/)?(?:mk|(?:\w*_)?gen[-_]|conmakehash|pnmtologo)[^/]*\.c"
    r"|drivers/accessibility/speakup/|fs/unicode/|security/selinux/|rust/"
    # Headers that host programs include, as their .cmd files say.
    r"|include/(?:uapi/)?linux/(?:elf|crc|license|types|stddef|const|posix_types|mod_devicetable)"
    r"|include/(?:uapi/)?asm-generic/|lib/crc[^/]*\.h|arch/[^/]+/include/uapi/asm/"
    r"|arch/[^/]+/include/asm/(?:cpufeature|required-f|disabled-f|vmxfeature|orc_|inat|insn)"
)


def run_on_host(path: str) -> bool:
    """Return whether a build may run what is in this file of a tree; in doubt, it may."""
    return _COMPILED.fullmatch(path) is None or _RUN.match(path) is not None


def rules(tree: PatchedTree) -> str:
    """Return a digest of all that a series changes of what a build runs; "" if that is nothing."""
    changed = {
        path: None if file.content is None else digest(file.content)
        for path, file in tree.files.items()
        if run_on_host(path)
    }
    return digest(changed) if changed else ""
