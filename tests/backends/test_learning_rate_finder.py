"""The learning-rate range test on every backend: what it measures, and that it leaves nothing behind."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import FullBatch, LearningRateFinder
from custom_optimizers import BatchGD
from tests.small import compiled, loss, samples

pytestmark = pytest.mark.filterwarnings("ignore:LearningRateFinder. no suggestion")  # in a few updates on noise

X, Y = samples(40)
FIT = {"shuffle": False, "verbose": 0}
RATES = np.geomspace(1e-3, 0.1, 12).astype("float32")
SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)


def find(model, batch_size, epochs, callbacks=(), **arguments):
    """A test of 12 rates on 40 samples that none of them diverges on."""
    finder = LearningRateFinder(1e-3, 0.1, 12, diverged=100.0, **arguments)
    model.fit(X, Y, batch_size=batch_size, epochs=epochs, callbacks=[*callbacks, finder], **FIT)
    return finder


def by_hand(batches, make=lambda: keras.optimizers.SGD(0.5, momentum=0.9)):
    """Losses of a loop of one's own: at each of the rates, all data of `batches(i)` behind an update."""
    model = compiled(make)
    losses = []
    for i, rate in enumerate(RATES):
        x, y = batches(i)
        losses.append(float(ops.convert_to_numpy(loss()(y, model(x, training=True)))))
        model.optimizer.learning_rate = float(rate)
        model.train_on_batch(x, y)
    return losses


def in_turn(i):
    """Batches of 16, 16 and 8."""
    rows = slice(16 * (i % 3), 16 * (i % 3) + 16)
    return X[rows], Y[rows]


def pairs_of_tens(i):
    rows = slice(20 * (i % 2), 20 * (i % 2) + 20)
    return X[rows], Y[rows]


@pytest.mark.slow
def test_rates_and_losses_of_batches_with_a_smaller_last_one():
    finder = find(compiled(lambda: keras.optimizers.SGD(0.5, momentum=0.9)), 16, epochs=4)
    np.testing.assert_array_equal(finder.rates, RATES)
    np.testing.assert_allclose(finder.losses, by_hand(in_turn), rtol=2e-5)


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, BatchGD])
def test_windows_of_k_batches(optimizer):
    finder = find(compiled(lambda: optimizer(0.5, momentum=0.9, gradient_accumulation_steps=2)), 10, epochs=6)
    np.testing.assert_array_equal(finder.rates, RATES)
    np.testing.assert_allclose(finder.losses, by_hand(pairs_of_tens), rtol=2e-5)


@pytest.mark.parametrize("finder_first", [False, True])
def test_full_batches(finder_first):
    """In micro-batches of 16, 16 and 8."""
    finder = LearningRateFinder(1e-3, 0.1, 12, diverged=100.0)
    callbacks = [finder, FullBatch()] if finder_first else [FullBatch(), finder]
    model = compiled(lambda: BatchGD(0.5, momentum=0.9))
    model.fit(X, Y, batch_size=16, epochs=13, callbacks=callbacks, **FIT)
    np.testing.assert_array_equal(finder.rates, RATES)
    np.testing.assert_allclose(finder.losses, by_hand(lambda i: (X, Y)), rtol=2e-5)


def model_with_state(optimizer):
    """A classifier with running statistics, a random seed, and metrics that have something to forget."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3, seed=5),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    model.compile(optimizer(), loss(), metrics=["accuracy"])
    return model


def state(model):
    optimizer = model.optimizer
    variables = [*model.variables, *model.metrics_variables, *optimizer.variables]
    names = [re.sub(r"_\d+", "", variable.path) for variable in optimizer.variables]  # Keras numbers layers
    return names, [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assert_same(a, b):
    assert a[0] == b[0]
    for one, other in zip(a[1], b[1], strict=True):
        np.testing.assert_array_equal(one, other)


OPTIMIZERS = {
    "Adam, float": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
    "SGD, schedule": lambda: keras.optimizers.SGD(SCHEDULE, momentum=0.9),
    "SGD, windows": lambda: keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2),
    "BatchGD, schedule": lambda: BatchGD(SCHEDULE, momentum=0.9, diagnostics=True),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01, momentum=0.9)),
}


# a model that is not built yet is built by the same code of Keras on all backends
@pytest.mark.slow_cases(
    "Adam, float-True",
    "BatchGD, schedule-False",
    "BatchGD, schedule-True",
    "SGD, schedule-True",
    "SGD, windows-False",
    "SGD, windows-True",
    "loss scaling-False",
    "loss scaling-True",
)
@pytest.mark.parametrize("trained_before", [False, True] if keras.backend.backend() == "tensorflow" else [True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_after_it_has_the_bits_of_training_without_it(name, trained_before):
    def trained(with_test):
        model = model_with_state(OPTIMIZERS[name])
        fit = {"batch_size": 10, "epochs": 2, **FIT}
        if trained_before:
            model.fit(X, Y, **fit)
            if keras.backend.backend() == "jax":  # Keras's average shares its memory with the weights after `fit`
                for variable in model.optimizer.variables:
                    variable.assign(np.array(variable.value))
        if with_test:
            before = state(model) if trained_before else None
            assert len(find(model, 10, epochs=6).rates) == 12
            if trained_before:
                assert_same(state(model), before)
            assert not model.stop_training
        model.fit(X, Y, **fit)
        return state(model)

    assert_same(trained(with_test=True), trained(with_test=False))


@pytest.mark.slow
def test_full_batches_after_it_have_the_bits_of_those_without_it():
    def trained(with_test):
        model = model_with_state(lambda: BatchGD(0.05, momentum=0.9))
        if with_test:
            find(model, 16, 12, [FullBatch()])
        model.fit(X, Y, batch_size=16, epochs=3, callbacks=[FullBatch()], **FIT)
        return state(model)

    assert_same(trained(with_test=True), trained(with_test=False))


class Accident(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_training_after_an_interrupted_test_begins_where_the_test_began(full, by_hand):
    callbacks = [FullBatch()] if full else []

    def trained(with_test):
        model = model_with_state(lambda: BatchGD(0.05, momentum=0.9))
        if with_test:
            finder = LearningRateFinder(0.1, 1.0, 12)
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, Y, batch_size=10, callbacks=[*callbacks, finder, Accident()], **FIT)
            assert int(finder._optimizer.iterations) == (0 if full else 3)
            if by_hand:
                finder.restore()
                assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == np.float32(0.05)
        model.fit(X, Y, batch_size=10, epochs=2, callbacks=[FullBatch()] if full else [], **FIT)
        return state(model)

    assert_same(trained(with_test=True), trained(with_test=False))
