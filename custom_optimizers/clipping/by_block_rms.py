import keras

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.clipping.norms import factor_to, global_norm, scaled


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ByBlockRMS(Clipper):
    """Clips the gradient of each variable to a root mean square of its entries.

    ```python
    g = g / max(1, sqrt(mean(g ** 2)) / limit)
    ```

    This is `ByNorm` with a bound that grows with the square root of a variable's size, so that one bound fits kernels
    and biases. A variable whose root mean square is at most `limit` keeps its gradient bit by bit.

    Args:
        limit: float > 0, in units of a single entry of the gradient.

    Reference:
        Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost, 2018, arXiv:1804.04235
        (section 6, update clipping).

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ByBlockRMS
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=ByBlockRMS(0.01))
    """

    arguments = ("limit",)

    def __init__(self, limit):
        self.limit = positive("ByBlockRMS", "limit", limit)

    def clip(self, gradients, variables, state):
        return [scaled(g, factor_to(global_norm([g]), self.limit * _root_of_size(g))) for g in gradients], state


def _root_of_size(tensor):
    size = 1
    for length in tensor.shape:
        size *= length
    return size**0.5
