"""Convolutions and transposed ones by flipped kernels against TensorFlow's own kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers import FlippedConv2D, FlippedConv2DTranspose, ThinConv2D
from tests.recipes.layers.convolutions import MODES, assert_same, both

CONVOLUTION, TRANSPOSED = (FlippedConv2D, keras.layers.Conv2D), (FlippedConv2DTranspose, keras.layers.Conv2DTranspose)
SAME = {"padding": "same"}
HALVED = {"kernel_size": 4, "strides": 2, **SAME}
# name: (classes, shape of an image, arguments)
FLIPPED = {
    "3 x 3": (CONVOLUTION, (8, 6, 5), {"filters": 7, "kernel_size": 3, **SAME}),
    "5 x 3, larger than the image": (CONVOLUTION, (3, 2, 4), {"filters": 3, "kernel_size": (5, 3), **SAME}),
    "3 x 1": (CONVOLUTION, (5, 7, 4), {"filters": 2, "kernel_size": (3, 1), "use_bias": False, **SAME}),
    "3 x 3, valid": (CONVOLUTION, (8, 6, 5), {"filters": 7, "kernel_size": 3}),
    "5 x 3, valid, down to one": (CONVOLUTION, (5, 3, 4), {"filters": 3, "kernel_size": (5, 3)}),
    "sides not known": (CONVOLUTION, (None, None, 4), {"filters": 3, "kernel_size": 3, **SAME}),
    "halved": (CONVOLUTION, (8, 6, 5), {"filters": 7, "activation": "tanh", **HALVED}),
    "halved to one": (CONVOLUTION, (2, 2, 4), {"filters": 3, **HALVED}),
    "doubled": (TRANSPOSED, (4, 3, 5), {"filters": 7, "activation": "tanh", **HALVED}),
    "doubled to three colours": (TRANSPOSED, (1, 1, 6), {"filters": 3, "use_bias": False, **HALVED}),
}
OTHERS = {
    "1 x 1": (CONVOLUTION, {"kernel_size": 1, **SAME}),
    "2 x 2": (CONVOLUTION, {"kernel_size": 2, **SAME}),
    "strides": (CONVOLUTION, {"kernel_size": 3, "strides": 2, **SAME}),
    "halved, valid": (CONVOLUTION, {**HALVED, "padding": "valid"}),
    "dilated": (CONVOLUTION, {"kernel_size": 3, "dilation_rate": 2, **SAME}),
    "groups": (CONVOLUTION, {"kernel_size": 3, "groups": 2, **SAME}),
    "float64": (CONVOLUTION, {"kernel_size": 3, "dtype": "float64", **SAME}),
    "doubled, 3 x 3": (TRANSPOSED, {"kernel_size": 3, "strides": 2, **SAME}),
    "doubled, valid": (TRANSPOSED, {**HALVED, "padding": "valid"}),
    "one column more": (TRANSPOSED, {**HALVED, "padding": "valid", "output_padding": 1}),
    "kept": (TRANSPOSED, {**HALVED, "strides": 1}),
}


@pytest.fixture
def avx2(monkeypatch):
    monkeypatch.setattr("recipes.machine.processor.processor_flags", lambda: {"avx2"})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FLIPPED)
def test_outputs_and_first_and_second_derivatives_are_those_of_keras(name, mode, avx2):
    classes, shape, arguments = FLIPPED[name]
    ours, plain = both(*classes, shape, arguments)
    x = tf.constant(np.random.default_rng(0).normal(size=(3, *(side or 6 for side in shape))), tf.float32)
    assert_same(ours, plain, x, mode)
    assert not operations(ours, x) & {"Conv2DBackpropInput"}


@pytest.mark.parametrize("name", FLIPPED)
def test_wider_vectors_have_the_kernels_of_keras(name, monkeypatch):
    monkeypatch.setattr("recipes.machine.processor.processor_flags", lambda: {"avx2", "avx512f"})
    classes, shape, arguments = FLIPPED[name]
    ours, plain = both(*classes, shape, arguments)
    x = tf.ones((2, *(side or 6 for side in shape)))
    assert operations(ours, x) == operations(plain, x)
    np.testing.assert_array_equal(ours(x), plain(x))


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_that_of_keras(name, avx2):
    classes, arguments = OTHERS[name]
    ours, plain = both(*classes, (8, 8, 4), {"filters": 4, **arguments})
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 8, 4)), ours.compute_dtype)
    assert operations(ours, x) == operations(plain, x)
    np.testing.assert_array_equal(ours(x), plain(x))


def test_a_picture_is_halved_with_the_kernels_of_keras(avx2):
    ours, plain = both(ThinConv2D, keras.layers.Conv2D, (8, 8, 3), {"filters": 4, **HALVED})
    x = tf.ones((2, 8, 8, 3))
    assert operations(ours, x) == operations(plain, x)


def test_are_saved_and_loaded(tmp_path):
    layers = [FlippedConv2D(4, 3, padding="same"), FlippedConv2DTranspose(3, 4, 2, "same", use_bias=False)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [FlippedConv2D, FlippedConv2DTranspose]
    np.testing.assert_array_equal(loaded(np.ones((1, 8, 8, 3))), model(np.ones((1, 8, 8, 3))))


def operations(layer, x):
    """Types of the operations of a gradient."""

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, layer.kernel.value])

    graph = gradients.get_concrete_function(x).graph
    return {operation.type for operation in graph.get_operations()} - {"Identity", "NoOp"}
