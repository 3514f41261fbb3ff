from __future__ import annotations

import re
from dataclasses import replace

from tests.a_matrix import a_matrix, hostile
from toolkit.report.matrix import summary, view


def test_strangers_words_stay_in_their_place_in_markdown() -> None:
    text = summary.render(view.of(hostile())).decode()
    outside = re.sub(r"(?ms)^(```+)\w*$.*?^\1$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", "", text)
    assert "script" in text
    assert "<script" not in outside
    table = [line for line in text.split("\n") if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1, table


def test_many_cells_are_no_table_in_markdown() -> None:
    matrix = a_matrix()
    many = replace(matrix, cells=matrix.cells * 100)
    text = summary.render(view.of(many)).decode()
    assert "| kernel |" not in text
    assert len(text) < 65_000
