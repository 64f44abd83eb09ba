import numpy as np
import pytest
from scipy.spatial.distance import cdist

from recipes.gan.metrics import nearest_distances

RNG = np.random.default_rng(0)
TRAINING = RNG.integers(0, 256, (300, 8, 8, 3), dtype="uint8")


def test_against_scipy_in_several_pieces():
    images = RNG.integers(0, 256, (600, 8, 8, 3), dtype="uint8")
    expected = cdist(images.reshape(600, -1) / 255, TRAINING.reshape(300, -1) / 255).min(axis=1)
    np.testing.assert_allclose(nearest_distances(images, TRAINING), expected, rtol=1e-9)


def test_a_copy_is_at_0():
    assert not nearest_distances(TRAINING[::7], TRAINING).any()


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="of one shape"):
        nearest_distances(TRAINING[:, :4], TRAINING)
