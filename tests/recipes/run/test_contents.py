"""What a run's directory holds is read by one function for each file."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from recipes import run as runs
from recipes.errors import WorldError
from recipes.linear_regression import LinearRegression

READERS = {  # what is read from an empty directory
    runs.config_of: None,
    runs.result_of: None,
    runs.metrics_of: [],
    runs.peak_memory_of: None,
    runs.seconds_of: [],
    runs.has_state: False,
    runs.state_bytes: b"",
    runs.directories_of_seeds: [],
}


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_an_empty_directory_holds_nothing(tmp_path, read):
    assert read(tmp_path) == READERS[read]


def test_config_result_and_memory_are_read_as_they_were_written(tmp_path):
    recipe = LinearRegression(epochs=5)
    with runs.Run(recipe, tmp_path) as run:
        run.begin({"name": "line", "digest": "0"})
        run.finish({"outcome": "finished"})
    runs.write_peak_memory(tmp_path, 12.5)
    assert runs.config_of(tmp_path)["epochs"] == 5
    assert runs.result_of(str(tmp_path)) == {"outcome": "finished", "of": {"epochs": 5}}
    assert runs.peak_memory_of(tmp_path) == 12.5


def test_a_state_is_given_to_a_run_that_has_none(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    runs.begin_with_bytes(tmp_path / "a", b"first")
    runs.begin_with_bytes(tmp_path / "a", b"second")
    runs.begin_with_state_of(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "state.npz").read_bytes() == runs.state_bytes(tmp_path / "a") == b"first"


def test_seeds_are_in_the_order_of_their_numbers(tmp_path):
    for seed in (10, 9, 100):
        directory = runs.directory_of_seed(tmp_path, seed)
        directory.mkdir()
        (directory / "config.json").write_text("{}")
    runs.directory_of_seed(tmp_path, 8).mkdir()  # it was not begun
    assert [each.name for each in runs.directories_of_seeds(tmp_path)] == ["seed-9", "seed-10", "seed-100"]


def test_pictures_are_counted_by_epochs(tmp_path):
    run = runs.Run(LinearRegression(epochs=5), tmp_path)
    for epoch in (9, 10_000, 0):
        run.show("samples", Image.new("L", (2, 2), 7), epoch)
    (tmp_path / "samples" / "epoch-last.png").write_text("")
    found = runs.pictures_of(tmp_path, "samples")
    assert {epochs: path.name for epochs, path in found.items()} == {
        1: "epoch-0001.png",
        10: "epoch-0010.png",
        10_001: "epoch-10001.png",
    }
    assert list(found) == sorted(found)
    assert np.asarray(runs.read_picture(found[1])).tolist() == [[7, 7], [7, 7]]
    with pytest.raises(WorldError, match=r"epoch-last\.png is damaged"):
        runs.read_picture(tmp_path / "samples" / "epoch-last.png")


def test_arrays_are_read_as_they_were_written(tmp_path):
    run = runs.Run(LinearRegression(epochs=5), tmp_path)
    run.write_arrays("a.npz", x=np.arange(3), y=np.ones((2, 2)))
    found = runs.read_arrays(tmp_path / "a.npz")
    assert (found["x"].tolist(), found["y"].tolist()) == ([0, 1, 2], [[1, 1], [1, 1]])
    assert runs.read_arrays(tmp_path / "b.npz") is None
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(WorldError, match=r"c\.npz is damaged"):
        runs.read_arrays(tmp_path / "c.npz")


def test_an_export_is_kept_with_the_hash_of_its_model(tmp_path):
    with runs.new_export(tmp_path, "onnx", "abc") as path:
        pathlib.Path(path).write_text("exported")
    assert runs.export_path(tmp_path, "onnx").read_text() == "exported"
    assert runs.is_export_of(tmp_path, "onnx", "abc")
    assert not runs.is_export_of(tmp_path, "onnx", "another")
    assert not runs.is_export_of(tmp_path, "saved_model", "abc")


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def export():
        with runs.new_export(tmp_path, "onnx", "abc") as path:
            pathlib.Path(path).write_text("exported")
            raise WorldError("it differs")

    with pytest.raises(WorldError, match="differs"):
        export()
    assert list(tmp_path.iterdir()) == []
