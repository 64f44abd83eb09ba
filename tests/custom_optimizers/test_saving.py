"""Saving and loading: the same next step, in the middle of a window too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from tests.small import compiled, flat, relative, samples, scope

X, Y = samples(100)


def windowed():
    return BatchGD(0.05, 0.9, gradient_accumulation_steps=4, clipping=ByGlobalNorm(1.0), use_ema=True)


def fit(model, start, stop, **more):
    model.fit(X[start:stop], Y[start:stop], batch_size=10, shuffle=False, verbose=0, **more)


@pytest.mark.slow
def test_in_the_middle_of_a_window(tmp_path):
    straight, halved = compiled(windowed), compiled(windowed)
    fit(straight, 0, 60)
    fit(straight, 60, 100)
    fit(halved, 0, 60)  # one update and two micro-batches of the next
    halved.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.micro_batches_summed.numpy()) == 2
    fit(loaded, 60, 100)
    np.testing.assert_array_equal(flat(loaded), flat(straight))
    for mine, other in zip(loaded.optimizer.variables, straight.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


@pytest.mark.slow
def test_in_the_middle_of_a_window_on_two_devices(tmp_path):
    def build():
        with scope(devices=2):
            return compiled(windowed)

    straight, halved, loaded = build(), build(), build()
    first, rest = full_batches(X, Y, 10, replicas=2).take(6), full_batches(X, Y, 10, replicas=2).skip(6)
    for model, data in ((straight, first), (straight, rest), (halved, first)):
        model.fit(data, shuffle=False, verbose=0)
    halved.save_weights(tmp_path / "model.weights.h5")
    with loaded.distribute_strategy.scope():
        loaded.optimizer.build(loaded.trainable_variables)
    loaded.load_weights(tmp_path / "model.weights.h5")
    loaded.fit(rest, shuffle=False, verbose=0)
    assert relative(flat(loaded), flat(straight)) < 1e-6


@pytest.mark.parametrize("monitor_first", [False, True])
def test_what_callbacks_added_loads_in_any_order(tmp_path, monitor_first):
    """Accumulation and diagnostics that joined a built optimizer come back where they belong."""
    model = compiled(lambda: BatchGD(0.05, 0.9))
    fit(model, 0, 100)
    first, second = ([GradientMonitor()], [FullBatch()]) if monitor_first else ([FullBatch()], [GradientMonitor()])
    fit(model, 0, 100, callbacks=first)
    fit(model, 0, 100, callbacks=[*second, FullBatch()][: 1 if monitor_first else 2][::-1])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.read_diagnostics() == model.optimizer.read_diagnostics()
    for mine, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


@pytest.mark.slow
def test_checkpoints_of_tensorflow(tmp_path):
    straight, halved, loaded = (compiled(windowed) for _ in range(3))
    fit(straight, 0, 60)
    fit(straight, 60, 100)
    fit(halved, 0, 60)
    path = tf.train.Checkpoint(model=halved, optimizer=halved.optimizer).save(tmp_path / "ckpt")
    loaded.optimizer.build(loaded.trainable_variables)
    tf.train.Checkpoint(model=loaded, optimizer=loaded.optimizer).restore(path).assert_existing_objects_matched()
    fit(loaded, 60, 100)
    np.testing.assert_array_equal(flat(loaded), flat(straight))
