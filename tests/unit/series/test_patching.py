import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import create, edit, git, mail, make_base, series, soon
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedTree
from toolkit.series import patching

FILE = "virt/kvm/eventfd.c"


@pytest.fixture
def base(tmp_path: Path) -> KernelBase:
    return make_base(tmp_path / "base")


def contents(root: Path) -> dict[str, tuple[bytes, int, int]]:
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            info = path.lstat()
            found[str(path.relative_to(root))] = (path.read_bytes(), info.st_mtime_ns, info.st_mode)
    return found


def refused(base: KernelBase, *patches: bytes | str) -> UserError:
    before = contents(base.path.parent)
    with pytest.raises(UserError) as caught:
        patching.apply(base, series(*patches), soon())
    assert contents(base.path.parent) == before
    return caught.value


def test_no_series_is_the_base(base: KernelBase) -> None:
    tree = patching.apply(base, None, soon())
    assert tree.files == {}
    assert tree.series is None


def test_an_edit_leaves_the_base_alone(base: KernelBase) -> None:
    before = contents(base.path)
    tree = patching.apply(base, series(edit(FILE)), soon())
    assert contents(base.path) == before
    content = tree.files[FILE].content
    assert content == (base.path / FILE).read_bytes().replace(b"line 10\n", b"changed\n")
    assert list(tree.files) == [FILE]


def test_later_patches_build_on_earlier_ones(base: KernelBase) -> None:
    second = edit("virt/kvm/new.c", 10, "again")
    text = "".join(f"line {n}\n" for n in range(1, 21))
    tree = patching.apply(base, series(create("virt/kvm/new.c", text), second), soon())
    assert b"again\n" in (tree.files["virt/kvm/new.c"].content or b"")


def test_lines_that_moved_are_found(base: KernelBase) -> None:
    moved = edit(FILE, 30).replace("@@ -27,7 +27,7 @@", "@@ -22,7 +22,7 @@")
    tree = patching.apply(base, series(moved), soon())
    assert b"changed\n" in (tree.files[FILE].content or b"")


def test_removal_rename_copy_and_mode(base: KernelBase) -> None:
    diffs = (
        "diff --git a/include/linux/a.h b/include/linux/a.h\ndeleted file mode 100644\n"
        "index 1111111..0000000\n--- a/include/linux/a.h\n+++ /dev/null\n@@ -1 +0,0 @@\n"
        "-#define A 1\n"
        f"diff --git a/{FILE} b/virt/kvm/moved.c\nsimilarity index 100%\n"
        f"rename from {FILE}\nrename to virt/kvm/moved.c\n"
        "diff --git a/Kconfig b/virt/Kconfig\nsimilarity index 100%\n"
        "copy from Kconfig\ncopy to virt/Kconfig\n"
        "diff --git a/scripts/tool.sh b/scripts/tool.sh\nold mode 100755\nnew mode 100644\n"
        + create("scripts/run.sh", "#!/bin/sh\n", "100755")
    )
    files = patching.apply(base, series(diffs), soon()).files
    assert {path: file.content is None for path, file in files.items()} == {
        "include/linux/a.h": True,
        FILE: True,
        "virt/kvm/moved.c": False,
        "virt/Kconfig": False,
        "scripts/tool.sh": False,
        "scripts/run.sh": False,
    }
    assert files["virt/kvm/moved.c"].content == (base.path / FILE).read_bytes()
    assert files["scripts/run.sh"].executable
    assert not files["scripts/tool.sh"].executable


def test_what_is_undone_within_the_series_is_no_change(base: KernelBase) -> None:
    there, back = edit(FILE), edit(FILE).replace("-line 10\n+changed", "-changed\n+line 10")
    assert patching.apply(base, series(there, back), soon()).files == {}


