import keras
from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_dtype


def global_norm(tensors):
    """Euclidean norm of all tensors together, in float32 or their own dtype, whichever is wider.

    It is right to rounding whenever that dtype can hold the norm, also where the sum of squares overflows or comes near
    underflow (in float32 a norm beyond 1e19 or below 1e-10): the tensors are then multiplied by a power of two first.
    It is infinite where the norm is too large for the dtype, as that of `[3e38, 3e38]` is for float32, infinite or NaN
    where a tensor is not finite, and 0 for tensors without entries.

    Args:
        tensors: list of dense tensors of any shapes.

    Returns:
        A scalar tensor.
    """
    return norm_from_squares(sums_of_squares(tensors), tensors)


def unconditional_norm(tensors):
    """`global_norm` without a condition, for which torch would wait for the device: the norm is computed both ways."""
    total = ops.sum(ops.stack(sums_of_squares(tensors)))
    return ops.where(_is_in_range(total), ops.sqrt(total), _rescaled_norm(_wide(tensors), total > 1))


def norms(tensors):
    """Euclidean norm of each tensor in float32: a list of scalars, infinite or 0 where the squares overflow or vanish.

    These norms are only shown. So each is spared the condition that `global_norm` has for what overflows or vanishes.
    """
    return [ops.cast(ops.sqrt(square), "float32") for square in sums_of_squares(tensors)]


def sums_of_squares(tensors):
    """The sum of squares of each tensor, in float32 or the dtype of all tensors, whichever is wider: a list."""
    return [backend_module().sum_of_squares(tensor) for tensor in _wide(tensors)]


def norm_from_squares(squares, tensors):
    """`global_norm(tensors)`, for which `sums_of_squares(tensors)` are known already."""
    total = ops.sum(ops.stack(squares))
    return ops.cond(_is_in_range(total), lambda: ops.sqrt(total), lambda: _rescaled_norm(_wide(tensors), total > 1))


def factor_to(norm, bound):
    """`min(1, bound / norm)` in the dtype of the norm; exactly 1 where `norm <= bound` in the dtype of the bound.

    They are compared in the dtype of the bound, since the bound may be an earlier norm in float64, kept in float32.
    """
    if isinstance(bound, float):
        bound = ops.convert_to_tensor(bound, norm.dtype)
    above, one = ops.cast(norm, bound.dtype) > bound, ops.ones_like(norm)
    return ops.where(above, ops.cast(bound, norm.dtype) / ops.where(above, norm, one), one)


def scaled(tensor, factor):
    """`tensor * factor` in the tensor's dtype, computed in the factor's, since the tensor's may not hold the factor."""
    return ops.cast(ops.cast(tensor, factor.dtype) * factor, tensor.dtype)


def _is_in_range(total):
    """Whether a sum of squares is right: squares that underflow are nothing beside 1e-20."""
    return ops.logical_and(ops.isfinite(total), total > 1e-20)


def _wide(tensors):
    return [ops.cast(tensor, wide_dtype(*tensors)) for tensor in tensors]


def _rescaled_norm(tensors, is_large):
    """The norm of tensors that are multiplied by a power of two first, or by its reciprocal if they are large.

    The power is chosen so that the square of no normal number of the dtype underflows, and the sum of 2 ** 30 squares
    of the largest number does not overflow. Dividing by the largest entry would do too, but not on JAX, which
    multiplies by the reciprocal instead, and treats a reciprocal below the normal numbers as 0.
    """
    dtype = tensors[0].dtype
    power = 2.0 ** (540 if keras.backend.standardize_dtype(dtype) == "float64" else 80)
    power, reciprocal = (ops.convert_to_tensor(number, dtype) for number in (power, 1 / power))
    up, down = ops.where(is_large, reciprocal, power), ops.where(is_large, power, reciprocal)
    squares = ops.sum(ops.stack([ops.sum(ops.square(tensor * up)) for tensor in tensors]))
    return ops.sqrt(squares) * down
