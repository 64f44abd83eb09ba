"""Keras's own callbacks on an optimizer that makes one update a pass."""

import keras
import numpy as np
import pytest

from callbacks import FullBatch
from custom_optimizers import BatchGD
from tests.small import compiled, flat, relative, samples

X, Y = samples(97)
FIT = {"x": X, "y": Y, "batch_size": 10, "shuffle": False, "verbose": 0}


def model_with(**arguments):
    return compiled(lambda: BatchGD(0.05, 0.9, **arguments))


def test_learning_rate_scheduler():
    model = model_with()
    rates = [0.05, 0.02, 0.01]
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])
    history = model.fit(epochs=3, callbacks=[FullBatch(), scheduler], **FIT).history
    assert history["learning_rate"] == pytest.approx(rates)
    reference = compiled(lambda: keras.optimizers.SGD(0.05, 0.9))
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])
    reference.fit(epochs=3, callbacks=[scheduler], **{**FIT, "batch_size": 97})
    assert relative(flat(model), flat(reference)) < 1e-6


def test_reduce_learning_rate_on_plateau():
    model = model_with()
    reduce = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=100.0)
    model.fit(epochs=4, callbacks=[FullBatch(), reduce], **FIT)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.05 / 8)


class Stop(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    """An accident in epoch 1, at its fourth batch or its end."""

    def __init__(self, where):
        super().__init__()
        self.where, self.epoch = where, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.where == "batch" and (self.epoch, batch) == (1, 3):
            raise Stop

    def on_epoch_end(self, epoch, logs=None):
        if self.where == "epoch" and epoch == 1:
            raise Stop


@pytest.mark.parametrize(("where", "save_freq"), [("epoch", "epoch"), ("batch", "epoch"), ("batch", 3)])
def test_backup_and_restore(tmp_path, where, save_freq):
    """What was saved in the middle of a pass is forgotten: the pass begins again."""
    straight = model_with()
    straight.fit(epochs=4, callbacks=[FullBatch()], **FIT)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path, save_freq=save_freq)

    with pytest.raises(Stop):
        model_with().fit(epochs=4, callbacks=[FullBatch(), backup(), StopAfter(where)], **FIT)
    resumed = model_with()
    resumed.fit(epochs=4, callbacks=[FullBatch(), backup()], **FIT)
    np.testing.assert_array_equal(flat(resumed), flat(straight))
    assert resumed.optimizer.iterations.numpy() == 4


@pytest.mark.parametrize("on_epoch", [False, True])
def test_swap_ema_weights(on_epoch):
    def fitted(optimizer, size, first):
        model = compiled(lambda: optimizer(0.05, use_ema=True, ema_momentum=0.5))
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        callbacks = [*first, swap]
        history = model.fit(epochs=3, validation_data=(X, Y), callbacks=callbacks, **{**FIT, "batch_size": size})
        return flat(model), history.history["val_loss"]

    weights, losses = fitted(BatchGD, 10, [FullBatch()])
    expected, expected_losses = fitted(keras.optimizers.SGD, 97, [])
    assert relative(weights, expected) < 1e-6
    assert losses == pytest.approx(expected_losses, rel=1e-5)


def test_model_checkpoint(tmp_path):
    model = model_with()
    path = tmp_path / "{epoch}.keras"
    model.fit(epochs=2, callbacks=[FullBatch(), keras.callbacks.ModelCheckpoint(path)], **FIT)
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    assert type(loaded.optimizer) is BatchGD
    assert loaded.optimizer.gradient_accumulation_steps is None  # the callback had lent it
    for model_ in (model, loaded):
        model_.fit(epochs=2, callbacks=[FullBatch()], **FIT)
    np.testing.assert_array_equal(flat(loaded), flat(model))


def test_early_stopping():
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=100.0)
    model = model_with()
    history = model.fit(epochs=10, callbacks=[FullBatch(), stop], **FIT)
    assert len(history.epoch) == 2
    assert model.optimizer.iterations.numpy() == 2


def test_terminate_on_nan():
    weights = np.where(np.arange(97) == 13, np.nan, 1.0)
    model = model_with()
    stop = keras.callbacks.TerminateOnNaN()
    model.fit(epochs=10, sample_weight=weights, callbacks=[FullBatch(), stop], **FIT)
    assert model.optimizer.iterations.numpy() == 0
    assert np.isfinite(flat(model)).all()
