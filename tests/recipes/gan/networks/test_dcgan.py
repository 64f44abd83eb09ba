import numpy as np
import pytest
import tensorflow as tf

from recipes.gan import SpectralNormalization
from recipes.gan.networks import dcgan


def test_the_parameters_of_the_widths_measured_on_digits():
    """0.24 and 0.17 million."""
    assert dcgan.generator((32, 32, 1), 128, 16).count_params() == pytest.approx(240e3, rel=0.1)
    assert dcgan.discriminator((32, 32, 1), 32).count_params() == pytest.approx(170e3, rel=0.1)


def test_labels_make_a_difference_by_projection():
    """The output for a label less that for another is the difference of their embeddings, times the features."""
    judge = dcgan.discriminator((8, 8, 1), 4, classes=3, normalization="none")
    images = tf.random.normal((2, 8, 8, 1))
    features = tf.keras.layers.Flatten()(judge.layers[2](judge.layers[1](images)))
    embeddings = judge.get_layer("classes").embeddings
    found = judge([images, tf.constant([2, 2])]) - judge([images, tf.constant([0, 0])])
    expected = tf.matmul(features, (embeddings[2] - embeddings[0])[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("normalization", "count"), [("spectral", 4), ("batch", 0), ("none", 0)])
def test_what_is_normalised(normalization, count):
    judge = dcgan.discriminator((32, 32, 3), 4, normalization=normalization)
    assert sum(isinstance(layer, SpectralNormalization) for layer in judge.layers) == count
    assert any("moving_variance" in w.path for w in judge.weights) == (normalization == "batch")
