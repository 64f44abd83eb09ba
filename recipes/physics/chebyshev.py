"""Functions of -1 to 1 by their values at Chebyshev's points: derivatives, and values between."""

import numpy as np


def chebyshev(count):
    """Chebyshev's points and the matrix that differentiates.

    Args:
        count: int >= 2, intervals between the points.

    Returns:
        `(points, matrix)`: `(count + 1,)` from 1 down to -1, and `(count + 1, count + 1)`; `matrix @ values` are the
        values of the derivative, exact for polynomials of degree `count`.

    Reference:
        Trefethen, Spectral Methods in MATLAB, 2000, programme `cheb`.

    Example:

    >>> from recipes.physics import chebyshev
    >>> x, d = chebyshev(4)
    >>> bool(abs(d @ x**3 - 3 * x**2).max() < 1e-12)
    True
    """
    x = np.cos(np.pi * np.arange(count + 1) / count)
    c = np.array([2.0, *np.ones(count - 1), 2.0]) * (-1.0) ** np.arange(count + 1)
    matrix = np.outer(c, 1 / c) / (x[:, None] - x[None, :] + np.eye(count + 1))
    return x, matrix - np.diag(matrix.sum(axis=1))
