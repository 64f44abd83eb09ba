"""Gradients of blocks on each backend, of a linear model: its Hessian is known and the same everywhere."""

import keras
import numpy as np
import pytest

from callbacks import BlockGradient, FullBatch, GradientRegularizer, SharpnessAware
from custom_optimizers import BatchGD

N, BLOCK, RATE, EPOCHS = 48, 8, 0.05, 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 1)).astype("float32")


def plain(gradient, hessian):
    return gradient


def regularised(gradient, hessian):
    return gradient + RATE / 4 * hessian @ (0.5 * gradient)


def sharpness_aware(gradient, hessian):
    return gradient + 0.1 * hessian @ gradient / np.linalg.norm(gradient)


CASES = {
    "plain": (lambda: BlockGradient(BLOCK), plain),
    "differences": (lambda: GradientRegularizer(block_size=BLOCK), regularised),
    "hessian": (lambda: GradientRegularizer(method="hessian", block_size=BLOCK), regularised),
    "sharpness_aware": (lambda: SharpnessAware(0.1, BLOCK), sharpness_aware),
}


def by_hand(change):
    """Weights after some passes of full-batch descent, in float64."""
    w = np.zeros((3, 1))
    for _ in range(EPOCHS):
        blocks = []
        for start in range(0, N, BLOCK):
            x, y = X[start : start + BLOCK].astype("float64"), Y[start : start + BLOCK]
            blocks.append(change(2 / BLOCK * x.T @ (x @ w - y), 2 / BLOCK * x.T @ x))
        w = w - RATE * np.mean(blocks, axis=0)
    return w


@pytest.mark.parametrize("batch_size", [8, 24])
@pytest.mark.parametrize("name", CASES)
def test_blocks_are_those_of_the_formula(name, batch_size):
    callback, change = CASES[name]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(BatchGD(RATE), "mse", metrics=["mae"])
    options = {"batch_size": batch_size, "epochs": EPOCHS, "shuffle": False, "verbose": 0}
    history = model.fit(X, Y, callbacks=[FullBatch(), callback()], **options).history
    np.testing.assert_allclose(np.array(model.get_weights()[0]), by_hand(change), rtol=2e-4, atol=1e-6)
    assert history["loss"][0] == pytest.approx(np.mean(Y**2), rel=1e-5)
    assert history["mae"][0] == pytest.approx(np.mean(np.abs(Y)), rel=1e-5)


def test_batch_normalisation_is_of_blocks_on_each_backend():
    """The same run in batches of one block and of three, running statistics included."""
    found = []
    for batch_size in (8, 24):
        keras.utils.set_random_seed(2)
        layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile(BatchGD(RATE), "mse")
        callbacks = [FullBatch(), GradientRegularizer(block_size=BLOCK)]
        model.fit(X, Y, batch_size=batch_size, epochs=5, shuffle=False, verbose=0, callbacks=callbacks)
        found.append([np.array(w) for w in model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
