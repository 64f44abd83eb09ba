"""Training that begins with the weights of a trained model."""

import json
import os
import shutil

import keras
import numpy as np
import pytest

from recipes import models, training
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError, WorldError
from recipes.run import metrics_of
from recipes.settings import number
from recipes.settings.weights import weights_of as weights_of_recipe
from recipes.training import contract
from recipes.training.begin_with import begin_with
from tests.recipes.idle import Idle

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
    told = begin_with(model, str(tmp_path / "other.keras"), tuple("abcdefghij"))
    assert told.endswith("other.keras; its classes are not known, so the last layer is taken, too.")
    np.testing.assert_array_equal(model.get_weights()[-1], weights_of(finished)[-1])


def test_a_file_of_a_run_is_known_by_its_classes(finished):
    told = begin_with(models.groupnorm(SHAPE, 10), str(finished / "model.keras"), tuple("abcdefghij"))
    assert told.endswith("; the last layer is new, for 10 other classes.")


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


def hashes_of(run):
    """What a run has written down of the file it began with."""
    return [json.loads((run / "config.json").read_text())["trained_on"]["weights_hash"]]


@pytest.mark.slow
def test_a_run_goes_on_without_the_file_it_began_with(said, finished, tmp_path):
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
    (digest,) = hashes_of(tmp_path / "run")
    assert len(digest) == 64
    shutil.rmtree(tmp_path / "first")  # what was trained is in the run
    assert "is done already" in said(*words)[1]
    assert said("evaluate", tmp_path / "run")[0] == 0
    status, out, _ = said(*words, "--epochs", 4)
    assert status == 0
    assert "Going on after epoch 3 of 4." in out
    assert "Begins with" not in out
    assert hashes_of(tmp_path / "run") == [digest]
    status, _, err = said(*words[:-1], tmp_path / "other")
    assert (status, err.count("\n")) == (1, 1)
    assert "there is no such directory or file" in err
    assert not (tmp_path / "other").exists()


def test_an_optimizer_that_was_built_before_begins_with_the_weights_too(finished):
    """It is built to see whether an expression has a variable, and this one keeps a copy of the weights."""
    options = {"optimizer": "schedule_free_adamw", "learning_rate_multipliers": "logits=0.5"}
    recipe = Cifar10CNN.from_preset("smoke", weights=str(finished), **options)
    model = contract.model(recipe, recipe.load())
    for ours, theirs in zip(model.get_weights(), weights_of(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    state = [np.asarray(variable) for variable in model.optimizer.variables]
    for weight in model.trainable_variables:
        copies = [each for each in state if each.shape == tuple(weight.shape) and np.array_equal(each, weight)]
        assert copies, weight.path


class Weighted(Idle):
    """A recipe with weights of its own."""

    weights: float = number(1.0)


def test_a_setting_of_that_name_may_be_anything_in_another_recipe():
    assert weights_of_recipe(Weighted()) is None
    assert weights_of_recipe(Cifar10CNN(weights="a")) == os.path.abspath("a")
