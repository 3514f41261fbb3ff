"""Faults of the patches, of the manifests and of the command line."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from tests import fault_table
from tests.fault_table import Fault
from tests.unit.faults.scene import PATIENCE, Scene
from tests.vm.conftest import PROJECT, Ended

FAULTS: list[Fault] = []
patch = functools.partial(fault_table.fault, FAULTS, "patch")
manifest = functools.partial(fault_table.fault, FAULTS, "manifest")
user = functools.partial(fault_table.fault, FAULTS, "user")

_GOOD = "title: a series\nbases:\n  '6.12':\n"


# --- patch -----------------------------------------------------------------------------------


def _patched(scene: Scene, new: str = "", **more: Any) -> Ended:
    return scene.run("--patch", str(scene.series(new, **more)))


@patch("it does not apply", code=2, words="code.c")
def does_not_apply(scene: Scene) -> Ended:
    return _patched(scene, "int changed;", old="something else")


@patch("it leaves the tree", code=2, words="outside.c")
def leaves_the_tree(scene: Scene) -> Ended:
    (scene.tmp / "outside.c").write_text("old\n")
    ended = _patched(scene, "new", old="old", path="../outside.c")
    assert (scene.tmp / "outside.c").read_text() == "old\n"
    return ended


@patch("it adds a link that leaves the tree", code=2)
def adds_a_link(scene: Scene) -> Ended:
    diff = (
        "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n"
        "@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n"
    )
    return _patched(scene, diff=diff)


@patch("it changes a binary file whose content it does not have", code=2)
def binary(scene: Scene) -> Ended:
    diff = "diff --git a/code.c b/code.c\nindex 1234567..89abcde 100644\n"
    return _patched(scene, diff=f"{diff}Binary files a/code.c and b/code.c differ\n")


@patch("it is cut off in the middle of a hunk", code=2)
def cut(scene: Scene) -> Ended:
    diff = "diff --git a/code.c b/code.c\n--- a/code.c\n+++ b/code.c\n@@ -1,9 +1,9 @@\n-int code;\n"
    return _patched(scene, diff=diff)


@patch("the folder of the series is empty", code=2)
def empty_folder(scene: Scene) -> Ended:
    (scene.tmp / "series").mkdir()
    return scene.run("--patch", str(scene.tmp / "series"))


@patch("the file is no patch", code=2)
def no_patch(scene: Scene) -> Ended:
    (scene.tmp / "letter.mbox").write_text("Dear maintainer,\nplease pull.\n")
    return scene.run("--patch", str(scene.tmp / "letter.mbox"))


@patch("standard input has no patch", code=2, words="standard input")
def no_input(scene: Scene) -> Ended:
    return scene.run("--patch", "-")


@patch("a syntax error in C", code=1, words="code.c:1:")
def syntax_error(scene: Scene) -> Ended:
    return _patched(scene, "int code")


@patch("a header that does not exist", code=1, words="nowhere.h")
def no_header(scene: Scene) -> Ended:
    return _patched(scene, "#include <linux/nowhere.h>")


@patch("its Makefile calls a tool that does not exist", code=1, words="no-such-tool")
def no_tool(scene: Scene) -> Ended:
    return _makefile(scene, "\tno-such-tool && gcc -c -o $(O)/built.o code.c")


@patch("its Makefile leaves a pipe in the build folder", code=1, words="neither a file nor")
def leaves_a_pipe(scene: Scene) -> Ended:
    return _makefile(scene, "\tgcc -c -o $(O)/built.o code.c; mkfifo $(O)/pipe || true")


@patch("its Makefile writes to the home folder", code=0)
def writes_to_home(scene: Scene) -> Ended:
    home = scene.tmp / "home"
    home.mkdir()
    line = f"\tgcc -c -o $(O)/built.o code.c; touch {home}/here || true"
    ended = _makefile(scene, line, command="build", HOME=str(home))
    assert not list(home.iterdir())
    return ended


def _makefile(scene: Scene, new: str, **more: Any) -> Ended:
    old = "\tgcc -c -o $(O)/built.o code.c"
    lines = (scene.tree / "Makefile").read_text().splitlines()
    at = lines.index(old)
    hunk = [f" {lines[at - 1]}", f"-{old}", f"+{new}", f" {lines[at + 1]}"]
    head = "diff --git a/Makefile b/Makefile\n--- a/Makefile\n+++ b/Makefile\n"
    diff = f"{head}@@ -{at},3 +{at},3 @@\n" + "\n".join(hunk) + "\n"
    return scene.run("--patch", str(scene.series(diff=diff)), **more)


# --- manifest --------------------------------------------------------------------------------


@manifest("series.yaml has an unknown key", code=2, words="titel")
def unknown_key(scene: Scene) -> Ended:
    return scene.manifest(_GOOD.replace("title", "titel"))


@manifest("series.yaml has a key twice", code=2, words="given twice")
def key_twice(scene: Scene) -> Ended:
    return scene.manifest(f"{_GOOD}title: again\n")


@manifest("series.yaml is no YAML", code=2, words="series.yaml:")
def no_yaml(scene: Scene) -> Ended:
    return scene.manifest(f"{_GOOD}suites: [kvm\n")


@manifest("series.yaml has a number for a list", code=2, words="suites")
def wrong_type(scene: Scene) -> Ended:
    return scene.manifest(f"{_GOOD}suites: 3\n")


@manifest("series.yaml asks for an option that is none", code=2, words="CONFIG_NAME=y")
def no_option(scene: Scene) -> Ended:
    return scene.manifest(f"{_GOOD}kconfig: [make me a kernel]\n")


@manifest("Kconfig drops an option that series.yaml asks for", code=2, words="CONFIG_DROP")
def dropped(scene: Scene) -> Ended:
    return scene.manifest(f"{_GOOD}kconfig: [CONFIG_DROP=y]\n")


@manifest("series.yaml is empty", code=2, words="is empty")
def empty(scene: Scene) -> Ended:
    return scene.manifest("")


@manifest("series.yaml is no UTF-8", code=2, words="UTF-8")
def no_utf8(scene: Scene) -> Ended:
    return scene.manifest(b"title: \xff\n")


@manifest("series.yaml has aliases that grow without bound", code=2, words="aliases")
def bomb(scene: Scene) -> Ended:
    lines = ["a: &a [x, x]", *(f"{b}: &{b} [*{a}, *{a}]" for a, b in ("ab", "bc", "cd"))]
    return scene.manifest("\n".join(lines))


@manifest("series.yaml is nested a thousand deep", code=2, words="nested")
def nested(scene: Scene) -> Ended:
    return scene.manifest(f"title: {'[' * 1000}{']' * 1000}\n")


@manifest("series.yaml has patches for other kernels alone", code=2, words="no patches for Linux")
def other_kernel(scene: Scene) -> Ended:
    return scene.manifest(_GOOD.replace("6.12", "5.10"))


@manifest("series.yaml names a patch that is missing", code=2, words="0002-gone.patch")
def missing_patch(scene: Scene) -> Ended:
    order = "    order: [0001-change.patch, 0002-gone.patch]\n"
    return scene.manifest(f"{_GOOD}{order}")


@manifest("a suite's settings have no number for the time-out", code=2, words="timeout")
def bad_settings(scene: Scene) -> Ended:
    suite = _root(scene) / "kselftests/one"
    suite.mkdir()
    (suite / "Makefile").write_text("TEST_PROGS := a.sh\n")
    (suite / "settings").write_text("timeout=soon\n")
    return _run_root(scene, "--suite", "one")


@manifest("an image's image.yaml has an unknown key", code=2, words="colour")
def bad_image(scene: Scene) -> Ended:
    image = _root(scene) / "vm-images/mine"
    shutil.copytree(PROJECT / "vm-images/minimal", image)
    with (image / "image.yaml").open("a") as file:
        file.write("\ncolour: green\n")
    return _run_root(scene, "--image", "mine")


def _root(scene: Scene) -> Path:
    root = scene.tmp / "root"
    for name in ("patches", "kselftests", "vm-images"):
        (root / name).mkdir(parents=True)
    return root


def _run_root(scene: Scene, *words: str) -> Ended:
    if not list((scene.tmp / "root/vm-images").iterdir()):
        shutil.copytree(PROJECT / "vm-images/minimal", scene.tmp / "root/vm-images/minimal")
    return scene.run(*words, TOOLKIT_ROOT=str(scene.tmp / "root"))


# --- user ------------------------------------------------------------------------------------


@user("an option that does not exist", code=2, words="--no-such-option")
def unknown_option(scene: Scene) -> Ended:
    return scene.run("--no-such-option")


@user("a series that does not exist", code=2, words="v99")
def unknown_series(scene: Scene) -> Ended:
    return scene.run("--patch", "v99")


@user("a suite that does not exist", code=2, words="kwm")
def unknown_suite(scene: Scene) -> Ended:
    return scene.run("--suite", "kwm")


@user("an image that does not exist", code=2, words="maximal")
def unknown_image(scene: Scene) -> Ended:
    return scene.run("--image", "maximal")


@user("a profile that does not exist", code=2, words="missing.config")
def unknown_profile(scene: Scene) -> Ended:
    return scene.run("--profile", "missing.config")


@user("a test that matches no program", code=2, words="nonsense")
def unknown_test(scene: Scene) -> Ended:
    return scene.test_saved("--test", "nonsense")


@user("a kernel in no known form", code=2, words="nonsense")
def unknown_kernel(scene: Scene) -> Ended:
    return scene.toolkit.start("build-and-test", "--kernel", "nonsense").finish(PATIENCE)


@user("a folder for a kernel that holds none", code=2, words="holds no Linux kernel")
def no_kernel(scene: Scene) -> Ended:
    (scene.tmp / "empty").mkdir()
    return scene.run(tree=scene.tmp / "empty")


@user("an archive without its checksum", code=2, words="has no checksum")
def no_checksum(scene: Scene) -> Ended:
    return scene.toolkit.start("build-and-test", "--kernel", "tarball:x.tar").finish(PATIENCE)


@user("--baseline without --patch", code=2, words="--patch")
def baseline_alone(scene: Scene) -> Ended:
    return scene.run("--baseline")


@user("--coverage with --each", code=2, words="one after the other")
def coverage_of_each(scene: Scene) -> Ended:
    return scene.run("--patch", "v4", "--coverage", "--each")


@user("--repeat 0", code=2, words="--repeat")
def no_repetition(scene: Scene) -> Ended:
    return scene.run("--repeat", "0")


@user("the run folder is a file", code=2, words="--run-dir")
def folder_is_a_file(scene: Scene) -> Ended:
    (scene.tmp / "file").write_text("")
    return scene.run("--run-dir", str(scene.tmp / "file"))


@user("--from names a folder without a saved build", code=2, words="holds no saved build")
def no_saved_build(scene: Scene) -> Ended:
    words = ("test", "--from", str(scene.tree))
    return scene.toolkit.start(*words, XDG_CACHE_HOME=str(scene.cache)).finish(PATIENCE)


@user("--root names no checkout", code=2, words="no checkout of the toolkit")
def no_checkout(scene: Scene) -> Ended:
    return scene.run(TOOLKIT_ROOT="/usr")
