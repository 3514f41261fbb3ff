"""A tree whose kbuild is a shell script, and a package of the kernel that was built from it.

A C file of the tree says in comments what it exports and imports: ``// EXPORT kvm_get 5`` and
``// IMPORT printk``. Modules are real ELF files with a section ``__versions``.
"""

from __future__ import annotations

import json
import lzma
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.unit.fake_tree import make_base
from toolkit.core.arch import X86_64
from toolkit.core.model.kernel import KernelBase, Prebuilt
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.observer import Silent
from toolkit.host import integrity
from toolkit.host.cache import Cache
from toolkit.kernel import worktree
from toolkit.kernel.kbuild import Builder

RELEASE = "6.12.117+deb12-cloud-amd64"
MODPOST = "modpost-args = -o $@\nmodpost-deps := $(MODPOST)\n"
MAKEFILE = r"""VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 117
modules := $(filter %.ko,$(MAKECMDGOALS))
objects := $(filter %.o,$(MAKECMDGOALS))
run = sh scripts/kbuild.sh $(O)
olddefconfig modules_prepare headers:
	@$(run) $@ $(KERNELRELEASE)
$(firstword $(modules)):
	@$(run) modules $(MODPOST) $(modules)
$(wordlist 2,99,$(modules)): $(firstword $(modules))
	@:
$(objects):
	@$(run) object $@
.PHONY: olddefconfig modules_prepare headers $(modules) $(objects)
"""
KBUILD = r"""set -e
output=$1; what=$2; shift 2
exported() { # FILE.c MODULE
    sed -n "s,^// EXPORT \(.*\) \(.*\)$,0x0000000\2	\1	$2	EXPORT_SYMBOL	,p" "$1"
}
compile() { # FILE.c FILE
    mkdir -p "$(dirname "$2")"; gcc -g -c -x c -I include -o "$2" "$1"
}
case $what in
olddefconfig)
    cat Kconfig $(find . -name 'Kconfig.*') >"$output/all"
    while read -r line; do
        name=$(echo "$line" | sed 's/^# //; s/^CONFIG_//; s/[= ].*//')
        ! grep -qx "config $name" "$output/all" || echo "$line"
    done <"$output/.config" | awk -F'[= ]' '{of[$0 ~ /^#/ ? $2 : $1] = $0}
        END {for (name in of) print of[name]}' | sort >"$output/new"
    mv "$output/new" "$output/.config";;
modules_prepare)
    mkdir -p "$output/include/config"
    grep = "$output/.config" >"$output/include/config/auto.conf"
    echo "$1" >"$output/include/config/kernel.release";;
headers)
    mkdir -p "$output/usr/include/linux"; cp include/linux/a.h "$output/usr/include/linux";;
object)
    source=${1%.o}.c; echo "  CC      $1"
    compile "$source" "$output/$1";;
modules)
    test -x "$output/$1"; shift; : >"$output/modules-only.symvers"
    for module in "$@"; do
        ! grep "	${module%.ko}	" "$output/packaged.symvers"
        exported "${module%.ko}.c" "${module%.ko}" >>"$output/modules-only.symvers"
    done
    for module in "$@"; do
        source=${module%.ko}.c; echo "  LD [M]  $module"
        {
            cat "$source"; echo 'struct version { unsigned long crc; char name[56]; };'
            echo '__attribute__((section("__versions"), used)) struct version versions[] = {'
            for name in $(sed -n 's,^// IMPORT ,,p' "$source"); do
                cat "$output/modules-only.symvers" "$output/packaged.symvers" |
                    awk -v name="$name" '$2 == name {print "{" $1 ", \"" name "\"},"; exit}'
            done
            echo '};'
        } >"$output/module.c"
        compile "$output/module.c" "$output/$module"
    done;;
esac
"""
FILES = {
    "Makefile": MAKEFILE,
    "scripts/kbuild.sh": KBUILD,
    "scripts/Kbuild.include": "dot-target = $(@D)/.$(@F)\n",
    "scripts/Makefile.modpost": MODPOST,
    "Kconfig": "config KVM\nconfig KVM_AMD\nconfig VIRTIO_NET\nconfig OFF\n",
    "arch/x86/kvm/Makefile": "obj-$(CONFIG_KVM) += kvm.o\nobj-$(CONFIG_KVM_AMD) += kvm-amd.o\n",
    "arch/x86/kvm/kvm.c": "// EXPORT kvm_get 5\n// IMPORT printk\nint kvm = 1;\n",
    "arch/x86/kvm/kvm-amd.c": "// IMPORT kvm_get\n// IMPORT printk\nint amd = 1;\n",
    "drivers/net/Makefile": "obj-$(CONFIG_VIRTIO_NET) += virtio_net.o\n",
    "drivers/net/virtio_net.c": "// IMPORT printk\nint net = 1;\n",
    "drivers/misc/Makefile": "obj-y += misc.o\n",
    "drivers/misc/misc.c": "int misc = 1;\n#ifdef CONFIG_FUTURE\n#endif\n",
    "kernel/Makefile": "obj-y += fork.o\n",
    "kernel/fork.c": "#include <linux/a.h>\n// EXPORT printk 1\nint fork = A;\n",
}
CONFIG = "CONFIG_KVM=m\nCONFIG_KVM_AMD=m\n# CONFIG_OFF is not set\nCONFIG_VIRTIO_NET=m\n"
SYMVERS = (
    "0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"
    "0x00000005\tkvm_get\tarch/x86/kvm/kvm\tEXPORT_SYMBOL\t\n"
)
MODULES = {
    "arch/x86/kvm/kvm": ["printk"],
    "arch/x86/kvm/kvm-amd": ["kvm_get", "printk"],
    "drivers/net/virtio_net": ["printk"],
}


def make_package(folder: Path) -> Prebuilt:
    """Return the package, written once: its modules are compiled files that say what they are."""
    made = Prebuilt(folder, "packaged", RELEASE, "linux-image-6.12.117 1 (SHA-256 ab)")
    if folder.exists():
        return made
    folder.mkdir()
    made.image.write_bytes(b"vmlinuz")
    made.config.write_text(CONFIG)
    made.symvers.write_text(SYMVERS)
    for name in MODULES:
        module = made.modules / f"kernel/{name}.ko.xz"
        module.parent.mkdir(parents=True, exist_ok=True)
        argv = ["gcc", "-c", "-x", "c", "-o", str(folder / "module.o"), "-"]
        subprocess.run(argv, input=b'char from[] = "package";', check=True)
        module.write_bytes(lzma.compress((folder / "module.o").read_bytes()))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (made.modules / name).touch()
    facts = {name: (f"kernel/{name}.ko.xz", used) for name, used in MODULES.items()}
    (folder / "imports.json").write_text(json.dumps(facts))
    return made


def make_builder(tmp_path: Path) -> Builder:
    """Return a builder that lays trees into its work folders as the toolkit does."""
    cache = Cache(tmp_path / "cache")
    return Builder(cache, X86_64, worktree.materialise, 2, Silent())


def patched(
    tmp_path: Path,
    changes: Mapping[str, str | None] = {},
    base_has: Mapping[str, str] = {},
) -> PatchedTree:
    """Return the tree with some files changed; ``base_has`` are files that its base has so."""
    place = tmp_path / "base/tree"
    if not place.exists():
        make_base(place, **{**FILES, **base_has})
        integrity.remember_stamps(place)
    base = KernelBase("debian-image:6.12", "6.12.117", place, "base")
    files = {
        path: PatchedFile(None if text is None else text.encode()) for path, text in changes.items()
    }
    return PatchedTree(base, None, files, f"key {sorted(changes.items())}")
