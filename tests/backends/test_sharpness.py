"""The largest eigenvalue of Hessians on each backend, beside closed forms and the whole Hessian."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import Sharpness
from callbacks.loss import Loss, untrained_variables
from custom_optimizers.backend import backend_module

RNG = np.random.default_rng(0)
N = 40
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
GRAM = np.linalg.eigvalsh(X.astype("float64").T @ X)


def made(*network, loss="mse", rate=0.0):
    model = keras.Sequential([keras.Input((3,)), *network])
    model.compile(keras.optimizers.SGD(rate), loss)
    return model


def looking(model, x=X, y=Y, **options):
    callback = Sharpness(x, y, **options)
    callback.set_model(model)
    return callback


def hessian_of(callback):
    """The whole Hessian, column by column."""
    weights = [ops.copy(v) for v in callback.model.trainable_variables]
    untrained = [ops.copy(v) for v in untrained_variables(callback.model)]
    values = weights, untrained, backend_module().random_state()
    unit_vectors = np.eye(sum(int(np.prod(w.shape)) for w in weights))
    return np.array([callback._hessian_product(values, vector) for vector in unit_vectors])


NETS = {
    "tanh": lambda: [layers.Dense(6, "tanh"), layers.Dense(2)],
    "relu": lambda: [layers.Dense(6, "relu"), layers.Dense(6, "relu"), layers.Dense(2)],
    "a head at zero": lambda: [layers.Dense(6, "tanh"), layers.Dense(2, kernel_initializer="zeros")],
    "dropout": lambda: [layers.Dense(6, "tanh"), layers.Dropout(0.5), layers.Dense(2)],
    "seeded dropout and noise": lambda: [layers.GaussianNoise(0.3), layers.Dropout(0.5, seed=1), layers.Dense(2)],
    "batch normalisation": lambda: [layers.Dense(6), layers.BatchNormalization(), layers.ReLU(), layers.Dense(2)],
}


@pytest.mark.parametrize("name", NETS)
def test_it_is_the_largest_eigenvalue_of_the_whole_hessian(name):
    callback = looking(made(*NETS[name]()))
    found, hessian = callback.measure(), hessian_of(callback)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5 * np.abs(hessian).max())
    assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-5)
    assert 1 < callback.products < 40


NORMALISED = {
    "batch": lambda: layers.BatchNormalization(epsilon=0.1),
    "group": lambda: layers.GroupNormalization(groups=2, epsilon=0.1),
    "layer": lambda: layers.LayerNormalization(epsilon=0.1),
}


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases("batch", "layer")
@pytest.mark.parametrize("name", NORMALISED)
def test_the_hessian_of_a_normalised_network_is_the_derivative_of_its_gradient(name):
    """`tf.nn.moments` has wrong second derivatives; so the product is compared with a difference of gradients."""
    model = made(layers.Dense(6), NORMALISED[name](), layers.Activation("tanh"), layers.Dense(2))
    weights = [ops.copy(v) for v in model.trainable_variables]
    loss = Loss(model, [ops.copy(v) for v in untrained_variables(model)], X, Y, None)
    generator = np.random.default_rng(0)
    vectors = [ops.convert_to_tensor(generator.standard_normal(w.shape).astype("float32")) for w in weights]
    there, back = (loss.gradients([w + h * v for w, v in zip(weights, vectors, strict=True)]) for h in (0.002, -0.002))
    for found, above, below in zip(loss.hessian_product(weights, vectors), there, back, strict=True):
        expected = ops.convert_to_numpy(above - below) / 0.004
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=0.01 * max(1, np.abs(expected).max()))


SADDLES = [(3, 8, 2), (3, 4, 1), (5, 16, 1), (10, 32, 3), (4, 2, 1), (20, 10, 5), (1, 1, 1), (8, 3, 1), (6, 6, 1)]


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("size", [0.0, 1e-4])
@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [*SADDLES, (2, 5, 1)])
def test_at_a_saddle_of_two_linear_layers_it_is_a_singular_value(inputs, hidden, outputs, size):
    """There the eigenvalues are the singular values of 2 / (n * outputs) * x.T @ y, with both signs, and zeros."""
    x, y = (RNG.normal(size=(N, columns)).astype("float32") for columns in (inputs, outputs))
    weights = {"use_bias": False, "kernel_initializer": keras.initializers.RandomNormal(0, size) if size else "zeros"}
    model = keras.Sequential(
        [keras.Input((inputs,)), layers.Dense(hidden, **weights), layers.Dense(outputs, **weights)]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    callback = looking(model, x, y)
    largest = np.linalg.svd(2 / (N * outputs) * x.astype("float64").T @ y, compute_uv=False)[0]
    assert callback.measure() == pytest.approx(largest, rel=1e-4)


def upside_down(true, predicted):
    return -ops.mean((true - predicted) ** 2, axis=-1)


QUADRATIC = {
    "a mean": ("mse", None, GRAM[-1] / N),
    "a mean in parts": ("mse", 7, GRAM[-1] / N),
    "a mean of a class in parts": (keras.losses.MeanSquaredError, 7, GRAM[-1] / N),
    "a sum": (lambda: keras.losses.MeanSquaredError(reduction="sum"), None, GRAM[-1]),
    "a negative definite Hessian": (lambda: upside_down, None, -GRAM[0] / N),
    "a negative definite Hessian in parts": (lambda: upside_down, 16, -GRAM[0] / N),
    "no curvature": ("mae", None, 0.0),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_of_a_linear_layer_it_is_that_of_linear_algebra(name):
    loss, batch_size, expected = QUADRATIC[name]
    model = made(layers.Dense(2, use_bias=False), loss=loss if isinstance(loss, str) else loss())
    found = looking(model, batch_size=batch_size, tolerance=1e-5).measure()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_one_weight_is_enough():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    callback = looking(model, X[:, :1], Y[:, :1])
    assert callback.measure() == pytest.approx(2 * np.mean(X[:, 0] ** 2), rel=1e-5)
    assert callback.products == 1


def test_without_a_weight_to_train_there_is_nothing_to_look_at():
    model = made(layers.Dense(2))
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no trainable weights"):
        looking(model).measure()


def test_weights_that_are_no_numbers_have_a_sharpness_that_is_none():
    model = made(layers.Dense(4, "tanh"), layers.Dense(2))
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    assert np.isnan(looking(model).measure())


def test_a_later_look_needs_fewer_products():
    x = np.random.default_rng(1).normal(size=(N, 300)).astype("float32")
    model = keras.Sequential([keras.Input((300,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    watch, products = Sharpness(x, Y[:, :1]), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: products.append(watch.products))
    history = model.fit(x, Y[:, :1], epochs=4, verbose=0, callbacks=[watch, note]).history["sharpness"]
    assert max(products[1:]) < products[0] <= 30
    largest = np.linalg.eigvalsh(2 / N * x.astype("float64") @ x.T)[-1]
    np.testing.assert_allclose(history, largest, rtol=1e-5)


def test_a_look_that_ends_too_early_says_so():
    callback = looking(made(layers.Dense(6, "tanh"), layers.Dense(2)), iterations=2)
    with pytest.warns(UserWarning, match=r"after 2 products .* the residual .* raise `iterations` or `tolerance`"):
        callback.measure()


def two_inputs(kind):
    """A model of two inputs and outputs, each a linear layer, with data of the same kind."""
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    joined = layers.Concatenate()([a, b])
    first = layers.Dense(1, use_bias=False, name="first")(joined)
    second = layers.Dense(1, use_bias=False, name="second")(joined)
    if kind is dict:
        model = keras.Model({"a": a, "b": b}, {"first": first, "second": second})
        data = {"a": X[:, :2], "b": X[:, 2:]}, {"first": Y[:, :1], "second": Y[:, 1:]}
    else:
        model = keras.Model([a, b], [first, second])
        data = kind([X[:, :2], X[:, 2:]]), kind([Y[:, :1], Y[:, 1:]])
    model.compile(keras.optimizers.SGD(0.0), "mse" if kind is dict else ["mse", "mse"])
    return model, data


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_models_of_several_inputs_and_outputs(kind, batch_size):
    model, (x, y) = two_inputs(kind)
    found = model.fit(x, y, verbose=0, callbacks=[Sharpness(x, y, batch_size)]).history["sharpness"]
    assert found == [pytest.approx(2 * GRAM[-1] / N, rel=1e-4)]


class OfItsOwn(keras.Model):
    """A model that is not built before it is trained."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, use_bias=False)

    def call(self, x):
        return self.dense(x * ops.ones((), x.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_of_ones_own(dtype):
    model = OfItsOwn()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = X.astype(dtype), Y.astype(dtype)
    found = model.fit(x, y, epochs=2, verbose=0, callbacks=[Sharpness(x, y)]).history["sharpness"]
    np.testing.assert_allclose(found, GRAM[-1] / N, rtol=1e-5)


FLOATS = {"mixed_bfloat16": 0.02, "bfloat16": 0.05, "float64": 1e-6}  # and the error of their products
if keras.backend.backend() == "jax":  # which has float64 only where its configuration says so
    del FLOATS["float64"]


@pytest.mark.parametrize("policy", FLOATS)
def test_short_and_long_floats(policy):
    keras.config.set_dtype_policy(policy)
    found = looking(made(layers.Dense(2, use_bias=False))).measure()
    assert found == pytest.approx(GRAM[-1] / N, rel=FLOATS[policy])


@pytest.mark.parametrize("layer", [layers.Dropout, layers.GaussianNoise])
def test_looking_changes_nothing_of_training(layer):
    def trained(callbacks):
        keras.utils.set_random_seed(3)
        model = made(layers.Dense(6, "tanh"), layer(0.3), layers.Dense(2), rate=0.1)
        model.fit(X, Y, epochs=3, batch_size=20, shuffle=False, verbose=0, callbacks=callbacks)
        return model.get_weights()

    for one, other in zip(trained([]), trained([Sharpness(X, Y)]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_parts_of_a_loss_that_is_no_mean_are_refused(reduction):
    model = made(layers.Dense(2), loss=[keras.losses.MeanSquaredError(reduction=reduction)])
    with pytest.raises(ValueError, match=f"batch_size=10 .* reduction='{reduction}'; use batch_size=None"):
        model.fit(X, Y, verbose=0, callbacks=[Sharpness(X, Y, batch_size=10)])
    assert model.fit(X, Y, verbose=0, callbacks=[Sharpness(X, Y, batch_size=N)]).history["sharpness"][0] > 0
