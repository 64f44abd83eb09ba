"""Trials go on from each other, with the bits of a training from scratch."""

import dataclasses

import keras
import numpy as np
import pytest

from callbacks.exact_resume import read_state
from recipes import data as sets
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError
from recipes.recipe import Recipe
from recipes.tuning import Place, train_trial

RECIPE = Cifar10CNN(
    optimizer="momentum",
    gradient_accumulation_steps="1",
    schedule="constant",
    learning_rate=0.05,
    batch_size=32,
    train_images=96,
    validation_split=0.1,
    epochs=2,
)
SHARED = {  # epochs of 2 and of 4 that the longest run of 8 has made for them, and all that are made in the end
    "constant": 8,
    "warmup_stable_decay:decay=0.5,warmup=2": 1
    + 1
    + 1
    + 2
    + 6,  # to epoch 1, its decay; to epoch 2, its decay; the rest
    "cosine": 2 + 4 + 8,
    "step:factor=0.5,every=5": 8,
}


def variables(directory):
    return read_state(directory / "state.npz")[1]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SHARED)
def test_what_is_common_is_trained_once_and_the_bits_are_those_of_a_run_from_scratch(tmp_path, schedule):
    made = 0
    for epochs in (2, 4, 8):
        of_rung = dataclasses.replace(RECIPE, schedule=schedule, epochs=epochs)
        result = train_trial(of_rung, tmp_path / "search", Place("cpu"), max_epochs=8)
        alone = train_trial(of_rung, tmp_path / f"alone-{epochs}", Place("cpu"))
        made += result["trained_epochs"]
        assert result["val_loss"] == alone["val_loss"]
        assert alone["trained_epochs"] == epochs
        one, other = variables(tmp_path / "search" / f"epochs-{epochs}"), variables(tmp_path / f"alone-{epochs}")
        assert all(np.array_equal(one[name], other[name]) for name in other)
    assert made == SHARED[schedule]


def test_a_trial_that_is_done_gives_its_result_again(tmp_path):
    first = train_trial(RECIPE, tmp_path, Place("cpu"))
    assert train_trial(RECIPE, tmp_path, Place("cpu")) == first


@pytest.mark.slow
def test_the_score_is_that_of_the_last_epoch_after_averaging(tmp_path):
    plain = train_trial(RECIPE, tmp_path / "plain", Place("cpu"))
    rows = read_state(tmp_path / "plain" / "state.npz")[0]["history"]
    assert plain["val_loss"] == pytest.approx(rows[-1]["val_loss"], rel=1e-6)
    averaged = dataclasses.replace(RECIPE, ema_momentum=0.9)
    mean = train_trial(averaged, tmp_path / "mean", Place("cpu"))
    assert mean["val_loss"] != pytest.approx(plain["val_loss"], rel=1e-3)


def test_a_training_that_diverges_is_no_result(tmp_path):
    wild = dataclasses.replace(RECIPE, learning_rate=1e30, clipping="none")
    for _ in range(2):  # the second time from what is written down
        with pytest.raises(CommandError, match="diverged"):
            train_trial(wild, tmp_path, Place("cpu"))


class Samples:
    """Points of a line."""

    x, train_size = np.linspace(0, 1, 8)[:, None].astype("float32"), 8

    def about(self):
        return {"name": "points", "samples": 8, "digest": "0"}

    def sizes(self):
        return "8 points"

    def part(self, share):
        return self


class Plain(Recipe):
    """A recipe that has the settings of every recipe and no others: no learning rate, no schedule, no optimizer."""

    score = "distance"
    objectives = {"distance": "min"}

    def load(self, data_dir=None, download=False):
        return Samples()

    def model(self, data):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    def batches(self, data):
        return sets.ShuffledBatches(data.x, 2 * data.x, self.batch_size, self.seed)

    def validate(self, model, data):
        return {"distance": float(abs(model.get_weights()[0][0, 0] - 2))}

    def judge(self, model, data, run):
        return self.validate(model, data)

    def summary(self, result):
        return f"{result['distance']} from the slope."


def test_budgets_of_a_recipe_without_a_schedule_have_nothing_in_common(tmp_path):
    for epochs in (1, 3):
        result = train_trial(Plain(epochs=epochs, batch_size=4), tmp_path, Place("cpu"), max_epochs=3)
        assert result["trained_epochs"] == result["epochs"] == epochs
