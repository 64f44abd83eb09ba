"""The kernel distance by its definition, sample by sample, and that it is unbiased."""

import itertools

import numpy as np
import pytest

from recipes.gan.metrics import kernel_distance

RNG = np.random.default_rng(0)


def test_it_is_its_definition():
    a, b = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 3)) + 0.5

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [np.mean([k(x, y) for x, y in itertools.permutations(each, 2)]) for each in (a, b)]
    expected = sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [5, 20])
def test_it_is_unbiased_however_few_samples_there_are(n):
    """Its mean over many pairs of samples of one distribution is 0, within three standard errors."""
    values = [kernel_distance(*RNG.normal(size=(2, n, 4)))[0] for _ in range(2000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


def test_blocks_agree_with_the_whole():
    a, b = RNG.normal(size=(2000, 4)), RNG.normal(size=(1500, 4)) + 0.3
    (whole, none), (mean, deviation) = kernel_distance(a, b, 1500), kernel_distance(a, b, 100)
    assert none == 0 < deviation
    assert mean == pytest.approx(whole, abs=4 * deviation / np.sqrt(15))


def test_shapes_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="two samples at least"):
        kernel_distance(np.zeros((5, 2)), np.zeros((5, 3)))
