"""A fit that is killed and goes on has the bits of one that was not, on each backend, whatever its layers draw."""

import keras
import numpy as np
import pytest
from keras import layers

from callbacks import ExactResume, FullBatch
from custom_optimizers import BatchGD

EPOCHS = 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 3, 2)).astype("float32"), RNG.normal(size=(48, 1)).astype("float32")

ADAM = (lambda: keras.optimizers.Adam(0.01), lambda: [])
FULL = (lambda: BatchGD(0.1, momentum=0.9), lambda: [FullBatch()])
MANY = (lambda: BatchGD(0.1, momentum=0.9), lambda: [FullBatch(passes_per_epoch=3)])
CASES = {
    "dropout": (lambda: [layers.Dropout(0.3)], ADAM),
    "seeded dropout": (lambda: [layers.Dropout(0.3, seed=1)], ADAM),
    "noise": (lambda: [layers.GaussianNoise(0.3)], ADAM),
    "full batches": (lambda: [layers.Dropout(0.2), layers.GaussianDropout(0.2), layers.SpatialDropout1D(0.2)], FULL),
    "many passes": (lambda: [], MANY),
    "many passes that draw": (lambda: [layers.Dropout(0.2), layers.GaussianNoise(0.3, seed=2)], MANY),
    "recurrent dropout": (lambda: [layers.SimpleRNN(4, dropout=0.2, return_sequences=True)], ADAM),
}


class Killed(BaseException):
    """Ends `fit` as a kill would: nothing after it runs."""


class KillAt(keras.callbacks.Callback):
    """Kills in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.epoch = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, min(1, self.params["steps"] - 1)):
            raise Killed


def process(path, case, *kills):
    """Weights, and the loss of each epoch, after one process's `fit`, whose own random numbers nobody has seeded."""
    drawing, (optimizer, callbacks) = CASES[case]
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    network = [layers.Dense(6, "tanh"), *drawing(), layers.Flatten(), layers.Dense(1)]
    model = keras.Sequential([keras.Input((3, 2)), *network])
    model.compile(optimizer(), "mse")
    keras.utils.set_random_seed(np.random.SeedSequence().entropy % 2**32)
    resume = ExactResume(path, seed=3)
    options = {"batch_size": 16, "epochs": EPOCHS, "shuffle": False, "verbose": 0}
    model.fit(X, Y, callbacks=[*callbacks(), resume, *kills], **options)
    return model.get_weights(), [row["loss"] for row in resume.history]


@pytest.mark.slow_cases("recurrent dropout")
@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_is_whole(tmp_path, case):
    weights, losses = process(tmp_path / "whole.npz", case)
    with pytest.raises(Killed):
        process(tmp_path / "killed.npz", case, KillAt(2))
    resumed, resumed_losses = process(tmp_path / "killed.npz", case)
    for one, other in zip(weights, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert losses == resumed_losses
    assert len(losses) == EPOCHS
