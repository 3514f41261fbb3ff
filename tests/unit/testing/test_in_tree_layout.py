from __future__ import annotations

import os
from pathlib import Path

from tests.unit.fake_tree import soon
from tests.unit.testing.test_in_tree_suites import SELFTESTS, tree
from toolkit.testing import in_tree_layout


def test_the_selftests_are_copied_and_the_rest_is_linked(tmp_path: Path) -> None:
    source, place = tree(tmp_path / "a").base.path, tmp_path / "place"
    (source / "tools/include").mkdir()
    (source / "tools/include/a.h").write_text("1\n")
    copy = in_tree_layout.lay_out(source, place, soon())
    assert (copy / "kvm/Makefile").read_text() == "all:\n"
    assert (copy / "../../include/a.h").read_text() == "1\n"
    assert (copy / "../../../scripts/tool.sh").is_file()
    (copy / "kvm/Makefile").write_text("written to\n")
    (copy / "kvm/product").write_text("left behind\n")
    assert (source / SELFTESTS / "kvm/Makefile").read_text() == "all:\n"
    # Once more, with another source below it.
    (source / "tools/include/a.h").unlink()
    (source / "tools/include").rmdir()
    (source / "tools/build").mkdir()
    assert in_tree_layout.lay_out(source, place, soon()) == copy
    assert (copy / "kvm/Makefile").read_text() == "all:\n"
    assert not (copy / "kvm/product").exists()
    assert sorted(path.name for path in (place / "tools").iterdir()) == ["build", "testing"]


def test_a_copy_that_an_earlier_series_wrote_to_is_set_right(tmp_path: Path) -> None:
    source, place = tree(tmp_path / "a").base.path, tmp_path / "place"
    makefile = in_tree_layout.lay_out(source, place, soon()) / "kvm/Makefile"
    was = makefile.stat()
    makefile.write_text("evil\n")
    os.utime(makefile, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert makefile.stat().st_size == was.st_size
    in_tree_layout.lay_out(source, place, soon())
    assert makefile.read_text() == "all:\n"
