from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_dtype


def global_norm(tensors):
    """Euclidean norm of all tensors together, in float32 or their own dtype, whichever is wider.

    Finite for every finite input, NaN for any other: where the sum of squares overflows or comes near underflow
    (entries beyond 1e19 or all below 1e-15 in float32), the tensors are divided by their largest entry first.

    Args:
        tensors: list of dense tensors of any shapes.

    Returns:
        A scalar tensor.
    """
    return norm_from_squares(sums_of_squares(tensors), tensors)


def norms(tensors):
    """Euclidean norm of each tensor in float32: a list of scalars, infinite where the squares overflow."""
    return [ops.cast(ops.sqrt(square), "float32") for square in sums_of_squares(tensors)]


def sums_of_squares(tensors):
    """The sum of squares of each tensor, in float32 or the dtype of all tensors, whichever is wider: a list."""
    return [backend_module().sum_of_squares(tensor) for tensor in _wide(tensors)]


def norm_from_squares(squares, tensors):
    """`global_norm(tensors)`, for which `sums_of_squares(tensors)` are known already."""
    total = ops.sum(ops.stack(squares))
    in_range = ops.logical_and(ops.isfinite(total), total > 1e-30)
    return ops.cond(in_range, lambda: ops.sqrt(total), lambda: _rescaled_norm(_wide(tensors)))


def factor_to(norm, bound):
    """`min(1, bound / norm)`, in the dtype of the norm; exactly 1 where `norm <= bound`."""
    bound = ops.convert_to_tensor(bound, norm.dtype) if isinstance(bound, float) else ops.cast(bound, norm.dtype)
    above = norm > bound
    return ops.where(above, bound / ops.where(above, norm, ops.ones_like(norm)), ops.ones_like(norm))


def scaled(tensor, factor):
    """`tensor * factor` in the tensor's dtype. The product is taken in the factor's, which may be out of its range."""
    return ops.cast(ops.cast(tensor, factor.dtype) * factor, tensor.dtype)


def _wide(tensors):
    return [ops.cast(tensor, wide_dtype(*tensors)) for tensor in tensors]


def _rescaled_norm(tensors):
    largest = ops.max(ops.stack([ops.max(ops.abs(tensor)) for tensor in tensors]))
    unit = ops.where(largest > 0, largest, ops.ones_like(largest))
    squares = ops.sum(ops.stack([ops.sum(ops.square(tensor / unit)) for tensor in tensors]))
    return largest * ops.sqrt(squares)
