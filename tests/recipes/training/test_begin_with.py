"""Training that begins with the weights of a trained model."""

import json
import shutil

import keras
import numpy as np
import pytest

from recipes import models, training
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError, WorldError
from recipes.run import metrics_of
from recipes.training import contract
from recipes.training.begin_with import begin_with

SHAPE = (32, 32, 3)
DIGITS = tuple("0123456789")


def weights_of(path):
    return keras.saving.load_model(path / "model.keras").get_weights()


def test_all_weights_of_a_run_with_the_same_classes(finished):
    model = models.groupnorm(SHAPE, 10)
    said = begin_with(model, str(finished), DIGITS)
    assert said == f"Begins with the weights of {finished}."
    for ours, theirs in zip(model.get_weights(), weights_of(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("classes", [("a", "b", "c"), tuple("0123456798")])
def test_the_last_layer_is_new_for_other_classes(finished, classes):
    """Another number of them, and as many of other names or in another order."""
    model = models.groupnorm(SHAPE, len(classes))
    before = model.get_weights()
    said = begin_with(model, str(finished), classes)
    assert said.endswith(f"; the last layer is new, for {len(classes)} other classes.")
    *body, kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, before[-2])
    np.testing.assert_array_equal(bias, before[-1])
    for ours, theirs in zip(body, weights_of(finished)[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_is_known_by_the_number_of_its_classes(finished, tmp_path):
    shutil.copy(finished / "model.keras", tmp_path / "other.keras")
    model = models.groupnorm(SHAPE, 10)
    assert begin_with(model, str(tmp_path / "other.keras"), tuple("abcdefghij")).endswith("other.keras.")
    np.testing.assert_array_equal(model.get_weights()[-1], weights_of(finished)[-1])


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("nowhere", WorldError, "there is no such directory or file"),
        (".", CommandError, "the directory has no model.keras, which a run has that is done"),
        ("notes.txt", CommandError, "give the directory of a run, or a .keras file"),
        ("broken.keras", WorldError, "broken.keras cannot be loaded"),
    ],
)
def test_what_cannot_be_begun_with(tmp_path, place, error, message):
    for name in ("notes.txt", "broken.keras"):
        (tmp_path / name).write_text("text")
    with pytest.raises(error, match=message) as caught:
        begin_with(models.basic(SHAPE, 10), str(tmp_path / place), DIGITS)
    assert "\n" not in str(caught.value)


def test_another_network_changes_nothing(finished):
    model = models.basic(SHAPE, 10)
    before = model.get_weights()
    with pytest.raises(WorldError, match="is of another network: it has 11 weight arrays, and this one 4"):
        begin_with(model, str(finished), DIGITS)
    wider = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5), keras.layers.Dense(3)])
    other.save(finished.parent / "other.keras")
    kept = wider.get_weights()
    with pytest.raises(WorldError, match=r"kernel is \(8, 5\), and here it is \(8, 4\)"):
        begin_with(wider, str(finished.parent / "other.keras"), "abc")
    for model_, arrays in ((model, before), (wider, kept)):
        for ours, theirs in zip(model_.get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_training_of_no_epoch_more_is_judged_as_the_model_it_began_with(finished, tmp_path):
    """The first loss of a run that begins with a model is that model's, on the images that it is trained on."""
    recipe = Cifar10CNN.from_preset("smoke", weights=str(finished), epochs=1)
    result, directory = training.train(recipe, tmp_path / "run", verbose=0)
    x, y = recipe.load().train
    outputs = keras.saving.load_model(finished / "model.keras").predict(x, batch_size=128, verbose=0)
    expected = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, outputs))
    assert float(metrics_of(directory)[0]["loss"]) == pytest.approx(expected, rel=1e-4)
    assert result["epochs"] == 1


def test_a_run_goes_on_with_the_weights_it_began_with_alone(said, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "first")
    words = [
        "train",
        "cifar10_cnn",
        "--preset",
        "smoke",
        "--weights",
        tmp_path / "first",
        "--run-dir",
        tmp_path / "run",
    ]
    status, out, _ = said(*words)
    assert status == 0
    assert f"Begins with the weights of {tmp_path / 'first'}." in out
    assert len(json.loads((tmp_path / "run" / "config.json").read_text())["weights_hash"]) == 64
    assert said("evaluate", tmp_path / "run")[0] == 0
    models.groupnorm(SHAPE, 10).save(tmp_path / "first" / "model.keras")
    status, _, err = said(*words, "--epochs", 4)
    assert (status, err.count("\n")) == (2, 1)
    assert "the file of --weights: " in err
    shutil.rmtree(tmp_path / "first")
    assert said("evaluate", tmp_path / "run")[0] == 0  # which needs no weights but the run's own


def test_the_optimizer_takes_the_weights_as_they_are_then(finished):
    """Also where it is built before, to see whether an expression has a variable."""
    recipe = Cifar10CNN.from_preset("smoke", weights=str(finished), learning_rate_multipliers="logits=0.5")
    model = contract.model(recipe, recipe.load())
    for ours, theirs in zip(model.get_weights(), weights_of(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)
