import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.gan.networks import r3gan


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3)])
@pytest.mark.parametrize("classes", [0, 10])
def test_images_of_any_size_that_is_a_power_of_two(shape, classes):
    make, judge = r3gan.generator(shape, 16, 8, classes), r3gan.discriminator(shape, 8, classes)
    noise, labels = tf.random.normal((2, 16)), tf.constant([1, 2])
    images = make([noise, labels] if classes else noise)
    assert images.shape == (2, *shape)
    assert judge([images, labels] if classes else images).shape == (2, 1)


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


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 16, 3), (4, 4, 1)])
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="r3gan: images must be square, of side 8, 16, 32"):
        r3gan.generator(shape, 16, 8)
