import math

import keras
from keras import ops

from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.units import other_axes


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Centralize(Clipper):
    """Takes the mean out of the gradient of each unit of a kernel.

    ```python
    g_unit = g_unit - mean(g_unit)
    ```

    A unit is one output: a column of a Dense kernel, a filter of a convolution. Biases and gains are left alone. This
    is a projection: it bounds no norm, and raises none. Layers are told apart as `AGC` does.

    Reference:
        Yong, Huang, Hua and Zhang, Gradient centralization: a new optimization technique for deep neural networks,
        2020, arXiv:2004.01461.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ByGlobalNorm, Centralize
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=[Centralize(), ByGlobalNorm(1.0)])
    """

    def clip(self, gradients, variables, state):
        return [_centred(g, other_axes(v)) for g, v in zip(gradients, variables, strict=True)], state


def _centred(gradient, axes):
    if len(gradient.shape) < 2:
        return gradient
    wide = ops.cast(gradient, wide_dtype(gradient))  # in float16 a summand may vanish
    size = max(math.prod(gradient.shape[axis] for axis in axes), 1)
    mean = ops.sum(wide / size, axis=axes, keepdims=True)  # the sum alone may overflow
    return ops.cast(wide - mean, gradient.dtype)
