import math

import keras
import numpy as np

from recipes import physics
from recipes.helmholtz import Helmholtz

EQUATION = Helmholtz()
POINTS = np.random.default_rng(0).uniform(-1, 1, (50, 2))


def test_the_reference_solves_the_equation_to_the_last_digits():
    """By derivatives that tests/backends/test_physics.py holds against each backend's own."""
    x, y = EQUATION.coordinates(keras.ops.convert_to_tensor(POINTS))
    u = physics.sin(math.pi * x) * physics.sin(4 * math.pi * y)
    np.testing.assert_allclose(u.value, EQUATION.reference(*POINTS.T)[:, None], atol=1e-14)
    np.testing.assert_allclose(EQUATION.residual(u, x, y), 0, atol=1e-11)


def test_it_is_zero_on_the_boundary():
    keras.utils.set_random_seed(0)
    network = EQUATION.network()
    for column, end in ((0, -1.0), (0, 1.0), (1, -1.0), (1, 1.0)):
        points = POINTS.copy()
        points[:, column] = end
        np.testing.assert_array_equal(EQUATION.solution_of(network, keras.ops.convert_to_tensor(points)), 0)
