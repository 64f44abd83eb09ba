"""Derivatives by Taylor arithmetic beside those of each backend's own differentiation, one inside of the other."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from recipes import physics
from recipes.burgers import Burgers
from recipes.physics import Series, cos, exp, sigmoid, silu, sin, tanh

BACKEND = keras.backend.backend()
POINTS = np.random.default_rng(0).uniform(0.2, 1.5, (7, 2))
ORDERS = {"x": 3, "t": 2}
ROUNDING = 1e-14 if BACKEND != "torch" else 1e-6  # of what `evaluate` of Keras gives, which is float32 on torch

if BACKEND == "jax":
    import jax

    @pytest.fixture(autouse=True)
    def float64():
        with jax.enable_x64(True):
            yield


def derivative_tensorflow(function, x, t, names):
    import tensorflow as tf

    at = {"x": tf.constant(x), "t": tf.constant(t)}

    def of(names):
        if not names:
            return function(at["x"], at["t"])
        with tf.GradientTape() as tape:
            tape.watch(at[names[0]])
            value = of(names[1:])
        return tape.gradient(value, at[names[0]])

    return of(names)


def derivative_jax(function, x, t, names):
    import jax

    for name in names:
        function = jax.grad(lambda x, t, inner=function: inner(x, t).sum(), "xt".index(name))
    return function(x, t)


def derivative_torch(function, x, t, names):
    import torch

    at = {"x": torch.tensor(x, requires_grad=True), "t": torch.tensor(t, requires_grad=True)}
    value = function(at["x"], at["t"])
    for name in names:
        (value,) = torch.autograd.grad(value.sum(), at[name], create_graph=True)
    return value.detach()


DERIVATIVE = {"tensorflow": derivative_tensorflow, "jax": derivative_jax, "torch": derivative_torch}[BACKEND]
FUNCTIONS = {
    "tanh": lambda x, t: tanh(x * t + x),
    "sigmoid": lambda x, t: sigmoid(3 * x - t * t),
    "silu": lambda x, t: silu(x * x * t),
    "exp": lambda x, t: exp(-x * t) * t,
    "sin and cos": lambda x, t: sin(x * t) * cos(x + 2 * t),
    "quotients": lambda x, t: 1 / (x * x + t) + t / x - x / 2,
    "powers": lambda x, t: (x - t) ** 4 * (1 - t**2),
    "a number and what is left over": lambda x, t: 2 - tanh(exp(sin(x)) / (1 + t)),
}


@pytest.mark.parametrize("names", ["x", "xx", "xxx", "t", "tt"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_are_those_of_the_backend(name, names):
    function = FUNCTIONS[name]
    x, t = POINTS[:, :1], POINTS[:, 1:]
    coordinates = [Series.coordinate(ops.convert_to_tensor(each), n, ORDERS) for each, n in ((x, "x"), (t, "t"))]
    found = function(*coordinates)
    expected = keras.ops.convert_to_numpy(DERIVATIVE(function, x, t, names))
    np.testing.assert_allclose(ops.convert_to_numpy(found.d(names)), expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(ops.convert_to_numpy(found.value), plain(function, x, t), rtol=1e-13, atol=1e-13)


def plain(function, x, t):
    return ops.convert_to_numpy(function(ops.convert_to_tensor(x), ops.convert_to_tensor(t)))


@pytest.mark.parametrize("activation", ["tanh", "sin", "silu"])
def test_a_network_goes_by_the_same_weights(activation):
    equation = Burgers(width=6, depth=2, activation=activation)
    keras.utils.set_random_seed(1)
    network = equation.network()
    network.set_weights([each + 0.1 for each in network.get_weights()])  # biases, too
    weights = network.get_weights()
    own = {"tanh": tanh, "sin": sin, "silu": silu}[activation]

    def by_hand(x, t):
        h = ops.concatenate([x, t], axis=1)
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            # not `ops.matmul`, which rounds to float32 on torch
            h = ops.einsum("ab,bc->ac", h, ops.convert_to_tensor(kernel)) + ops.convert_to_tensor(bias)
            h = own(h) if bias is not weights[-1] else h
        return h

    x, t = POINTS[:, :1], POINTS[:, 1:]
    found = physics.through(network, equation.coordinates(ops.convert_to_tensor(POINTS)))
    for names in ("x", "xx", "t"):
        expected = ops.convert_to_numpy(DERIVATIVE(by_hand, x, t, names))
        np.testing.assert_allclose(ops.convert_to_numpy(found.d(names)), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ops.convert_to_numpy(network(POINTS)), plain(by_hand, x, t), rtol=1e-5)


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    equation = Burgers(width=4, depth=1, points=16, batch_size=6, optimizer="batch_gd", passes_per_epoch=1)
    data = equation.load()
    model = equation.model(data)
    loss = lambda: float(np.mean(ops.convert_to_numpy(model(data.train)) ** 2))  # noqa: E731
    weights = model.get_weights()
    as_validation = data._replace(validation=data.train)
    assert abs(loss() - model.evaluate(**equation.validation(as_validation), verbose=0)) < ROUNDING
    before = loss()
    model.fit(equation.batches(data), epochs=1, shuffle=False, verbose=0, callbacks=[full()])
    change = [new - old for new, old in zip(model.get_weights(), weights, strict=True)]
    model.set_weights(weights)
    step = 1e-6
    for i, each in enumerate(weights):
        for at in np.ndindex(each.shape):
            moved = [w.copy() for w in weights]
            moved[i][at] += step
            model.set_weights(moved)
            up = loss()
            moved[i][at] -= 2 * step
            model.set_weights(moved)
            slope = (up - loss()) / (2 * step)
            assert math.isclose(change[i][at], -equation.learning_rate * slope, rel_tol=1e-5, abs_tol=1e-9 * before)


def full():
    from callbacks import FullBatch

    return FullBatch()


def test_what_a_series_has_not_is_said():
    x = Series.coordinate(ops.convert_to_tensor(POINTS[:, :1]), "x", ORDERS)
    for names in ("xt", "xxxx", "y", ""):
        with pytest.raises(ValueError, match=f"Series has derivatives up to xxx, tt, not '{names}'"):
            x.d(names)
    with pytest.raises(ValueError, match="whole powers >= 1"):
        x**0.5
