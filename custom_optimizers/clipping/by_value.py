import keras
from keras import ops

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.clipper import Clipper


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ByValue(Clipper):
    """Clips every entry of every gradient to an interval.

    ```python
    g = clip(g, -limit, limit)
    ```

    This changes the direction of the gradient. A gradient with a NaN or an infinite entry is not used at all: the
    optimizer skips that update and counts it.

    Args:
        limit: float > 0, in units of the gradient.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ByValue
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=ByValue(0.5))
    """

    arguments = ("limit",)

    def __init__(self, limit):
        self.limit = positive("ByValue", "limit", limit)

    def clip(self, gradients, variables, state):
        return [ops.clip(g, -self.limit, self.limit) for g in gradients], state
