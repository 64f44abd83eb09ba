import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.gan.networks import r3gan


def test_networks_begin_as_their_skips():
    """Blocks add nothing at first: the discriminator is linear then, and the generator is its basis, enlarged."""
    keras.utils.set_random_seed(0)
    judge = r3gan.discriminator((16, 16, 1), 8)
    x, y = tf.random.normal((2, 3, 16, 16, 1))
    np.testing.assert_allclose(judge(x + y), judge(x) + judge(y), atol=1e-4)
    make = r3gan.generator((16, 16, 1), 4, 8)
    dense, basis, mix = (
        layer for layer in make.layers if layer.name.startswith(("dense", "learned")) or layer is make.layers[-2]
    )
    z = tf.random.normal((3, 4))
    numbers = np.asarray(z) @ dense.kernel.numpy()
    small = np.einsum("nc,hwc,ck->nhwk", numbers, basis.basis.numpy(), mix.kernel.numpy()[0, 0])
    enlarged = small
    for _ in range(2):
        enlarged = keras.layers.UpSampling2D(2, interpolation="bilinear")(enlarged)
    np.testing.assert_allclose(make(z), enlarged, atol=1e-4)


def test_the_activation_keeps_the_second_moment():
    """Of normal numbers: E[act(x)**2] = gain**2 * (1 + slope**2) / 2 = 1."""
    x = np.random.default_rng(0).normal(size=(200_000, 1)).astype("float32")
    assert float(np.mean(np.square(r3gan.BiasedLeakyReLU()(x)))) == pytest.approx(1, abs=0.01)


def test_a_block_has_the_parameters_of_the_paper():
    """Two convolutions 1 x 1 between C and 2 C, one 3 x 3 in groups of 16, two biases."""
    width = 64
    one, two = (r3gan.discriminator((side, side, 3), width).count_params() for side in (8, 16))
    assert two - one == 2 * width * 2 * width + 9 * 16 * 2 * width + 2 * 2 * width
