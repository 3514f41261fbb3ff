from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.matrix.test_manifest import WHOLE
from toolkit.core.errors import UserError
from toolkit.core.model.matrix import AXES
from toolkit.formats.yamlfile import Location
from toolkit.matrix import cells
from toolkit.matrix.cells import Matrix
from toolkit.matrix.manifest import Axes, Included, Match, MatrixManifest, Settings


def load(tmp_path: Path, text: str) -> Matrix:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return cells.load(file)


def where(place: Location) -> str:
    return "/".join(map(str, place))


def test_the_combinations_less_some_with_some_more(tmp_path: Path) -> None:
    matrix = load(tmp_path, WHOLE)
    assert [(each.series, each.kernel, each.profile, each.suite) for each in matrix.cells] == [
        ("iosignalfd/v4", "debian:6.12", "", "kvm"),
        ("iosignalfd/v4", "debian:6.12", "debug+preempt-rt", "kvm"),
        ("iosignalfd/v4", "git:/srv/linux@v6.13", "", "kvm"),
        ("", "debian:6.12", "", "kvm"),
        ("", "debian:6.12", "debug+preempt-rt", "kvm"),
        ("", "git:/srv/linux@v6.13", "", "kvm"),
        ("io-bus-order/v1", "debian:6.12", "", "kvm-io-bus"),
    ]
    assert [each.baseline for each in matrix.cells] == [True] * 3 + [False] * 4
    assert [each.repeat for each in matrix.cells] == [1, 1, 1, 3, 3, 3, 1]
    assert all(each.slow for each in matrix.cells)
    base = matrix.cells[3]
    assert (base.accel, base.seconds) == ("tcg", 600)
    assert [each.test for each in base.known_failures] == ["kvm/a_test/*"]
    assert cells.settings(base) == "slow, repeat 3, tcg, 1 known failure"
    assert cells.varying(matrix.cells) == ["series", "kernel", "profile", "suite"]
    assert cells.label(base, ["series", "suite", "profile"]) == "none, kvm, none"
    assert matrix.values["kernel", "git:/srv/linux@v6.13"].endswith("m.yaml:4")
    assert matrix.values["suite", "kvm-io-bus"].endswith("m.yaml:9")


def test_one_cell_needs_little(tmp_path: Path) -> None:
    (cell,) = load(tmp_path, "axes: {series: [v4]}").cells
    assert cell.axes == {
        "series": "v4",
        "kernel": "debian:6.12",
        "config": "tiny",
        "profile": "",
        "toolchain": "gcc",
        "arch": "x86_64",
        "image": "minimal",
        "suite": "",
    }
    assert cells.settings(cell) == ""
    assert cells.label(cell, []) == "v4, debian:6.12"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("axes: {}\nexclude:\n  - series: '*'", "m.yaml:2: no cell is left", "leave out some"),
        (
            "axes: {series: [v4, v5]}\nexclude:\n  - series: v6",
            "m.yaml:3: no cell has the series 'v6'",
            "there is: v4, v5",
        ),
        (
            "axes: {series: [v4, v5]}\ninclude:\n  - series: v6\nexclude:\n  - series: v[56]",
            "m.yaml:3: this cell is included, and excluded by {}/m.yaml:5",
            "leave out one",
        ),
        (
            "axes: {series: [v4]}\ninclude:\n  - series: v4",
            "m.yaml:3: this cell is there already",
            "",
        ),
        (
            "axes: {series: [v4], suite: [kvm]}\nsettings:\n  - match:\n      suite: kwm",
            "m.yaml:4: no cell has the suite 'kwm'",
            "did you mean kvm?",
        ),
        (
            "axes: {series: [a, b], suite: [x, y]}\nexclude: [{series: a, suite: x}]\n"
            "settings:\n  - match: {series: a, suite: x}",
            "m.yaml:4: no cell fits all that this names",
            "",
        ),
        (
            "axes:\n" + "".join(f"  {axis}: {[f'v{n}' for n in range(30)]}\n" for axis in AXES[:4]),
            "m.yaml:1: the axes have 810000 combinations",
            "make several",
        ),
    ],
)
def test_what_makes_no_matrix_is_refused(tmp_path: Path, text: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path}/{what.format(tmp_path)}")
    assert hint in caught.value.hint


# --- properties ----------------------------------------------------------------------------

names = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True).map(tuple)
axes = st.builds(Axes, series=names, kernel=names, suite=names)
globs = st.sampled_from(["a", "b", "[cd]", "*"])
matches = st.dictionaries(
    st.sampled_from(["series", "kernel", "suite"]), globs, min_size=1, max_size=2
).map(lambda named: Match(**named))
included = st.builds(Included, series=st.just("z"), kernel=st.sampled_from("ab"))
settings = st.builds(Settings, match=matches | st.none(), repeat=st.integers(1, 9) | st.none())


@given(axes, st.lists(matches, max_size=2), st.lists(included, max_size=2), st.lists(settings))
def test_each_cell_is_there_once_and_is_one_that_was_asked_for(
    given_axes: Axes, exclude: list[Match], include: list[Included], then: list[Settings]
) -> None:
    asked = MatrixManifest(
        axes=given_axes, exclude=tuple(exclude), include=tuple(include), settings=tuple(then)
    )
    try:
        found = cells.expand(asked, where)
    except UserError:
        return
    keys = [(cell.series, cell.kernel, cell.suite) for cell in found]
    assert len(set(keys)) == len(keys) > 0
    named = itertools.product(given_axes.series, given_axes.kernel, given_axes.suite)
    extra = {("z", each.kernel, "") for each in include}
    assert set(keys) <= set(named) | extra
    assert not any(cells._fits(match, cell) for match in exclude for cell in found)
    gone = set(itertools.product(given_axes.series, given_axes.kernel, given_axes.suite)) - set(
        keys
    )
    whole = cells.expand(MatrixManifest(axes=given_axes), where)
    dropped = [cell for cell in whole if (cell.series, cell.kernel, cell.suite) in gone]
    assert all(any(cells._fits(match, cell) for match in exclude) for cell in dropped)
    for cell in found:
        wanted = [
            each.repeat
            for each in then
            if each.repeat and (each.match is None or cells._fits(each.match, cell))
        ]
        assert cell.repeat == (wanted or [1])[-1]


@given(axes)
def test_without_more_there_are_all_combinations_in_the_order_of_the_axes(
    given_axes: Axes,
) -> None:
    found = cells.expand(MatrixManifest(axes=given_axes), where)
    assert [(cell.series, cell.kernel, cell.suite) for cell in found] == list(
        itertools.product(given_axes.series, given_axes.kernel, given_axes.suite)
    )
