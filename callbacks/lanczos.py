"""The largest eigenvalue of a symmetric matrix that is known by its products with vectors alone."""

from typing import NamedTuple

import numpy as np

BASIS = 30  # vectors of the basis at most, float64: 240 bytes for each row of the matrix
KEPT = 10  # vectors that a restart keeps: those of the largest eigenvalues
LEADING = 3  # vectors that are returned: those of the largest eigenvalues
ROUNDING = 1e-6  # relative to the eigenvalue of largest magnitude; products in float32 are no more precise


class Eigenvalue(NamedTuple):
    """What `largest_eigenvalue` has found; `residual` is the norm of `H @ v - value * v`."""

    value: float
    residual: float
    products: int
    is_exact: bool  # whether the residual is within the tolerance
    leading: np.ndarray  # (at most `LEADING`, n), orthonormal: the last belongs to the value


def largest_eigenvalue(multiply, start, tolerance, max_products):
    """The algebraically largest eigenvalue, by the method of Lanczos.

    ```python
    V = orthonormal basis of start, H @ start, H @ H @ start, ...     # at most BASIS vectors
    value, y = last of eigh(V.T @ H @ V)
    residual = norm(H @ V @ y - value * V @ y)
    stop when residual <= max(tolerance * abs(value), ROUNDING * norm(V.T @ H @ V))
    ```

    An eigenvalue lies within `residual` of the value. Each vector is made orthogonal to all the others, so that no
    eigenvalue is found twice. A basis that is full is replaced by its `KEPT` leading eigenvectors (the thick restart of
    Wu and Simon, 2000): their entries of `V.T @ H @ V` beside the next vector come from its product.

    Args:
        multiply: function of a vector, float64 `(n,)`, that returns its product with the matrix.
        start: vector to begin with, not 0. It must not be orthogonal to the eigenvector of the largest eigenvalue; a
            random vector is not.
        tolerance: float > 0.
        max_products: int >= 1, products at most.

    Returns:
        An `Eigenvalue`. Its value is NaN if a product is not finite.
    """
    size = min(BASIS, start.size)
    basis, projected = np.empty((size, start.size)), np.zeros((size, size))  # V with a vector in each row; V.T @ H @ V
    vector, count = start / np.linalg.norm(start), 0
    for products in range(1, max_products + 1):
        basis[count] = vector
        count += 1
        known = basis[:count]
        product = multiply(vector)
        if not np.all(np.isfinite(product)):
            return Eigenvalue(np.nan, np.nan, products, False, known[:0])
        projected[count - 1, :count] = projected[:count, count - 1] = known @ product
        rest = _orthogonal(product, known)
        length = np.linalg.norm(rest)
        values, vectors = np.linalg.eigh(projected[:count, :count])
        residual = length * abs(vectors[-1, -1])
        is_exact = residual <= max(tolerance * abs(values[-1]), ROUNDING * abs(values).max())
        if is_exact or count == start.size or products == max_products:  # n vectors span the whole space
            break
        if count == size:
            count = KEPT
            basis[:count] = vectors[:, -count:].T @ basis
            projected[:count, :count] = np.diag(values[-count:])
        vector = rest / length
    leading = vectors[:, -LEADING:].T @ known
    return Eigenvalue(float(values[-1]), float(residual), products, bool(is_exact or count == start.size), leading)


def _orthogonal(vector, basis):
    """The part of a vector that is orthogonal to a basis.

    The basis is projected out twice: after the first time, rounding errors may be large beside the part that is left.
    """
    for _ in range(2):
        vector = vector - basis.T @ (basis @ vector)
    return vector
