"""Files that are written whole or not at all, and what is told of those that hold something else."""

import math

import pytest

from recipes import run as runs
from recipes.errors import WorldError
from recipes.run.timing import write_seconds


@pytest.mark.parametrize("value", [0, 1.5, -1e299, 2**53])
def test_figures_are_numbers(value):
    assert runs.finite_number({"a": value}, "a") == value


@pytest.mark.parametrize("value", [None, True, "1.5", [1], math.nan, math.inf, 10**301])
def test_what_is_no_figure(value):
    with pytest.raises(ValueError, match="loss is "):
        runs.finite_number({"loss": value}, "loss")
    with pytest.raises(KeyError):
        runs.finite_number({}, "loss")


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("b"), TypeError("c"), AttributeError("d"), OverflowError()]
)
def test_what_files_of_another_structure_lead_to_is_one_line(tmp_path, error):
    with pytest.raises(WorldError) as caught, runs.may_be_damaged(tmp_path):
        raise error
    assert str(caught.value).startswith(f"{tmp_path} is damaged, or of another version: {type(error).__name__}")


def test_other_errors_are_not_of_the_file(tmp_path):
    with pytest.raises(OSError, match="full"), runs.may_be_damaged(tmp_path):
        raise OSError("full")


def test_a_file_is_written_whole_and_its_directory_is_made(tmp_path):
    path = tmp_path / "a" / "b.json"
    runs.write_file(path, lambda part: part.write_text("{}"))
    assert runs.read_json(path) == {}

    def fails(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(WorldError, match=r"cannot write .*b\.json: No space left on device"):
        runs.write_file(path, fails)
    assert [each.name for each in path.parent.iterdir()] == ["b.json"]
    assert runs.read_json(path) == {}
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot write"):
        runs.write_file(tmp_path / "file" / "b.json", lambda part: part.write_text("{}"))


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "[" * 100_000, "\xff"])
def test_a_file_that_is_no_dict_of_json_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(WorldError) as caught:
        runs.read_json(path)
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_none(tmp_path):
    assert runs.read_json(tmp_path / "a.json") is None
    assert runs.read_json(tmp_path / "nothing" / "a.json") is None
    (tmp_path / "file").write_text("")
    assert runs.read_json(tmp_path / "file" / "a.json") is None


def test_seconds_of_epochs_are_read_as_they_were_written(tmp_path):
    assert runs.seconds_of(tmp_path) == []
    write_seconds(tmp_path, [0, 1, 2], [1.25, 0.00004, 3])
    assert (tmp_path / "timing.csv").read_text() == "epoch,seconds\n0,1.2500\n1,0.0000\n2,3.0000\n"
    assert runs.seconds_of(tmp_path) == [1.25, 0.0, 3.0]


@pytest.mark.parametrize("content", ["epoch,seconds\n0,long\n", "epoch,minutes\n0,1\n", "epoch,seconds\n0\n"])
def test_seconds_that_are_none(tmp_path, content):
    (tmp_path / "timing.csv").write_text(content)
    with pytest.raises(WorldError, match=r"timing\.csv"):
        runs.seconds_of(tmp_path)
