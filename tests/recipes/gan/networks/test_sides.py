"""The images that networks make and take, whichever they are."""

import pytest
import tensorflow as tf

from recipes.gan.networks import dcgan, r3gan


@pytest.mark.parametrize("networks", [dcgan, r3gan])
@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3)])
@pytest.mark.parametrize("classes", [0, 10])
def test_images_of_any_size_that_is_a_power_of_two(networks, shape, classes):
    make, judge = networks.generator(shape, 16, 8, classes), networks.discriminator(shape, 8, classes)
    noise, labels = tf.random.normal((2, 16)), tf.constant([1, 2])
    images = make([noise, labels] if classes else noise)
    assert images.shape == (2, *shape)
    assert networks is r3gan or float(tf.reduce_max(tf.abs(images))) <= 1
    assert judge([images, labels] if classes else images).shape == (2, 1)


@pytest.mark.parametrize("networks", [dcgan, r3gan])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 16, 3), (4, 4, 1)])
def test_other_sizes_are_refused(networks, shape):
    with pytest.raises(ValueError, match="images must be square, of side 8, 16, 32"):
        networks.generator(shape, 16, 8)
