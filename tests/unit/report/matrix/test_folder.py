from __future__ import annotations

from pathlib import Path

from tests.a_matrix import a_matrix, write_cells
from tests.unit.report.matrix.test_page import Reader
from toolkit.report.matrix import folder


def test_the_page_leads_to_each_report(tmp_path: Path) -> None:
    matrix = a_matrix()
    write_cells(tmp_path, matrix)
    folder.write(tmp_path, matrix)
    links = Reader((tmp_path / "index.html").read_text()).links
    local = [link for link in links if not link.startswith(("#", "data:"))]
    assert [link for link in local if not (tmp_path / link).is_file()] == []
    for cell in matrix.cells:
        assert (f"{cell.folder}/report.html" in links) == bool(cell.folder)
