"""Functions of tensors that take NumPy's arrays and numbers too, and then compute with NumPy.

Line searches, directions and other arithmetic with a few numbers are written with these, and with operators: `a + b`,
`abs(a)`, `a < b`, `a & b`, `~a`. So they can be a part of compiled code; and where numbers are at hand, on a processor,
they cost a fraction of what as many operations on tensors do.
"""

import numpy as np
from keras import ops

from custom_optimizers.backend import backend_module

NUMPY = np.ndarray, np.generic
ROWS = 64  # of a matrix that are changed at once


def number(value):
    """A tensor or a NumPy number as it is; a number of Python as one of NumPy, in float64."""
    return np.float64(value) if isinstance(value, (int, float)) else value


def where(condition, one, other):
    """`one` where the condition holds, else `other`."""
    if isinstance(condition, (bool, np.bool_)):
        return one if condition else other
    return (np if isinstance(condition, np.ndarray) else ops).where(condition, one, other)


def chosen(condition, one, other):
    """`where`, for tuples of numbers."""
    return tuple(where(condition, a, b) for a, b in zip(one, other, strict=True))


def unless(is_needless, function, instead):
    """What a function of no arguments returns; `instead` where a number says that it does not matter.

    Tensors do not say it before they are computed: then the function is called.
    """
    return instead if isinstance(is_needless, (bool, np.bool_)) and is_needless else function()


def larger(a, b):
    """The larger of two numbers; `maximum` of Keras makes float32 of float64 on torch."""
    return where(a > b, a, b)


def smaller(a, b):
    """The smaller of two numbers."""
    return where(a < b, a, b)


def clip(value, low, high):
    """A number between two others; `low` for NaN."""
    return smaller(larger(value, low), high)


def isfinite(value):
    """Whether a number is neither infinite nor NaN."""
    return _module(value).isfinite(value)


def sqrt(value):
    """The square root of a number."""
    return _module(value).sqrt(value)


def sign(value):
    """1, 0 or -1."""
    return _module(value).sign(value)


def zeros_like(value):
    """Zeros of the dtype and the shape of other numbers."""
    return value.dtype.type(0) if isinstance(value, np.generic) else _module(value).zeros_like(value)


def cast(value, like):
    """A number or a condition in the dtype of another number."""
    return np.asarray(value, like.dtype)[()] if isinstance(like, NUMPY) else ops.cast(value, like.dtype)


def stack(values, like):
    """Numbers as a vector of the dtype of another tensor or number."""
    if isinstance(like, NUMPY):
        return np.array(values, like.dtype)
    return ops.stack([ops.cast(value, like.dtype) for value in values])


def joined(arrays, axis=0):
    """Arrays one after the other along an axis that they have."""
    return _module(arrays[0]).concatenate(arrays, axis=axis)


def side_by_side(vectors, axis=0):
    """Vectors as the rows of a matrix, or with `axis=1` as its columns."""
    return _module(vectors[0]).stack(vectors, axis=axis)


def unstack(vector):
    """The numbers of a vector, a list."""
    return list(vector) if isinstance(vector, np.ndarray) else ops.unstack(vector)


def positions(values):
    """The whole numbers from 0 on, one for each entry or row."""
    return _module(values).arange(values.shape[0], dtype="int32")


def take(values, indices, axis=0):
    """Entries, rows or columns of an array."""
    return _module(values).take(values, indices, axis=axis)


def reshape(values, shape):
    """An array in another shape."""
    return _module(values).reshape(values, shape)


def sum_of(values):
    """The sum of all entries."""
    return _module(values).sum(values)


def transpose(matrix):
    """A matrix with its rows as columns."""
    return _module(matrix).transpose(matrix)


def dot(a, b):
    """The product of two vectors, or of a matrix and a vector or a matrix."""
    is_known = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    return a @ b if is_known else backend_module().dot(a, b)


def with_row(matrix, row, values, when):
    """A matrix with other values in one row where a condition holds; NumPy and torch change the matrix itself."""
    if not isinstance(matrix, np.ndarray):
        return backend_module().with_row(matrix, row, values, when)
    if when:
        matrix[row] = values
    return matrix


def added_if(when, matrix, scale, diagonal, mix, rows):
    """`scale * matrix + rows.T @ mix @ rows`, and a number added to its diagonal, where a condition holds.

    Args:
        when: condition; where it does not hold, the matrix stays as it is, and hardly any time is taken.
        matrix: `(n, n)`; NumPy and torch change it itself.
        scale, diagonal: numbers.
        mix: `(m, m)`, symmetric.
        rows: `(m, n)`.
    """
    if not isinstance(matrix, np.ndarray):
        return backend_module().added_if(when, matrix, scale, diagonal, mix, rows)
    if not when:
        return matrix
    right, n = mix @ rows, len(matrix)
    for begin in range(0, n, ROWS):  # what is added to these rows stays in the cache
        part = matrix[begin : begin + ROWS]
        part *= scale
        part += rows[:, begin : begin + ROWS].T @ right
    matrix.flat[:: n + 1] += diagonal
    return matrix


def _module(value):
    return np if isinstance(value, NUMPY) else ops
