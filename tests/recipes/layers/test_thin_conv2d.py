"""Convolutions from and to few channels against TensorFlow's own kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers import ThinConv2D
from tests.recipes.layers.convolutions import MODES, assert_near, assert_same, both

TO_FEW = {"strides": 1}
FROM_FEW = {"strides": 2, "kernel_size": 4}
# name: (height, width, channels of the inputs, arguments)
THIN = {
    "grey, 5 x 5": (8, 6, 16, TO_FEW | {"filters": 1, "kernel_size": 5}),
    "three colours, 3 x 3, many channels": (8, 8, 40, TO_FEW | {"filters": 3, "kernel_size": 3}),
    "three colours, 3 x 3, fewer": (6, 8, 34, TO_FEW | {"filters": 3, "kernel_size": 3}),
    "three colours, 5 x 3, many": (5, 8, 60, TO_FEW | {"filters": 3, "kernel_size": (5, 3)}),
    "two channels, 5 x 1": (5, 7, 4, TO_FEW | {"filters": 2, "kernel_size": (5, 1)}),
    "one pixel": (1, 1, 4, TO_FEW | {"filters": 1, "kernel_size": 3}),
    "from grey": (8, 6, 1, FROM_FEW | {"filters": 7}),
    "from three colours": (4, 4, 3, FROM_FEW | {"filters": 2}),
    "from two pixels": (2, 2, 2, FROM_FEW | {"filters": 3}),
}


@pytest.fixture(autouse=True)
def vectors_of_512(monkeypatch):
    """As on a processor on which all of them are the faster."""
    monkeypatch.setattr("recipes.machine.processor.processor_flags", lambda: {"avx2", "avx512f"})


def thin_and_plain(height, width, channels, arguments, dtype=None):
    arguments = {"padding": "same", **arguments}
    return both(ThinConv2D, keras.layers.Conv2D, (height, width, channels), arguments, dtype)


def computes(thin, x):
    return thin._is_plain(x) and (thin._gives_few(x) or thin._takes_few(x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", THIN)
def test_outputs_and_first_and_second_derivatives_are_those_of_conv2d(name, mode):
    height, width, channels, _ = THIN[name]
    thin, plain = thin_and_plain(*THIN[name])
    x = tf.constant(np.random.default_rng(0).normal(size=(3, height, width, channels)), tf.float32)
    assert computes(thin, x)
    assert_same(thin, plain, x, mode)


@pytest.mark.parametrize("name", THIN)
def test_in_bfloat16_they_are_those_of_float32_rounded(name):
    height, width, channels, _ = THIN[name]
    thin, plain = thin_and_plain(*THIN[name], dtype="mixed_bfloat16")
    rng = np.random.default_rng(0)
    for layer in (thin, plain):
        layer.kernel.assign(tf.cast(tf.cast(layer.kernel.value, tf.bfloat16), tf.float32))
    x = tf.cast(rng.normal(size=(3, height, width, channels)), tf.bfloat16)
    exact = tf.cast(x, tf.float32)
    with tf.GradientTape() as mine, tf.GradientTape() as reference:
        mine.watch(x)
        reference.watch(exact)
        ours, theirs = thin(x), plain(exact)
    upstream = tf.cast(rng.normal(size=theirs.shape), tf.bfloat16)
    pairs = zip(
        (ours, *mine.gradient(ours, [x, thin.kernel.value], upstream)),
        (theirs, *reference.gradient(theirs, [exact, plain.kernel.value], tf.cast(upstream, tf.float32))),
        strict=True,
    )
    for found, expected in pairs:
        assert_near(found, expected, 1e-2)  # bfloat16 has 8 bits, and sums of it are rounded more than once


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"filters": 4}, 4),
        ({"filters": 3}, 16),
        ({"kernel_size": 7}, 4),
        ({"kernel_size": 1}, 4),
        ({"kernel_size": 2}, 4),
        ({"padding": "valid"}, 4),
        ({"dilation_rate": 2}, 4),
        ({"strides": 2}, 4),
        ({"dtype": "float64"}, 4),
        ({"groups": 2, "filters": 2}, 4),
        ({"kernel_size": 4, "strides": 2}, 4),
        ({"kernel_size": 4, "strides": (2, 1), "filters": 8}, 1),
        ({"kernel_size": 6, "strides": 2, "filters": 8}, 1),
    ],
)
def test_anything_else_is_conv2d_itself(options, channels):
    arguments = {"filters": 1, "kernel_size": 3, "padding": "same"} | options
    layer, plain = ThinConv2D(**arguments), keras.layers.Conv2D(**arguments)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 8, channels)), layer.compute_dtype)
    assert not computes(layer, x)
    plain.build(x.shape)
    layer.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), plain(x))


@pytest.mark.parametrize("shape", [(None, 8, 3), (8, None, 3), (None, None, 3)])
def test_unknown_sides_are_those_of_conv2d(shape):
    layer = ThinConv2D(1, 3, padding="same")
    layer.build((None, *shape))
    assert not computes(layer, keras.Input(shape))
    model = keras.Sequential([keras.Input(shape), layer])
    assert model(np.ones((1, 8, 8, 3))).shape == (1, 8, 8, 1)


@pytest.mark.parametrize("name", THIN)
def test_gradients_whose_shape_is_not_known_go_back_too(name):
    height, width, channels, _ = THIN[name]
    thin, plain = thin_and_plain(*THIN[name])
    x = tf.constant(np.random.default_rng(0).normal(size=(2, height, width, channels)), tf.float32)
    upstream = tf.ones_like(plain(x))

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = thin(x)
        return tape.gradient(y, [x, thin.kernel.value], tf.numpy_function(lambda: upstream.numpy(), [], tf.float32))

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = plain(x)
    for ours, theirs in zip(gradients(x), tape.gradient(y, [x, plain.kernel.value], upstream), strict=True):
        assert_near(ours, theirs, 3e-6)


def test_is_saved_and_loaded(tmp_path):
    layers = [ThinConv2D(4, 4, 2, padding="same", activation="relu"), ThinConv2D(3, 3, padding="same", use_bias=False)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [ThinConv2D, ThinConv2D]
    np.testing.assert_array_equal(loaded(np.ones((1, 8, 8, 3))), model(np.ones((1, 8, 8, 3))))
