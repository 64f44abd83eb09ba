import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.clipping.norms import scaled
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.patterns import Patterns
from custom_optimizers.units import other_axes


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AGC(Clipper):
    """Adaptive gradient clipping: bounds the gradient of each unit by a share of the norm of its weights.

    ```python
    bound = limit * max(norm(w_unit), eps)
    g_unit = g_unit * min(1, bound / norm(g_unit))
    ```

    A unit is one output: a column of a Dense kernel, a filter of a convolution, a row of an embedding; a bias or a gain
    is one unit as a whole. Keras has outputs on the last axis and torch on the first: layers are told apart by their
    names in the path, and a transposed or depthwise convolution that was renamed counts as an ordinary one.

    Norms are taken in float32 or wider. The gradient of a unit at or below its bound is kept bit by bit; that of a unit
    whose squares overflow becomes 0.

    Args:
        limit: float > 0, the largest ratio of the two norms. The paper has 0.01 at a batch size of 4096 and takes more
            for smaller ones.
        eps: float > 0, the least norm of weights, so that weights of 0 can change.
        exclude: None or a list of regular expressions, such as `["head/"]`: a variable whose path has a match is not
            clipped. The paper does not clip the last layer. Which those are is saved with the optimizer.

    Raises:
        ValueError: an argument is out of its range; at the first update, an expression matches no variable.

    Reference:
        Brock, De, Smith and Simonyan, High-performance large-scale image recognition without normalization, 2021,
        arXiv:2102.06171.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import AGC
    >>> optimizer = BatchGD(learning_rate=0.1, momentum=0.9, clipping=AGC(0.01, exclude=["head/"]))
    """

    arguments = ("limit", "eps", "exclude")

    def __init__(self, limit=0.01, eps=1e-3, exclude=None):
        self.limit = positive("AGC", "limit", limit)
        self.eps = positive("AGC", "eps", eps)
        self.exclude = exclude
        self.patterns = [Patterns.of_list("AGC", "exclude", exclude)]

    def initial_state(self, variables):
        if not self.exclude:
            return ()
        excluded = self.patterns[0].by_index
        return (np.float32([index in excluded for index in range(len(variables))]),)

    def clip(self, gradients, variables, state):
        factors = [self._factor(g, v) for g, v in zip(gradients, variables, strict=True)]
        for excluded in state:
            factors = [ops.where(excluded[i] > 0, ops.ones_like(f), f) for i, f in enumerate(factors)]
        return [scaled(g, f) for g, f in zip(gradients, factors, strict=True)], state

    def _factor(self, gradient, variable):
        axes = other_axes(variable)
        norm = _norm_within(gradient, axes)
        bound = self.limit * ops.maximum(ops.cast(_norm_within(variable, axes), norm.dtype), self.eps)
        above = norm > bound
        return ops.where(above, bound / ops.where(above, norm, ops.ones_like(norm)), ops.ones_like(norm))


def _norm_within(tensor, axes):
    """Norms over some axes, which stay with length 1."""
    wide = ops.cast(tensor, wide_dtype(tensor))
    return ops.sqrt(ops.sum(ops.square(wide), axis=axes, keepdims=True))
