"""The losses against numpy, and where their gradients point."""

import numpy as np
import pytest
from keras import ops

from recipes.gan.losses import Hinge, Minimax, NonSaturating, Relativistic, Wasserstein

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(2, 16, 1)).astype("float32") * 3


def softplus(x):
    return np.logaddexp(0, x)


EXPECTED = {
    Hinge: (np.maximum(1 - REAL, 0).mean() + np.maximum(1 + FAKE, 0).mean(), -FAKE.mean()),
    NonSaturating: (softplus(-REAL).mean() + softplus(FAKE).mean(), softplus(-FAKE).mean()),
    Minimax: (softplus(-REAL).mean() + softplus(FAKE).mean(), -softplus(FAKE).mean()),
    Wasserstein: (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    Relativistic: (softplus(FAKE - REAL).mean(), softplus(REAL - FAKE).mean()),
}


@pytest.mark.parametrize("cls", EXPECTED)
def test_values_are_those_of_the_papers(cls):
    found = (cls().discriminator(*map(ops.convert_to_tensor, (REAL, FAKE))), cls().generator(REAL, FAKE))
    np.testing.assert_allclose([float(value) for value in found], EXPECTED[cls], rtol=1e-6)


@pytest.mark.parametrize("cls", EXPECTED)
def test_each_player_wants_the_opposite(cls):
    """Higher outputs for generated images are better for the generator and worse for the discriminator."""
    loss = cls()
    assert float(loss.generator(REAL, FAKE + 0.1)) < float(loss.generator(REAL, FAKE))
    assert float(loss.discriminator(REAL, FAKE + 0.1)) > float(loss.discriminator(REAL, FAKE))
    assert float(loss.discriminator(REAL + 0.1, FAKE)) < float(loss.discriminator(REAL, FAKE))


@pytest.mark.parametrize("cls", EXPECTED)
def test_a_generator_s_loss_says_whether_it_looks_at_real_images(cls):
    loss = cls()
    assert loss.compares == (float(loss.generator(REAL + 1, FAKE)) != float(loss.generator(REAL, FAKE)))


@pytest.mark.parametrize("cls", EXPECTED)
def test_a_game_says_whether_its_sum_is_zero(cls):
    """What generated images change, one player gains and the other loses."""
    loss, fakes = cls(), (FAKE, FAKE + 1)
    sums = [float(loss.discriminator(REAL, fake)) + float(loss.generator(REAL, fake)) for fake in fakes]
    assert loss.is_zero_sum == (abs(sums[0] - sums[1]) < 1e-5)


def test_large_outputs_stay_finite():
    for cls in EXPECTED:
        assert np.isfinite(float(cls().discriminator(REAL * 1e4, FAKE * 1e4)))
