"""The packed gradient against that of TensorFlow's own kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers import PackedConv2D
from recipes.layers.packed_conv2d import images_a_strip


def gradients(layer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return y, *tape.gradient(y, [x, layer.kernel.value], upstream)


def bfloat16(rng, *shape):
    return tf.cast(rng.normal(size=shape), tf.bfloat16)


MODES = {"eager": gradients, "graph": tf.function(gradients), "XLA": tf.function(gradients, jit_compile=True)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("n", "side", "kernel"),
    [(8, 7, 3), (6, 7, 3), (1, 7, 3), (8, 3, 3), (5, 3, 1), (6, 6, 5), (4, 15, 3), (3, 1, 3), (2, 40, 3)],
)
def test_outputs_and_gradients_are_those_of_conv2d(n, side, kernel, mode):
    """Of float32 on the same inputs; where no processor helps, TensorFlow rounds a sum of bfloat16 many times."""
    rng = np.random.default_rng(0)
    x, upstream = bfloat16(rng, n, side, side, 3), bfloat16(rng, n, side, side, 5)
    layer = PackedConv2D(5, kernel, padding="same", dtype="mixed_bfloat16")
    rounded = keras.layers.Conv2D(5, kernel, padding="same", dtype="mixed_bfloat16")
    exact = keras.layers.Conv2D(5, kernel, padding="same")
    for each in (layer, rounded, exact):
        each.build(x.shape)
    for each in (rounded, exact):
        each.set_weights([tf.cast(tf.cast(w, tf.bfloat16), tf.float32) for w in layer.get_weights()])
    expected = gradients(exact, tf.cast(x, tf.float32), tf.cast(upstream, tf.float32))
    ours = errors(MODES[mode](layer, x, upstream), expected)
    bounds = [max(4e-3, 1.5 * error) for error in errors(gradients(rounded, x, upstream), expected)]  # 8 bits
    assert all(error < bound for error, bound in zip(ours, bounds, strict=True)), (ours, bounds)


def errors(found, expected):
    pairs = [(np.asarray(ours, "float32"), np.asarray(theirs)) for ours, theirs in zip(found, expected, strict=True)]
    return [np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for ours, theirs in pairs]


@pytest.mark.parametrize(
    ("width", "gap", "images"), [(7, 1, 4), (3, 1, 8), (8, 1, 1), (15, 1, 1), (40, 1, 1), (None, 1, 1)]
)
def test_strips_are_as_wide_as_a_tile(width, gap, images):
    assert images_a_strip(width, gap) == images


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float32"},
        {"strides": 2},
        {"padding": "valid"},
        {"dilation_rate": 2},
        {"groups": 2},
        {"kernel_size": 2},
    ],
)
def test_anything_else_is_conv2d_itself(options):
    arguments = {"filters": 4, "kernel_size": 3, "padding": "same", "dtype": "mixed_bfloat16"} | options
    layer = PackedConv2D(**arguments)
    x = np.ones((2, 7, 7, 4), "float32")
    assert not layer._packs(tf.cast(x, layer.compute_dtype))
    plain = keras.layers.Conv2D(**arguments)
    plain.build(x.shape)
    layer.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(np.asarray(layer(x), "float32"), np.asarray(plain(x), "float32"))


@pytest.mark.parametrize("shape", [(None, 7, 3), (7, None, 3), (None, None, 3)])
def test_unknown_sides_are_not_packed(shape):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential(
        [keras.Input(shape), PackedConv2D(2, 3, padding="same"), keras.layers.GlobalMaxPooling2D()]
    )
    model.compile("sgd", "mse", jit_compile=False)
    before = np.asarray(model.layers[0].kernel)
    history = model.fit(np.ones((4, 7, 7, 3)), np.zeros((4, 2)), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert not np.array_equal(model.layers[0].kernel, before)


def test_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((7, 7, 2)), PackedConv2D(3, 3, padding="same")])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is PackedConv2D
    np.testing.assert_array_equal(loaded(np.ones((1, 7, 7, 2))), model(np.ones((1, 7, 7, 2))))
