"""Many passes in an epoch: the same updates in a tenth of the epochs, and nothing else changes."""

import csv
import json
import sys

import numpy as np
import pytest

from callbacks.exact_resume import read_state
from recipes import training
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression

SMALL = {"train_images": 60, "batch_size": 25}  # three micro-batches


def weights(directory):
    return read_state(directory / "state.npz")[1]


def losses(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow_cases("cnn")
@pytest.mark.parametrize("make", [lambda **of: Cifar10CNN(**SMALL, **of), LinearRegression], ids=["cnn", "line"])
def test_the_updates_are_those_of_an_epoch_for_each_pass(make, tmp_path):
    one, many = make(epochs=6), make(epochs=3, passes_per_epoch=2)
    for recipe, name in ((one, "one"), (many, "many")):
        result, _ = training.train(recipe, tmp_path / name)
        assert result["updates"] == 6
    assert len(losses(tmp_path / "many")) == 3
    np.testing.assert_allclose(losses(tmp_path / "many"), losses(tmp_path / "one")[1::2], rtol=1e-5)
    ours, theirs = weights(tmp_path / "many"), weights(tmp_path / "one")
    assert ours.keys() >= theirs.keys()  # one pass of one batch needs neither a window nor diagnostics
    for name, array in ((name, ours[name]) for name in theirs):
        if array.dtype.kind == "f" and "metrics" not in name:
            np.testing.assert_allclose(array, theirs[name], rtol=1e-5, atol=1e-7)


def test_a_run_of_before_goes_on(tmp_path, said):
    """Its config.json does not have the setting, and it made one pass an epoch."""
    command = ("train", "linear_regression", "--run-dir", tmp_path / "run", "--epochs")
    assert said(*command, 3)[0] == 0
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    assert config.pop("passes_per_epoch") == 1
    path.write_text(json.dumps(config))
    status, out, err = said(*command, 5)
    assert (status, err) == (0, "")
    assert "Going on after epoch 3 of 5." in out
    assert len(losses(tmp_path / "run")) == 5


@pytest.mark.parametrize(
    "make",
    [lambda: Cifar10CNN(optimizer="sgd", clipping="none", passes_per_epoch=2)]
    + [lambda: LinearRegression(batch_size=10, passes_per_epoch=2)],
    ids=["cnn", "line"],
)
def test_mini_batches_make_no_passes(make):
    with pytest.raises(CommandError, match="--passes-per-epoch 2 is of full batches; this"):
        make()


@pytest.mark.parametrize(("passes", "is_told"), [(1, False), (2, True)])
def test_a_dry_run_tells_what_stays_on_the_device(passes, is_told, said, monkeypatch):
    """All batches with many passes, else where they are small."""
    monkeypatch.setattr(sys.modules["recipes.training.fit"], "KEPT_BYTES", 100)
    status, out, _ = said("train", "linear_regression", "--passes-per-epoch", passes, "--dry-run")
    assert status == 0
    assert ("0.0 MiB of batches stay on the device between passes" in out) == is_told
