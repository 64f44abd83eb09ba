"""The largest eigenvalue of a Hessian, where it is known, and where theory says what becomes of it."""

import keras
import numpy as np
import pytest

from benchmarks.edge_of_stability import sharpness_along
from callbacks import Sharpness

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 5)).astype("float32"), RNG.normal(size=(60, 1)).astype("float32")
EIGENVALUES = np.linalg.eigvalsh(2 / 60 * X.T.astype("float64") @ X)


def measured(loss, callback, epochs=1, rate=0.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(rate), loss)
    return model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[callback]).history["sharpness"]


@pytest.mark.parametrize("batch_size", [None, 25])
def test_of_a_quadratic_it_is_that_of_linear_algebra(batch_size):
    (found,) = measured("mse", Sharpness(X, Y, batch_size, tolerance=1e-6))
    assert found == pytest.approx(EIGENVALUES[-1], rel=1e-3)


def test_where_the_largest_in_size_is_negative_it_is_the_largest_all_the_same():
    def upside_down(true, predicted):
        return -keras.ops.mean((true - predicted) ** 2, axis=-1)

    (found,) = measured(upside_down, Sharpness(X, Y, tolerance=1e-7, iterations=500))
    assert found == pytest.approx(-EIGENVALUES[0], rel=1e-2)


def test_it_is_looked_at_as_often_as_asked():
    assert len(measured("mse", Sharpness(X, Y, every=2), epochs=5)) == 3


def test_as_many_targets_as_samples_are_asked_for():
    with pytest.raises(ValueError, match="60 and 59 samples"):
        Sharpness(X, Y[1:])


def test_it_rises_to_two_over_the_rate_and_stays_there():
    """The edge of stability of Cohen et al., arXiv:2103.00065, on their polynomial."""
    found = sharpness_along(rate=0.1, updates=2600)["sharpness"]
    assert found[0] < 0.6 * 2 / 0.1
    np.testing.assert_allclose(found[-8:], 2 / 0.1, rtol=0.12)
    assert np.median(found[-8:]) == pytest.approx(2 / 0.1, rel=0.05)