def test_the_key_follows_content_alone(base: KernelBase) -> None:
    def key(*patches: str, over: KernelBase = base) -> str:
        return patching.apply(over, series(*patches), soon()).key

    assert key(edit(FILE)) == key(edit(FILE))
    assert key(edit(FILE), edit(FILE, 30)) == key(edit(FILE, 30), edit(FILE))
    assert key(edit(FILE)) != key(edit(FILE, text="other"))
    assert key(edit(FILE)) != key(edit(FILE), over=dataclasses.replace(base, key="other"))
    assert key(create("x", mode="100755")) != key(create("x"))


def test_white_space_is_kept(base: KernelBase) -> None:
    tree = patching.apply(base, series(create("x", "trailing  \n\t \tmixed\n\n\n")), soon())
    assert tree.files["x"].content == b"trailing  \n\t \tmixed\n\n\n"


def test_a_binary_patch(base: KernelBase, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    (work / "logo.bin").write_bytes(bytes(range(256)) * 4)
    git(work, "add", "-A")
    diff = git(work, "diff", "--cached", "--binary")
    tree = patching.apply(base, series(mail(diff)), soon())
    assert tree.files["logo.bin"].content == bytes(range(256)) * 4


def test_a_binary_file_whose_content_is_missing_is_refused_with_what_to_do(
    base: KernelBase, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    (work / "logo.bin").write_bytes(bytes(range(256)) * 4)
    git(work, "add", "-A")
    for options in ((), ("--full-index",)):
        new = git(work, "diff", "--cached", *options)
        for patch in (mail(new), mail(edit(FILE).encode() + new)):
            error = refused(base, patch)
            assert "'logo.bin' is binary, and its content is not in the patch" in error.what
            assert "git format-patch --binary" in error.hint
    error = refused(base, mail("Only in b: x\nBinary files a/logo.bin and b/logo.bin differ\n"))
    assert error.what == "0001-x.patch changes binary files, and does not have their content"


def test_a_binary_file_may_be_removed_without_its_content(base: KernelBase, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    for folder in (work, base.path):
        (folder / "logo.bin").write_bytes(bytes(range(256)) * 4)
    git(work, "add", "-A")
    diff = git(work, "diff", "--cached", "-R", "--full-index")
    assert b"Binary files" in diff
    assert patching.apply(base, series(mail(diff)), soon()).files["logo.bin"].content is None


# --- what does not apply -----------------------------------------------------------------


def test_a_hunk_that_does_not_fit_is_shown_with_what_is_there(base: KernelBase) -> None:
    error = refused(base, edit(FILE), edit(FILE, 30).replace(" line 29\n", " line elsewhere\n"))
    assert error.what == f"0002-x.patch:14 does not apply: hunk at line 27 of {FILE}"
    assert "    +changed" in error.detail
    assert "    27 line 27" in error.detail
    assert f"{FILE} has there:" in error.detail
    assert "    29>line 29" in error.detail
    assert "rebase the series" in error.hint


def shown(error: UserError) -> list[str]:
    """Return what an error shows of the file, with the heading."""
    return list(error.detail[next(at for at, x in enumerate(error.detail) if " has " in x) :])


def test_the_place_that_nearly_fits_is_shown_wherever_it_is(base: KernelBase) -> None:
    lines = [f"\tcall({n});" if n % 3 else "\t}" for n in range(1, 200)]
    (base.path / FILE).write_text("\n".join(lines) + "\n")
    old = [lines[109], lines[110], "\tcall(112, 0);", "\t}", lines[113], lines[114]]
    hunk = "\n".join([f" {line}" for line in old[:2]] + [f"-{old[2]}"] + [f" {x}" for x in old[3:]])
    head = f"diff --git a/{FILE} b/{FILE}\n--- a/{FILE}\n+++ b/{FILE}\n"
    detail = shown(refused(base, mail(f"{head}@@ -20,6 +20,5 @@\n{hunk}\n")))
    assert detail == [
        f"{FILE} has at line 110, which nearly fits:",
        "   110 \tcall(110);",
        "   111 \t}",
        "   112>\tcall(112);",
        "   113>\tcall(113);",
        "   114 \t}",
        "   115 \tcall(115);",
    ]
    spaces = hunk.replace("\t", "        ").replace("112, 0", "112")
    error = refused(base, mail(f"{head}@@ -20,6 +20,5 @@\n{spaces}\n"))
    assert shown(error)[0] == f"{FILE} has at line 110, which nearly fits:"
    nothing = "\n".join(f" other {n}" for n in range(5)) + "\n-gone"
    detail = shown(refused(base, mail(f"{head}@@ -20,6 +20,5 @@\n{nothing}\n")))
    assert detail[:2] == [f"{FILE} has nothing like it, and there:", "    20>\tcall(20);"]


def test_no_fuzz(base: KernelBase) -> None:
    """patch(1) would take a hunk whose outer context is wrong; git must not."""
    error = refused(base, edit(FILE).replace(" line 13\n", " line thirteen\n"))
    assert "does not apply" in error.what


def test_a_patch_that_is_in_already_says_so(base: KernelBase) -> None:
    error = refused(base, edit(FILE), edit(FILE))
    assert error.what.startswith("0002-x.patch")
    assert "already" in error.hint


def test_a_missing_file_and_one_in_the_way(base: KernelBase) -> None:
    assert "virt/kvm/none.c: No such file" in refused(base, edit("virt/kvm/none.c")).what
    assert "already exists" in refused(base, create(FILE)).what


def test_a_file_where_a_folder_is_wanted_and_the_other_way(base: KernelBase) -> None:
    assert "0001-x.patch" in refused(base, create("Makefile/x")).what
    assert "is a folder in the tree" in refused(base, create("virt")).what


# --- hostile patches ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["../out", "a/../../out", "/tmp/out", ".git/hooks/post-checkout", "x/.git/config", "y" * 300],
)
def test_a_path_outside_is_refused(base: KernelBase, path: str) -> None:
    for diff in (
        create(path),
        edit(path),
        f"diff --git a/Kconfig b/{path}\nsimilarity index 100%\n"
        f"rename from Kconfig\nrename to {path}\n",
        f"diff --git a/{path} b/{path}\ndeleted file mode 100644\nindex 1111111..0000000\n"
        f"--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    ):
        assert "refused" in refused(base, diff).what


def test_a_link_is_neither_made_nor_followed(base: KernelBase, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim.c").write_text("".join(f"line {n}\n" for n in range(1, 21)))
    (base.path / "escape").symlink_to(outside)
    for diff in (
        create("link", "/etc/passwd", "120000"),
        create("escape/new.c"),
        edit("escape/victim.c"),
        create("scripts/include/linux/b.h"),
        edit("escape"),
    ):
        assert "refused" in refused(base, diff).what


def test_a_diff_in_the_message_does_not_slip_past(base: KernelBase) -> None:
    """What git would apply is seen and checked, wherever it stands."""
    hidden = "--- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1 @@\n-mainmenu x\n+mainmenu y\n"
    patch = mail(edit(FILE)).replace(b"Why.\n", hidden.encode())
    assert set(patching.apply(base, series(patch), soon()).files) == {"Kconfig", FILE}
    outside = hidden.replace("b/Kconfig", "b/../Kconfig")
    assert "refused" in refused(base, mail(edit(FILE)).replace(b"Why.\n", outside.encode())).what


def test_traditional_diffs_and_git_s_go_together(base: KernelBase) -> None:
    old = "--- linux.orig/Kconfig\t2009-05-27 12:00:00\n+++ linux/Kconfig\t2009-05-27 12:01:00\n"
    flat = "--- Kconfig\n+++ Kconfig\n@@ -1 +1 @@\n-mainmenu y\n+mainmenu z\n"
    patches = (f"{old}@@ -1 +1 @@\n-mainmenu x\n+mainmenu y\n", edit(FILE), flat, edit(FILE, 40))
    files = patching.apply(base, series(*patches), soon()).files
    assert files["Kconfig"].content == b"mainmenu z\n"
    assert (files[FILE].content or b"").count(b"changed\n") == 2


def test_a_patch_below_fewer_folders_and_with_less_context(base: KernelBase) -> None:
    flat = edit(FILE).replace(" a/", " ").replace(" b/", " ").replace(" line 13\n", " another\n")
    (patch,) = series(flat).patches
    whole = dataclasses.replace(series(), patches=(dataclasses.replace(patch, strip=0),))
    with pytest.raises(UserError, match="hunk at line 7"):
        patching.apply(base, whole, soon())
    loose = dataclasses.replace(patch, strip=0, context=1)
    whole = dataclasses.replace(series(), patches=(loose,))
    assert list(patching.apply(base, whole, soon()).files) == [FILE]


def test_binary_data_that_becomes_too_large_is_refused(base: KernelBase) -> None:
    diff = (
        "diff --git a/x b/x\nnew file mode 100644\nindex 0000000..1111111\nGIT binary patch\n"
        "literal 40000000\nzcmZQz\n\nliteral 0\nHcmV?d00001\n\n"
    )
    assert "binary files are 76 MiB" in refused(base, diff, diff.replace("/x", "/y")).what


def test_the_caller_s_git_settings_play_no_part(
    base: KernelBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[apply]\n\twhitespace = error-all\n\tignoreWhitespace = change\n"
        "[core]\n\tautocrlf = true\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'apply.whitespace=error-all'")
    tree = patching.apply(base, series(create("x", "trailing  \n")), soon())
    assert tree.files["x"].content == b"trailing  \n"
    assert "does not apply" in refused(base, edit(FILE).replace(" line 9", " line  9")).what


def test_an_enclosing_repository_plays_no_part(
    base: KernelBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a repository, git silently leaves out what a patch does outside the current folder."""
    git(tmp_path, "init", "-q")
    inside = tmp_path / "scratch"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    assert list(patching.apply(base, series(edit(FILE)), soon()).files) == [FILE]
    assert list(inside.iterdir()) == []


# --- round trips -------------------------------------------------------------------------

NAMES = st.sampled_from(["a.c", "b.c", "dir/c.h", "dir/sub/d e.S", "hé.txt", "-x", 'q"uote'])
LINES = st.lists(st.sampled_from(["", "x", "\tint a;", "--- a/x", "+++ b/x", "@@ -1 +1 @@", "é"]))
TREES = st.dictionaries(NAMES, LINES.map(lambda lines: "".join(f"{line}\n" for line in lines)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(TREES, min_size=2, max_size=3), rename=st.booleans())
def test_what_git_formats_comes_out_again(
    states: list[dict[str, str]], rename: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("round")
    work, first, out = root / "work", root / "base", root / "out"
    work.mkdir()
    git(work, "init", "-q")
    for number, state in enumerate(states):
        for file in git(work, "ls-files", "-z").decode().split("\0"):
            if file:
                (work / file).unlink()
        for path, text in state.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "--allow-empty", "-m", f"state {number}")
        if number == 0:
            subprocess.run(["cp", "-a", work, first], check=True)
    git(work, "format-patch", "-q", "-M" if rename else "--no-renames", "--root", "-o", str(out),
        f"HEAD~{len(states) - 1}..")  # fmt: skip
    patches = [path.read_bytes() for path in sorted(out.iterdir())]
    patches = [content for content in patches if b"\ndiff --git" in content]
    base = KernelBase("x", "6.12.0", first, "k")
    found = patching.apply(base, series(*patches), soon())
    assert overlaid(found) == {path: text.encode() for path, text in states[-1].items()}


def overlaid(tree: PatchedTree) -> dict[str, bytes]:
    found = {}
    for folder, names, files in os.walk(tree.base.path):
        if ".git" in names:
            names.remove(".git")
        for name in files:
            path = Path(folder, name)
            found[str(path.relative_to(tree.base.path))] = path.read_bytes()
    for relative, file in tree.files.items():
        if file.content is None:
            del found[relative]
        else:
            found[relative] = file.content
    return found
