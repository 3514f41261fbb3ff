from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, StringConstraints, ValidationError, field_validator

from toolkit.core.errors import UserError
from toolkit.formats.manifest import MAX_FAULTS, Manifest, load, nearest


class Base(Manifest):
    folder: str | None = None
    memory_mib: Annotated[int, Field(gt=0)] = 256

    @field_validator("folder")
    @classmethod
    def inside(cls, value: str | None) -> str | None:
        if value and ".." in value:
            raise ValueError("must not leave the series")
        return value


class Example(Manifest):
    title: str
    bases: dict[str, Base] = Field(default_factory=dict)
    known_failures: tuple[Base, ...] = ()
    either: Base | str = ""
    files: dict[Annotated[str, StringConstraints(pattern="^/")], Base] = Field(default_factory=dict)


def read(tmp_path: Path, text: str) -> Example:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    return load(path, Example)


def refused(tmp_path: Path, text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path}/example.yaml:")
    return caught.value


def test_keys_have_hyphens_and_values_their_types(tmp_path: Path) -> None:
    found = read(tmp_path, "title: 2009\nbases:\n  6.10: {memory-mib: 512}\nknown-failures: [{}]\n")
    assert found.title == "2009"
    assert found.bases["6.10"].memory_mib == 512
    assert found.known_failures == (Base(),)


def test_of_many_faults_the_first_are_told(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\n" + "".join(f"k{n}: 1\n" for n in range(40_000)))
    assert error.what.endswith("example.yaml:2: unknown key 'k0'")
    assert (len(error.detail), error.detail[-1]) == (MAX_FAULTS, "and 39970 more")


def test_a_key_of_the_wrong_form_is_named_alone(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nfiles: {a: {}}\n")
    assert "example.yaml:2: files.a: string should match" in error.what


def test_a_model_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        read(tmp_path, "title: x\n").title = "y"


def test_an_unknown_key_names_file_line_key_and_the_nearest(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nbases:\n  6.12:\n    foldr: a\n")
    assert error.what.endswith("example.yaml:4: unknown key 'foldr' in bases.6.12")
    assert error.hint == "did you mean 'folder'? known keys: folder, memory-mib"


def test_an_unknown_key_like_no_other_still_lists_the_known(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nzzz: 1\n")
    assert error.hint == "known keys: bases, either, files, known-failures, title"


def test_an_unknown_key_in_a_list_and_in_a_union(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nknown-failures:\n- folder: a\n- foldr: b\n")
    assert error.what.endswith(":4: unknown key 'foldr' in known-failures[1]")
    assert "'folder'" in error.hint
    error = refused(tmp_path, "title: x\neither: {foldr: 1}\n")
    assert "'folder'" in error.hint


def test_an_unknown_key_below_a_key_of_a_given_pattern(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nfiles: {/a/b: {foldr: 1}}\n")
    assert error.hint == "did you mean 'folder'? known keys: folder, memory-mib"


def test_underscores_are_not_a_second_spelling(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nknown_failures: []\n")
    assert error.hint.startswith("did you mean 'known-failures'?")


def test_the_misspelt_key_comes_before_the_missing_one(tmp_path: Path) -> None:
    error = refused(tmp_path, "titel: x\n")
    assert error.what.endswith(":1: unknown key 'titel'")
    assert len(error.detail) == 1
    assert error.detail[0].endswith(":1: key 'title' is missing")


def test_a_wrong_type_shows_what_was_found(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nbases:\n  a:\n    memory-mib: lots\n")
    assert ":4: bases.a.memory-mib: input should be a valid integer" in error.what
    assert error.what.endswith("not 'lots'")
    assert error.hint == ""


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    error = refused(tmp_path, f"title: x\nbases:\n  a:\n    memory-mib: {'9x' * 500}\n")
    assert len(error.what) < 400


def test_the_model_s_own_check_speaks(tmp_path: Path) -> None:
    error = refused(tmp_path, "title: x\nbases:\n  a:\n    folder: ../b\n")
    assert error.what.endswith(":4: bases.a.folder: must not leave the series")


def test_nearest() -> None:
    assert nearest("kconfg", ["kconfig", "bases"]) == ["kconfig"]
    assert nearest("zzz", ["kconfig"]) == []
