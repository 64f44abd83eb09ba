"""Against `keras.layers.BatchNormalization`, and torch's `n / (n - 1)`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from custom_optimizers import BatchGD
from recipes.layers import FusedBatchNormalization
from tests.small import mirrored

CASES = [{}, {"scale": False}, {"center": False}, {"momentum": 0.6, "epsilon": 1e-5}]


def pair(options, dtype="float32"):
    layers = FusedBatchNormalization(**options, dtype=dtype), keras.layers.BatchNormalization(**options)
    rng = np.random.default_rng(0)
    for layer in layers:
        layer.build((None, 5, 5, 3))
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def images(n=16):
    return np.random.default_rng(1).normal(2, 3, (n, 5, 5, 3)).astype("float32")


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("options", CASES)
def test_training_outputs_and_gradients_are_those_of_keras(options, dtype):
    fused, plain = pair(options, dtype)
    x = tf.cast(tf.cast(images(), fused.compute_dtype), tf.float32)
    weight = tf.constant(np.random.default_rng(2).normal(size=x.shape), tf.float32)
    found = []
    for layer in (fused, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(tf.cast(x, layer.compute_dtype), training=True), tf.float32)
            loss = tf.reduce_sum(y * weight)
        found.append([y, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])])
    tolerance = 2e-5 if dtype == "float32" else 1e-2
    for ours, theirs in zip(*found, strict=True):
        assert np.linalg.norm(ours - theirs) < tolerance * np.linalg.norm(theirs)


@pytest.mark.parametrize("options", CASES)
def test_inference_is_that_of_keras(options):
    fused, plain = pair(options)
    np.testing.assert_allclose(fused(images()), plain(images()), rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_torch():
    fused, _ = pair({"momentum": 0.6})
    mean, variance = (np.asarray(v) for v in (fused.moving_mean, fused.moving_variance))
    x = images()
    fused(x, training=True)
    np.testing.assert_allclose(fused.moving_mean, 0.6 * mean + 0.4 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, 0.6 * variance + 0.4 * x.var((0, 1, 2), ddof=1), rtol=1e-5)
    fused.trainable = False
    before = np.asarray(fused.moving_mean)
    fused(x, training=True)
    np.testing.assert_array_equal(fused.moving_mean, before)


@pytest.mark.parametrize(
    ("options", "shape"), [({}, (4, 3)), ({"axis": 1}, (4, 3, 5, 5)), ({"dtype": "float64"}, (4, 5, 5, 3))]
)
def test_anything_else_is_that_of_keras(options, shape):
    x = np.random.default_rng(0).normal(size=shape)
    layers = FusedBatchNormalization(**options), keras.layers.BatchNormalization(**options)
    assert not layers[0]._fuses(tf.cast(x, layers[0].compute_dtype), None)
    np.testing.assert_array_equal(*(layer(x, training=True) for layer in layers))


def test_trains_on_two_devices():
    with mirrored().scope():
        model = keras.Sequential(
            [keras.Input((5, 5, 3)), FusedBatchNormalization(), keras.layers.Flatten(), keras.layers.Dense(1)]
        )
        model.compile(BatchGD(0.01), "mse")
    x = images(8)
    model.fit(x, np.zeros(8), batch_size=8, epochs=1, verbose=0, shuffle=False)
    half = [each.mean((0, 1, 2)) for each in (x[:4], x[4:])]
    kept = np.asarray(model.layers[0].moving_mean)
    assert any(np.allclose(kept, 0.01 * mean, rtol=1e-4) for mean in (*half, np.mean(half, axis=0)))


def test_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((5, 5, 3)), FusedBatchNormalization(scale=False)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is FusedBatchNormalization
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
