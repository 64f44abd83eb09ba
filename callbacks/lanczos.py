"""The largest eigenvalue of a symmetric matrix that is known by its products with vectors alone."""

from typing import NamedTuple

import numpy as np

BASIS = 30  # vectors that are kept, float64: 240 bytes for each row of the matrix
KEPT = 10  # of them after a restart, those of the largest eigenvalues
LEADING = 3  # of them that are returned
ROUNDING = 1e-6  # of the eigenvalue of largest size: more than products in float32 tell


class Eigenvalue(NamedTuple):
    """What `largest_eigenvalue` has found; `residual` is the norm of `H @ v - value * v`."""

    value: float
    residual: float
    products: int
    is_exact: bool  # to the tolerance
    leading: np.ndarray  # (at most `LEADING`, n), orthonormal: the last belongs to the value


def largest_eigenvalue(times, start, tolerance, most):
    """The algebraically largest eigenvalue, by the method of Lanczos.

    ```python
    V = orthonormal basis of start, H @ start, H @ H @ start, ...     # at most BASIS vectors
    value, y = last of eigh(V.T @ H @ V)
    residual = norm(H @ V @ y - value * V @ y)
    stop when residual <= max(tolerance * abs(value), ROUNDING * norm(V.T @ H @ V))
    ```

    An eigenvalue lies within `residual` of the value. Each vector is made orthogonal to all the others, so that no
    eigenvalue is found twice. A basis that is full is replaced by its `KEPT` leading eigenvectors (the thick restart of
    Wu and Simon, 2000): what they have in common with the next vector comes out of its product.

    Args:
        times: function of a vector, float64 `(n,)`: its product with the matrix.
        start: vector to begin with, not 0. It needs some of the eigenvector that is looked for: a random one has.
        tolerance: float > 0.
        most: int >= 1, products at most.

    Returns:
        An `Eigenvalue`. Its value is not a number if a product has one that is none.
    """
    size = min(BASIS, start.size)
    basis, projected = np.empty((size, start.size)), np.zeros((size, size))  # V, a vector a row, and V.T @ H @ V
    vector, count = start / np.linalg.norm(start), 0
    for products in range(1, most + 1):
        basis[count] = vector
        count += 1
        known = basis[:count]
        product = times(vector)
        if not np.all(np.isfinite(product)):
            return Eigenvalue(np.nan, np.nan, products, False, known[:0])
        projected[count - 1, :count] = projected[:count, count - 1] = known @ product
        rest = _orthogonal(product, known)
        length = np.linalg.norm(rest)
        values, vectors = np.linalg.eigh(projected[:count, :count])
        residual = length * abs(vectors[-1, -1])
        is_exact = residual <= max(tolerance * abs(values[-1]), ROUNDING * abs(values).max())
        if is_exact or count == start.size or products == most:  # n vectors span everything
            break
        if count == size:
            count = KEPT
            basis[:count] = vectors[:, -count:].T @ basis
            projected[:count, :count] = np.diag(values[-count:])
        vector = rest / length
    leading = vectors[:, -LEADING:].T @ known
    return Eigenvalue(float(values[-1]), float(residual), products, bool(is_exact or count == start.size), leading)


def _orthogonal(vector, basis):
    """What a vector has beyond a basis; twice, since what is left may be little beside the rounding of the first."""
    for _ in range(2):
        vector = vector - basis.T @ (basis @ vector)
    return vector
