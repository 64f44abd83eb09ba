import keras
from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_dtype


def global_norm(tensors):
    """Euclidean norm of all tensors together, in float32 or their own dtype, whichever is wider.

    It is right to rounding whenever the norm itself is a number of that dtype, also where the sum of squares overflows
    or comes near underflow (in float32 a norm beyond 1e19 or below 1e-10): the tensors are then multiplied by a power
    of two first. It is infinite where the norm is beyond the dtype, as that of `[3e38, 3e38]` is in float32, infinite
    or NaN where a tensor is not finite, and 0 for tensors without entries.

    Args:
        tensors: list of dense tensors of any shapes.

    Returns:
        A scalar tensor.
    """
    return norm_from_squares(sums_of_squares(tensors), tensors)


def norms(tensors):
    """Euclidean norm of each tensor in float32: a list of scalars, infinite or 0 where the squares overflow or vanish.

    These are for looking at: what `global_norm` does beyond 1e19 and below 1e-19 is not worth a condition for each.
    """
    return [ops.cast(ops.sqrt(square), "float32") for square in sums_of_squares(tensors)]


def sums_of_squares(tensors):
    """The sum of squares of each tensor, in float32 or the dtype of all tensors, whichever is wider: a list."""
    return [backend_module().sum_of_squares(tensor) for tensor in _wide(tensors)]


def norm_from_squares(squares, tensors):
    """`global_norm(tensors)`, for which `sums_of_squares(tensors)` are known already."""
    total = ops.sum(ops.stack(squares))
    in_range = ops.logical_and(ops.isfinite(total), total > 1e-20)  # what underflows beside it is nothing
    return ops.cond(in_range, lambda: ops.sqrt(total), lambda: _rescaled_norm(_wide(tensors), total > 1))


def factor_to(norm, bound):
    """`min(1, bound / norm)` in the dtype of the norm; exactly 1 where `norm <= bound` in the dtype of the bound.

    A bound that is kept in float32 may be a norm that was float64.
    """
    if isinstance(bound, float):
        bound = ops.convert_to_tensor(bound, norm.dtype)
    above, one = ops.cast(norm, bound.dtype) > bound, ops.ones_like(norm)
    return ops.where(above, ops.cast(bound, norm.dtype) / ops.where(above, norm, one), one)


def scaled(tensor, factor):
    """`tensor * factor` in the tensor's dtype. The product is taken in the factor's, which may be out of its range."""
    return ops.cast(ops.cast(tensor, factor.dtype) * factor, tensor.dtype)


def _wide(tensors):
    return [ops.cast(tensor, wide_dtype(*tensors)) for tensor in tensors]


def _rescaled_norm(tensors, is_large):
    """The norm of tensors that are multiplied by a power of two first, one over it if they are large.

    The power brings the squares of all normal numbers of the dtype to where none underflows, and where 2 ** 30 of the
    largest do not overflow. A quotient by the largest entry would do the same, but not on JAX, which multiplies by the
    reciprocal instead and takes one below the normal numbers for 0.
    """
    dtype = tensors[0].dtype
    power = 2.0 ** (540 if keras.backend.standardize_dtype(dtype) == "float64" else 80)
    power, reciprocal = (ops.convert_to_tensor(number, dtype) for number in (power, 1 / power))
    up, down = ops.where(is_large, reciprocal, power), ops.where(is_large, power, reciprocal)
    squares = ops.sum(ops.stack([ops.sum(ops.square(tensor * up)) for tensor in tensors]))
    return ops.sqrt(squares) * down
