"""A toolkit that is a few lines of shell: it writes down how it was called, and what it has to."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from tests import a_result
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import GuestImage
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.report import artifacts
from toolkit.workflow import saved_build
from toolkit.workflow.saved_build import Bundle

_SCRIPT = r"""#!/bin/sh
here=$(dirname "$0")
[ "$1" = --root ] && [ -d "$2/kselftests" ] || { echo "no inputs in $2"; exit 2; }
shift 2
command=$1
for word; do
    case $previous in --save) save=$word ;; --run-dir) run=$word ;; --from) from=$word ;; esac
    previous=$word
done
[ -z "$from" ] || [ -e "$from/bundle.json" ] || { echo "no build in $from"; exit 2; }
echo "$@" >>"$here/calls"
if [ -n "$run" ]; then mkdir -p "$run/tests/kvm"; echo log >"$run/tests/kvm/$$.log"; fi
if [ -e "$here/$command-sleeps" ]; then
    trap 'echo stopped >>"$here/calls"; exit 130' TERM
    sleep 600 & wait
fi
if [ -e "$here/$command-takes" ]; then sleep "$(cat "$here/$command-takes")"; fi
if [ -e "$here/$command-fails" ]; then
    echo "the words before"; echo "toolkit: $command failed"
    exit "$(cat "$here/$command-fails")"
fi
echo "$@" >>"$here/ends"
[ -z "$save" ] || cp -r "$here/bundle" "$save"
[ -z "$run" ] || [ -n "$save" ] || cp "$here/result.json" "$run"
exit "$(cat "$here/$command-exits" 2>/dev/null || echo 0)"
"""


@dataclass(frozen=True)
class FakeToolkit:
    folder: Path

    @property
    def command(self) -> tuple[str, ...]:
        return (str(self.folder / "toolkit"),)

    def calls(self, which: str = "calls") -> list[str]:
        """Return the words of each call, or of those that came to their ends."""
        try:
            return (self.folder / which).read_text().splitlines()
        except FileNotFoundError:
            return []

    def let(self, command: str, what: str, content: str = "") -> None:
        """Have a command do something: sleeps, takes (seconds), fails (with a code), exits."""
        (self.folder / f"{command}-{what}").write_text(content)


def make(folder: Path) -> FakeToolkit:
    folder.mkdir(parents=True)
    script = folder / "toolkit"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    save_bundle(folder / "bundle")
    short = replace(a_result.PASSED, leaves=a_result.PASSED.leaves[:3])
    (folder / "result.json").write_bytes(artifacts.to_json(short))
    return FakeToolkit(folder)


def save_bundle(folder: Path) -> None:
    """Write what `build --save` writes, with two suites."""
    made = folder.with_name("made")
    for name in ("headers/x.h", "vmlinux", "config", "a/a_test", "b/b_test", "initrd"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    kernel = KernelBuild(
        made, "key", "6.12.1", made / "vmlinux", "digest", None, made / "headers", made / "config"
    )
    image = GuestImage("minimal", "key", made / "initrd", None, (), 768, 2, "q35", (), "dropbear")
    suites = tuple(
        BuiltSuite(suite, made / name, (TestProgram(suite, f"{name}_test", 45.0),))
        for suite, name in (("kvm", "a"), ("net", "b"))
    )
    base = KernelBase("debian:6.12", "6.12.1", made, "key")
    saved_build.save(Bundle(kernel, image, suites, base, None), folder)


def archive(folder: Path) -> bytes:
    """Return inputs that have nothing in them but the folders."""
    import gzip
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("patches", "kselftests", "vm-images"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return gzip.compress(stream.getvalue())


def leaves(run_folder: Path) -> int:
    return len(json.loads((run_folder / "result.json").read_bytes())["leaves"])
