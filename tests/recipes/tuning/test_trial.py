"""Trials go on from each other, with the bits of a training from scratch."""

import dataclasses

import numpy as np
import pytest

from callbacks.exact_resume import read_state
from recipes import cifar10_cnn
from recipes.errors import CommandError
from recipes.tuning.trial import Place, train_trial

SETTINGS = cifar10_cnn.Settings(
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
    settings = dataclasses.replace(SETTINGS, schedule=schedule)
    made = 0
    for epochs in (2, 4, 8):
        of_rung = dataclasses.replace(settings, epochs=epochs)
        result = train_trial(cifar10_cnn, of_rung, tmp_path / "search", Place("cpu"), max_epochs=8)
        alone = train_trial(cifar10_cnn, of_rung, tmp_path / f"alone-{epochs}", Place("cpu"))
        made += result["trained_epochs"]
        assert result["val_loss"] == alone["val_loss"]
        assert alone["trained_epochs"] == epochs
        one, other = variables(tmp_path / "search" / f"epochs-{epochs}"), variables(tmp_path / f"alone-{epochs}")
        assert all(np.array_equal(one[name], other[name]) for name in other)
    assert made == SHARED[schedule]


def test_a_trial_that_is_done_gives_its_result_again(tmp_path):
    first = train_trial(cifar10_cnn, SETTINGS, tmp_path, Place("cpu"))
    assert train_trial(cifar10_cnn, SETTINGS, tmp_path, Place("cpu")) == first


@pytest.mark.slow
def test_the_score_is_that_of_the_last_epoch_after_averaging(tmp_path):
    plain = train_trial(cifar10_cnn, SETTINGS, tmp_path / "plain", Place("cpu"))
    rows = read_state(tmp_path / "plain" / "state.npz")[0]["history"]
    assert plain["val_loss"] == pytest.approx(rows[-1]["val_loss"], rel=1e-6)
    averaged = dataclasses.replace(SETTINGS, ema_momentum=0.9)
    mean = train_trial(cifar10_cnn, averaged, tmp_path / "mean", Place("cpu"))
    assert mean["val_loss"] != pytest.approx(plain["val_loss"], rel=1e-3)


def test_a_training_that_diverges_is_no_result(tmp_path):
    wild = dataclasses.replace(SETTINGS, learning_rate=1e30, clipping="none")
    with pytest.raises(CommandError, match="diverged"):
        train_trial(cifar10_cnn, wild, tmp_path, Place("cpu"))
