import keras
import numpy as np
from scipy import integrate

from recipes.allen_cahn import DIFFUSION, REACTION, AllenCahn

EQUATION = AllenCahn()


def by_differences(intervals, times):
    """The solution by differences of order 2 on an even grid, which shares nothing with the reference."""
    x = np.linspace(-1, 1, intervals + 1)

    def slope(_, u):
        whole = np.concatenate([[-1], u, [-1]])
        return DIFFUSION * np.diff(whole, 2) * (intervals / 2) ** 2 + REACTION * (u - u**3)

    found = integrate.solve_ivp(
        slope, (0, 1), (x**2 * np.cos(np.pi * x))[1:-1], "LSODA", t_eval=times, rtol=1e-9, atol=1e-11, lband=1, uband=1
    )
    return x, np.vstack([-np.ones(len(times)), found.y, -np.ones(len(times))])


def test_the_reference_is_that_of_differences():
    times = np.linspace(0, 1, 5)
    (x, coarse), (_, fine) = by_differences(800, times), by_differences(1600, times)
    extrapolated = (4 * fine[::2] - coarse) / 3  # by Richardson, of order 4
    mesh = np.meshgrid(x[::16], times, indexing="ij")
    np.testing.assert_allclose(EQUATION.reference(*mesh), extrapolated[::16], rtol=0, atol=2e-6)


def test_the_reference_is_exact(monkeypatch):
    mesh = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(0, 1, 5), indexing="ij")
    found = EQUATION.reference(*mesh)
    monkeypatch.setattr("recipes.allen_cahn.DEGREE", 896)
    np.testing.assert_allclose(EQUATION.reference(*mesh), found, rtol=0, atol=1e-8)


def test_initial_and_boundary_values_are_built_in():
    keras.utils.set_random_seed(0)
    network = EQUATION.network()
    x = np.linspace(-1, 1, 9)
    start = EQUATION.solution_of(network, keras.ops.convert_to_tensor(np.stack([x, 0 * x], axis=1)))
    np.testing.assert_allclose(start[:, 0], x**2 * np.cos(np.pi * x), atol=1e-15)
    for end in (-1.0, 1.0):
        points = np.stack([np.full(5, end), np.linspace(0, 1, 5)], axis=1)
        np.testing.assert_allclose(EQUATION.solution_of(network, keras.ops.convert_to_tensor(points)), -1, atol=1e-15)
