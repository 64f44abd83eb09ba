import typing

import keras
import numpy as np

AT_ONCE = 16_384  # points


class Judged(typing.NamedTuple):
    """How good a solution is: figures, and the fields that they are of."""

    figures: dict
    fields: dict  # arrays on the grid, and `coordinates` and `axis_0`, … that say where


def judged(equation, model):
    """Hold a solution against the reference on a grid.

    ```python
    error = norm(u - reference) / norm(reference)       # over all points of the grid
    ```

    Args:
        equation: `recipes.physics.Equation`.
        model: what its method `trained` gives.
    """
    network = _network(model)
    axes = [np.linspace(*ends, n) for ends, n in zip(equation.domain.values(), equation.grid, strict=True)]
    mesh = np.meshgrid(*axes, indexing="ij")
    points = np.stack([each.ravel() for each in mesh], axis=1)
    reference = np.asarray(equation.reference(*mesh), "float64")
    solution = _at(lambda part: equation.solution_of(network, part), points).reshape(reference.shape)
    residual = residuals(equation, model, points).reshape(reference.shape)
    figures = {
        "error": float(np.linalg.norm(solution - reference) / np.linalg.norm(reference)),
        "largest_error": float(np.abs(solution - reference).max()),
        "residual": float(np.sqrt((residual**2).mean())),
        "grid_points": len(points),
    }
    where = {f"axis_{i}": axis for i, axis in enumerate(axes)} | {"coordinates": np.array(list(equation.domain))}
    return Judged(figures, {"solution": solution, "reference": reference, "residual": residual, **where})


def residuals(equation, model, points):
    """The residual of a solution at points, an array `(n, 1)`.

    Args:
        equation: `recipes.physics.Equation`.
        model: what its method `model` or `trained` gives.
        points: array `(n, coordinates)`.
    """
    network = _network(model)
    return _at(lambda part: equation.residual_of(network, part), points)


def _network(model):
    """The network in a model of the residual, or in one of the solution."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Sequential))


def _at(function, points):
    """The values of a function of points, of some at once."""
    parts = np.split(points, range(AT_ONCE, len(points), AT_ONCE))
    return np.concatenate([keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(part))) for part in parts])
