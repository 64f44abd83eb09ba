import numpy as np

from recipes.classification import statistics
from recipes.data import load


def test_statistics_are_those_of_the_pixels():
    x = load("digits").train[0][:50].copy()
    x[..., 1] = 7  # a channel that says nothing
    mean, deviation = statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    expected = x.reshape(-1, 3).std(axis=0)
    np.testing.assert_allclose(deviation, np.where(expected > 0, expected, 1), rtol=1e-5)
