import math

import keras
import numpy as np
import pytest

from recipes import physics, training
from recipes.burgers import VISCOSITY, Burgers

EQUATION = Burgers()


def test_the_reference_is_as_steep_as_the_literature_says():
    """Basdevant et al., Computers & Fluids 14, 1986, table 1: |u_x| = 152.00516 at x = 0, t = 1.6037 / π, its largest.

    They have u_t + u u_x = (0.01 / π) u_xx with the same values at the start and at both ends.
    """
    step, time = 1e-4, 1.6037 / math.pi
    x = np.array([-2.0, -1.0, 1.0, 2.0]) * step
    u = EQUATION.reference(x, np.full(4, time))
    slope = (u[0] - 8 * u[1] + 8 * u[2] - u[3]) / (12 * step)
    assert abs(abs(slope) - 152.00516) < 2e-3


def test_the_quadrature_is_exact(monkeypatch):
    """To 1e-10: twice the nodes, and more of the line, change nothing."""
    x, t = np.meshgrid(np.linspace(-1, 1, 17), np.linspace(0, 1, 9), indexing="ij")
    found = EQUATION.reference(x, t)
    monkeypatch.setattr("recipes.burgers.NODES", 10_001)
    monkeypatch.setattr("recipes.burgers.REACH", 16.0)
    np.testing.assert_allclose(EQUATION.reference(x, t), found, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[:, 0], -np.sin(np.pi * x[:, 0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[[0, -1]], 0, rtol=0, atol=1e-10)


def test_the_reference_solves_the_equation():
    step = 1e-3
    x, t = np.meshgrid(np.linspace(0.2, 0.9, 8), np.linspace(0.1, 0.9, 7), indexing="ij")
    at = lambda i, j: EQUATION.reference(x + i * step, t + j * step)  # noqa: E731
    by_t, by_x = (at(0, 1) - at(0, -1)) / (2 * step), (at(1, 0) - at(-1, 0)) / (2 * step)
    by_xx = (at(1, 0) - 2 * at(0, 0) + at(-1, 0)) / step**2
    assert np.abs(by_t + at(0, 0) * by_x - VISCOSITY * by_xx).max() < 1e-4


def test_initial_and_boundary_values_are_built_in():
    keras.utils.set_random_seed(0)
    network = EQUATION.network()
    x = np.linspace(-1, 1, 9)
    start = EQUATION.solution_of(network, keras.ops.convert_to_tensor(np.stack([x, 0 * x], axis=1)))
    np.testing.assert_allclose(start[:, 0], -np.sin(np.pi * x), atol=1e-15)
    for end in (-1.0, 1.0):
        points = np.stack([np.full(5, end), np.linspace(0, 1, 5)], axis=1)
        np.testing.assert_allclose(EQUATION.solution_of(network, keras.ops.convert_to_tensor(points)), 0, atol=1e-15)


def test_points_are_denser_at_the_shock_and_in_the_domain():
    data = EQUATION.load()
    x, t = data.train.T
    assert np.abs(x).max() <= 1
    assert 0 <= t.min() <= t.max() <= 1
    assert abs(np.mean(np.abs(x) < 0.1) - math.asinh(0.1 * math.sinh(4)) / 4) < 0.005
    assert not set(map(tuple, data.train)) & set(map(tuple, data.validation))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_it_comes_to_1e_4(tmp_path, seed):
    result, _ = training.train(Burgers(epochs=29, seed=seed), tmp_path / "run", verbose=0)
    assert result["outcome"] == "finished"
    assert result["error"] < 1e-4


def test_what_is_kept_is_the_solution_in_layers_of_keras(tmp_path):
    recipe = Burgers.from_preset("smoke")
    result, directory = training.train(recipe, tmp_path / "run", verbose=0)
    assert result["updates"] > 10  # both optimizers have had their turn
    model = keras.saving.load_model(directory / "model.keras")
    fields = np.load(directory / "fields.npz")
    x, t = np.meshgrid(fields["axis_0"], fields["axis_1"], indexing="ij")
    points = np.stack([x.ravel(), t.ravel()], axis=1)
    np.testing.assert_allclose(np.asarray(model(points)).reshape(x.shape), fields["solution"], atol=1e-14)
    error = np.linalg.norm(fields["solution"] - fields["reference"]) / np.linalg.norm(fields["reference"])
    assert math.isclose(result["error"], error, rel_tol=1e-12)
    assert list(fields["coordinates"]) == ["x", "t"]
    assert math.isclose(result["residual"], math.sqrt((fields["residual"] ** 2).mean()), rel_tol=1e-12)
    assert physics.judged(recipe, model).figures["error"] == result["error"]
