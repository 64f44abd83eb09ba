"""The Fréchet distance in closed form, and against scipy's square root of a matrix."""

import numpy as np
import pytest
import scipy.linalg

from recipes.gan.metrics import frechet_distance

RNG = np.random.default_rng(0)


def exactly(mean, covariance, n=200):
    """Samples with exactly these statistics."""
    x = RNG.normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False))).T)
    return x @ np.linalg.cholesky(np.atleast_2d(covariance)).T + mean


def test_of_two_normal_distributions_along_the_axes():
    """norm(mean) ** 2 + sum((s - t) ** 2) for standard deviations s and t."""
    a = exactly([0.0, 1.0, 2.0], np.diag([1.0, 4.0, 9.0]))
    b = exactly([1.0, 1.0, 0.0], np.diag([4.0, 4.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-9)


def test_of_one_feature():
    assert frechet_distance(exactly([3.0], [[4.0]]), exactly([1.0], [[9.0]])) == pytest.approx(4 + 1, rel=1e-9)


@pytest.mark.parametrize("features", [2, 32])
def test_against_scipy(features):
    a = RNG.normal(size=(300, features)) @ RNG.normal(size=(features, features))
    b = RNG.normal(size=(200, features)) @ RNG.normal(size=(features, features)) + 1
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(one + other - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_it_is_a_distance():
    a, b = RNG.normal(size=(2, 50, 4))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_features_that_are_dead_do_no_harm():
    a, b = RNG.normal(size=(2, 50, 4))
    dead = np.zeros((50, 2))
    assert frechet_distance(np.hstack([a, dead]), np.hstack([b, dead])) == pytest.approx(frechet_distance(a, b))


@pytest.mark.parametrize(
    ("a", "b"), [(np.zeros((5, 2)), np.zeros((5, 3))), (np.zeros(5), np.zeros(5)), (np.zeros((1, 2)), np.zeros((5, 2)))]
)
def test_shapes_that_do_not_go_together_are_refused(a, b):
    with pytest.raises(ValueError, match="two samples at least"):
        frechet_distance(a, b)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.full((5, 2), np.nan), np.zeros((5, 2)))
