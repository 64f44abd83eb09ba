import keras
import numpy as np
import pytest

from recipes.layers import PartialIdentity


@pytest.mark.parametrize("filters", [6, 9, 4])
def test_the_first_filters_pass_the_inputs_on(filters):
    layer = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=PartialIdentity(seed=0))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype("float32")
    y = np.asarray(layer(x))
    passed_on = min(6, filters)
    np.testing.assert_allclose(y[..., :passed_on], x[..., :passed_on], atol=1e-6)


def test_the_others_are_those_of_torch():
    """torch.nn.Conv2d: kaiming_uniform with a = sqrt(5), which is uniform within 1 / sqrt(fan_in)."""
    others = np.asarray(PartialIdentity(seed=0)((3, 3, 16, 512)))[..., 16:]
    bound = (3 * 3 * 16) ** -0.5
    assert 0.99 * bound < np.abs(others).max() <= bound
    assert others.std() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_the_seed_decides_and_is_saved():
    first, again, other = (np.asarray(PartialIdentity(seed=s)((3, 3, 2, 8))) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    config = keras.saving.serialize_keras_object(PartialIdentity(seed=1))
    np.testing.assert_array_equal(keras.saving.deserialize_keras_object(config)((3, 3, 2, 8)), first)
