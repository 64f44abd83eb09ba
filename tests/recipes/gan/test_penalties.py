"""Penalties of discriminators whose slopes are known in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from recipes.gan.penalties import GradientPenalty, ZeroCentred

RNG = np.random.default_rng(0)
REAL, FAKE = (tf.constant(RNG.normal(size=(6, 4, 4, 2)), tf.float32) for _ in range(2))
KERNEL = RNG.normal(size=(32, 1)).astype("float32")
NORM = np.linalg.norm(KERNEL)


def linear(x):
    return ops.matmul(ops.reshape(x, (-1, 32)), KERNEL)


def quadratic(x):
    return ops.sum(ops.square(x), axis=(1, 2, 3))[:, None] / 2  # whose gradient is x


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_of_a_linear_critic(weight):
    assert float(GradientPenalty(weight)(linear, REAL, FAKE)) == pytest.approx(weight * (NORM - 1) ** 2, rel=1e-5)
    for at, times in (("real", 1), ("fake", 1), ("both", 2)):
        found = float(ZeroCentred(weight, at)(linear, REAL, FAKE))
        assert found == pytest.approx(times * weight / 2 * NORM**2, rel=1e-5)


def test_of_a_quadratic_critic_at_real_and_at_generated_images():
    squares = [float(tf.reduce_mean(tf.reduce_sum(tf.square(x), (1, 2, 3)))) for x in (REAL, FAKE)]
    assert float(ZeroCentred(2.0, "real")(quadratic, REAL, FAKE)) == pytest.approx(squares[0], rel=1e-5)
    assert float(ZeroCentred(2.0, "fake")(quadratic, REAL, FAKE)) == pytest.approx(squares[1], rel=1e-5)


def test_between_images_by_a_share_of_each_image_from_0_to_1():
    """The slope of the quadratic critic is the norm of the place itself."""
    real, fake = tf.zeros((4000, 2, 2, 1)), tf.ones((4000, 2, 2, 1)) / 2  # norms 0 and 1: slopes are uniform in 0 to 1
    penalty = GradientPenalty(1.0)(quadratic, real, fake, seed=keras.random.SeedGenerator(0))
    assert float(penalty) == pytest.approx(1 / 3, rel=0.05)  # mean of (1 - a) ** 2


@pytest.mark.parametrize("penalty", [GradientPenalty(10.0), ZeroCentred(0.5, "both")])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_learn_from_it(penalty, jit_compile):
    """The gradient of the penalty by a linear critic's kernel, in closed form."""
    kernel = tf.Variable(KERNEL)

    @tf.function(jit_compile=jit_compile)
    def gradient():
        with tf.GradientTape() as tape:
            value = penalty(lambda x: tf.reshape(x, (-1, 32)) @ kernel, REAL, FAKE)
        return tape.gradient(value, kernel)

    factor = 2 * 10.0 * (NORM - 1) / NORM if isinstance(penalty, GradientPenalty) else 2 * 0.5
    np.testing.assert_allclose(gradient(), factor * KERNEL, rtol=1e-4, atol=1e-5)


def test_a_flat_critic_has_a_finite_gradient():
    kernel = tf.Variable(tf.zeros((32, 1)))
    with tf.GradientTape() as tape:
        value = GradientPenalty(1.0)(lambda x: tf.reshape(x, (-1, 32)) @ kernel, REAL, FAKE)
    assert float(value) == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(tape.gradient(value, kernel).numpy()).all()


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`at` must be one of 'real', 'fake', 'both'"):
        ZeroCentred(at="between")
    with pytest.raises(ValueError, match="`every`"):
        GradientPenalty(every=0)
