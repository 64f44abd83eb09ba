"""Eigenvalues of matrices whose eigenvalues are known, and of which only products are told."""

import numpy as np
import pytest

from callbacks.lanczos import BASIS, LEADING, largest_eigenvalue

RNG = np.random.default_rng(0)


def pairs(n):
    sizes = RNG.random(n // 2)
    return np.concatenate([sizes, -sizes])


SPECTRA = {
    "one row": [3.0],
    "one row of a negative number": [-3.0],
    "two rows": [2.0, -5.0],
    "a zero matrix": np.zeros(50),
    "a multiple of the identity": np.full(50, 7.0),
    "rank one": np.eye(1, 50)[0],
    "less rows than the basis has vectors": RNG.normal(size=BASIS - 1),
    "as many rows as that": RNG.normal(size=BASIS),
    "a row more": RNG.normal(size=BASIS + 1),
    "pairs of both signs": pairs(200),
    "a pair alone": np.concatenate([[2.0, -2.0], np.zeros(98)]),
    "negative definite": -1 - RNG.random(200),
    "the largest in size is negative": np.concatenate([[-100.0], RNG.random(99)]),
    "many that are near the largest": 1 + 0.01 * RNG.random(200),
    "a slow decay": 1 / np.arange(1, 300) ** 0.5,
    "restart after restart": RNG.random(2000),
}


def start(n):
    return np.random.default_rng(n).normal(size=n)


def rotated(eigenvalues):
    """A symmetric matrix with these eigenvalues."""
    basis, _ = np.linalg.qr(RNG.normal(size=(len(eigenvalues), len(eigenvalues))))
    return basis * eigenvalues @ basis.T


@pytest.mark.parametrize("name", SPECTRA)
def test_it_is_the_largest_eigenvalue(name):
    matrix = rotated(np.asarray(SPECTRA[name])) if len(SPECTRA[name]) < 1000 else np.diag(SPECTRA[name])
    found = largest_eigenvalue(lambda v: matrix @ v, start(len(matrix)), 1e-5, 1000)
    assert found.is_exact
    assert found.value == pytest.approx(np.max(SPECTRA[name]), rel=1e-5, abs=1e-12)
    vector = found.leading[-1]
    residual = np.linalg.norm(matrix @ vector - found.value * vector)
    assert residual <= max(1.01e-5 * abs(found.value), 1e-6 * np.abs(SPECTRA[name]).max())
    np.testing.assert_allclose(found.leading @ found.leading.T, np.eye(len(found.leading)), atol=1e-12)
    assert len(found.leading) <= LEADING


@pytest.mark.parametrize("most", [1, 2, 29, 30, 31, 45])
def test_the_residual_is_what_is_left_of_the_equation_and_bounds_the_error(most):
    eigenvalues = np.linspace(-1, 1, 400)
    found = largest_eigenvalue(lambda v: eigenvalues * v, start(400), 1e-9, most)
    vector = found.leading[-1]
    assert (found.products, found.is_exact) == (most, False)
    assert np.linalg.norm(eigenvalues * vector - found.value * vector) == pytest.approx(found.residual, rel=1e-6)
    assert np.abs(eigenvalues - found.value).min() <= found.residual


def test_the_rounding_of_products_is_no_reason_to_go_on():
    """Near a largest eigenvalue of 0, what products in float32 tell is less than any tolerance of it."""
    eigenvalues = np.concatenate([[-1e-9], -1 - RNG.random(99)])
    found = largest_eigenvalue(lambda v: eigenvalues * v + 1e-8 * RNG.normal(size=100), start(100), 1e-4, 100)
    assert found.is_exact
    assert abs(found.value) < 1e-5


@pytest.mark.parametrize("gap", [0.01, 0.03, 0.1])
def test_another_eigenvalue_that_has_become_the_largest_is_found(gap):
    """From the leading vectors of the matrix before: from the first alone, its eigenvalue would do."""
    eigenvalues = np.abs(RNG.normal(size=10_000)) * 0.3
    eigenvalues[:10] = np.linspace(2, 5, 10)
    before = largest_eigenvalue(lambda v: eigenvalues * v, start(10_000), 1e-4, 100)
    eigenvalues[8] = 5 * (1 + gap)
    fresh = RNG.normal(size=10_000)
    warm = before.leading.sum(axis=0) / LEADING**0.5 + 0.3 * fresh / np.linalg.norm(fresh)
    found = largest_eigenvalue(lambda v: eigenvalues * v, warm, 1e-4, 100)
    assert found.value == pytest.approx(eigenvalues[8], rel=1e-6)


def test_a_product_that_is_no_number_ends_it():
    found = largest_eigenvalue(lambda v: v * np.nan, np.ones(5), 1e-4, 100)
    assert np.isnan(found.value)
    assert found.products == 1
