"""Statistics of batch normalisation on each backend, beside those that NumPy finds in float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import RecomputeStatistics

X = np.random.default_rng(0).normal(3.0, 2.0, size=(100, 4)).astype("float32")
SIZE = 32  # of a batch: three of them, and four samples that have no part
EPSILON = 1e-3


def once(x, norm, dense):
    return norm(dense(x))


def twice(x, norm, dense):
    return norm(dense(norm(x)))


def thrice(x, norm, dense):
    return norm(dense(norm(dense(norm(x)))))


def in_two_nested_models(x, norm, dense):
    """The layer in a model of its own, which is used twice, and once beside it."""
    inner = keras.Sequential([keras.Input((4,)), dense, norm])
    return norm(inner(inner(x)))


USES = {
    "once": (once, "dn"),
    "twice": (twice, "ndn"),
    "three times": (thrice, "ndndn"),
    "nested": (in_two_nested_models, "dndnn"),
}


def statistics(order, norm, dense):
    """Means over the uses of a batch, then over batches, float64; `order` has a letter for each dense and norm."""
    kernel, bias = (np.asarray(w, "float64") for w in dense.get_weights())
    gamma, beta = (np.asarray(ops.convert_to_numpy(v), "float64") for v in (norm.gamma, norm.beta))
    found = []
    for start in range(0, 96, SIZE):
        h, uses = X[start : start + SIZE].astype("float64"), []
        for letter in order:
            if letter == "d":
                h = h @ kernel + bias
            else:
                uses.append((h.mean(axis=0), h.var(axis=0)))
                h = (h - uses[-1][0]) / np.sqrt(uses[-1][1] + EPSILON) * gamma + beta
        found.append(np.mean(uses, axis=0))
    return np.mean(found, axis=0)


def trained(use, *callbacks, **options):
    norm, dense = layers.BatchNormalization(epsilon=EPSILON, **options), layers.Dense(4)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.2)(use(inputs, norm, dense))))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(X, X[:, 0], epochs=2, verbose=0, shuffle=False, callbacks=list(callbacks))
    return model, norm, dense


def moving(norm):
    return [ops.convert_to_numpy(v) for v in (norm.moving_mean, norm.moving_variance)]


@pytest.mark.parametrize("name", USES)
def test_they_are_means_over_the_uses_of_a_batch_and_over_batches(name):
    use, order = USES[name]
    _, norm, dense = trained(use, RecomputeStatistics(X, SIZE), momentum=0.9)
    np.testing.assert_allclose(moving(norm), statistics(order, norm, dense), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.9
    assert "call" not in vars(norm)


@pytest.mark.parametrize("use", [once, twice])
def test_frozen_layers_keep_theirs(use):
    model, norm, _ = trained(use)
    before = moving(norm)
    norm.trainable = False
    RecomputeStatistics(X, SIZE).recompute(model)
    np.testing.assert_array_equal(moving(norm), before)


def test_batch_renormalisation_keeps_standard_deviations():
    model, norm, _ = trained(lambda x, norm, dense: norm(x), renorm=True)
    others = [ops.convert_to_numpy(v) for v in (norm.renorm_mean, norm.renorm_stddev)]
    RecomputeStatistics(X, SIZE).recompute(model)
    parts = X[:96].astype("float64").reshape(3, SIZE, 4)
    deviations = np.sqrt(parts.var(axis=1) + EPSILON).mean(axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(norm.moving_stddev), deviations, rtol=1e-5)
    np.testing.assert_allclose(moving(norm)[1], parts.var(axis=1).mean(axis=0), rtol=1e-4)
    np.testing.assert_array_equal([ops.convert_to_numpy(v) for v in (norm.renorm_mean, norm.renorm_stddev)], others)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_short_floats(policy):
    keras.config.set_dtype_policy(policy)
    _, norm, dense = trained(twice, RecomputeStatistics(X, SIZE))
    np.testing.assert_allclose(np.float64(moving(norm)), statistics("ndn", norm, dense), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", [dict, list])
def test_models_of_several_inputs(kind):
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    norm = layers.BatchNormalization()
    outputs = layers.Dense(1)(norm(layers.Concatenate()([a, b])))
    model = keras.Model({"a": a, "b": b} if kind is dict else [a, b], outputs)
    model.compile("sgd", "mse")
    x = {"a": X[:, :2], "b": X[:, 2:]} if kind is dict else [X[:, :2], X[:, 2:]]
    model.fit(x, X[:, 0], verbose=0, callbacks=[RecomputeStatistics(x, SIZE)])
    np.testing.assert_allclose(moving(norm)[0], X[:96].mean(axis=0), rtol=1e-5)


class OfItsOwn(keras.Model):
    def __init__(self):
        super().__init__()
        self.norm, self.dense = layers.BatchNormalization(), layers.Dense(1)

    def call(self, x, training=None):
        return self.dense(self.norm(x, training=training))


class WithoutTraining(OfItsOwn):
    """Its normalisation has the statistics that it begins with, in training too."""

    def call(self, x):
        return self.dense(self.norm(x))


class OnceInInference(OfItsOwn):
    """It uses its normalisation twice, and once with the statistics that it has."""

    def call(self, x, training=None):
        return self.dense(self.norm(self.norm(x, training=False) + x, training=training))


NEW = [np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)]  # weights of a normalisation
OWN = {
    OfItsOwn: X[:96].mean(axis=0),
    WithoutTraining: np.zeros(4),
    OnceInInference: X[:96].mean(axis=0) * (1 + (1 + EPSILON) ** -0.5),  # moving mean 0 and variance 1, as they begin
}


@pytest.mark.parametrize("kind", OWN)
def test_models_of_ones_own_are_called_as_in_training(kind):
    model = kind()
    model.compile("sgd", "mse")
    x = X.astype("float64")
    forget = keras.callbacks.LambdaCallback(on_train_end=lambda logs: model.norm.set_weights(NEW))
    model.fit(x, X[:, 0], verbose=0, callbacks=[forget, RecomputeStatistics(x, SIZE)])
    np.testing.assert_allclose(moving(model.norm)[0], OWN[kind], rtol=1e-5)


def test_an_error_leaves_layers_as_they_were():
    _, norm, _ = trained(once)
    other = layers.BatchNormalization(momentum=0.5)
    failing = keras.Sequential([keras.Input((4,)), norm, other, Failing()])
    before = moving(norm), norm.call, other.call
    with pytest.raises(RuntimeError, match="as asked"):
        RecomputeStatistics(X, SIZE).recompute(failing)
    assert (norm.momentum, other.momentum) == (0.99, 0.5)
    assert (norm.call, other.call) == before[1:]
    np.testing.assert_array_equal(moving(norm), before[0])


class Failing(layers.Layer):
    def call(self, x, training=None):
        if training:
            raise RuntimeError("as asked")
        return x


def test_training_goes_on_with_the_same_random_numbers():
    """The second fit of two, with dropout without a seed, is the one that it would have been."""

    def second_fit(x):
        keras.utils.set_random_seed(1)
        model, norm, _ = trained(once)
        before = norm.get_weights()
        if x is not None:
            RecomputeStatistics(x, SIZE).recompute(model)
            norm.set_weights(before)
        model.fit(X, X[:, 0], epochs=2, verbose=0, shuffle=False)
        return model.get_weights()

    for one, other in zip(second_fit(None), second_fit(X), strict=True):
        np.testing.assert_array_equal(one, other)
