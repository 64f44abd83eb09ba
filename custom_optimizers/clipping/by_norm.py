import keras

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.clipping.norms import factor_to, global_norm, scaled


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ByNorm(Clipper):
    """Clips the gradient of each variable to a Euclidean norm of its own.

    ```python
    g = g * min(1, limit / norm(g))
    ```

    The norm is taken in float32 or the gradient's dtype, whichever is wider. A variable whose norm is at most `limit`
    keeps its gradient bit by bit. Between variables the direction changes; `ByGlobalNorm` keeps it.

    Args:
        limit: float > 0, in units of the gradient.

    Reference:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, arXiv:1211.5063.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ByNorm
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=ByNorm(1.0))
    """

    arguments = ("limit",)

    def __init__(self, limit):
        self.limit = positive("ByNorm", "limit", limit)

    def clip(self, gradients, variables, state):
        return [scaled(g, factor_to(global_norm([g]), self.limit)) for g in gradients], state
