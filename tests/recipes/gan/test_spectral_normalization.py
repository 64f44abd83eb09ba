"""Spectral normalisation against the singular values of linear algebra, and its gradient against theory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.gan import SpectralNormalization

RNG = np.random.default_rng(0)
LAYERS = {
    "dense": (lambda: keras.layers.Dense(7), (4, 5)),
    "convolution": (lambda: keras.layers.Conv2D(6, 3, padding="same"), (2, 8, 8, 3)),
    "embedding": (lambda: keras.layers.Embedding(10, 4), (5,)),
}


def made(name):
    """`(layer, input)`, the layer called once."""
    make, shape = LAYERS[name]
    x = RNG.integers(0, 10, shape) if name == "embedding" else RNG.normal(size=shape).astype("float32")
    layer = SpectralNormalization(make())
    layer(x)
    return layer, x


def matrix(layer):
    weight = np.array(layer._weight)
    return weight.reshape(-1, weight.shape[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_it_divides_by_the_largest_singular_value(name):
    layer, x = made(name)
    layer.update(iterations=500)
    largest = np.linalg.svd(matrix(layer), compute_uv=False)[0]
    assert float(layer.sigma(layer._weight)) == pytest.approx(largest, rel=1e-3)
    divided = np.array(layer._weight) / largest
    layer.layer.set_weights([divided, *layer.layer.get_weights()[1:]])
    plain = layer.layer(x)
    layer.layer.set_weights([3 * largest * divided, *layer.layer.get_weights()[1:]])
    np.testing.assert_allclose(layer(x, training=True), plain, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("updates", [0, 3])
def test_the_gradient_is_at_right_angles_to_the_kernel(name, updates):
    """At once, whatever `u` is: the outputs do not change when the kernel is scaled."""
    layer, x = made(name)
    layer.update(iterations=updates)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x, training=True)) * tf.random.uniform(layer(x).shape, seed=1))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer._weight.value))
    along = float(tf.reduce_sum(gradient * layer._weight.value))
    norms = float(tf.norm(gradient)) * np.linalg.norm(matrix(layer))
    assert norms > 0.1
    assert abs(along) <= 1e-4 * max(norms, 1)


def test_the_gradient_is_that_of_differences():
    """With `u` where the power method ends, whose change is then of second order."""
    layer, x = made("dense")
    left, _, right = np.linalg.svd(matrix(layer), full_matrices=False)
    kernel = (left * [4.0, 2.0, 1.0, 0.5, 0.2]) @ right
    toward = RNG.normal(size=kernel.shape)

    def loss_at(step):
        layer.layer.kernel.assign(kernel + step * toward)
        layer.update(iterations=100)
        return tf.reduce_sum(tf.sin(layer(x)))

    loss_at(0.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x)))
    expected = float(tf.reduce_sum(tape.gradient(loss, layer._weight.value) * toward))
    found = float(loss_at(5e-3) - loss_at(-5e-3)) / 1e-2
    assert found == pytest.approx(expected, rel=1e-2)


def test_calls_change_nothing_and_an_update_u_alone():
    layer, x = made("convolution")
    before = layer.get_weights()
    layer(x, training=True)
    layer(x, training=False)
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    layer.update()
    changed = [w.name for w, was in zip(layer.weights, before, strict=True) if not np.array_equal(w, was)]
    assert changed == ["u"]


def test_in_bfloat16_and_compiled():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential([keras.Input((8, 8, 3)), SpectralNormalization(keras.layers.Conv2D(4, 3))])
    x = RNG.normal(size=(2, 8, 8, 3)).astype("float32")
    outputs = tf.function(model)(x)
    assert outputs.dtype == tf.bfloat16
    assert model.layers[0].u.dtype == "float32"
    np.testing.assert_allclose(np.array(outputs, "float32"), np.array(model(x), "float32"), rtol=0.05, atol=0.05)


def test_it_is_saved_with_u(tmp_path):
    model = keras.Sequential([keras.Input((4,)), SpectralNormalization(keras.layers.Dense(3), iterations=2)])
    model.layers[0].update(iterations=5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for saved, loaded in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, loaded)
    assert again.layers[0].iterations == 2


def test_a_layer_without_a_kernel_is_refused():
    with pytest.raises(ValueError, match="ReLU has no `kernel`"):
        SpectralNormalization(keras.layers.ReLU()).build((None, 3))
