import keras

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.by_factor import ByFactor


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Soft(ByFactor):
    """Clips all gradients together smoothly: small ones hardly at all, large ones to a norm just below the bound.

    ```python
    g = g / (1 + norm / limit)
    ```

    The norm of the result is below `limit` for every gradient, half of it at `norm == limit`, and has no kink.

    Args:
        limit: float > 0, in units of the gradient.

    Reference:
        Zhang et al., Why gradient clipping accelerates training: a theoretical justification for adaptivity, 2019,
        arXiv:1905.11881 (clipped and smoothly normalised descent differ by constants only).

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import Soft
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=Soft(1.0))
    """

    arguments = ("limit",)

    def __init__(self, limit):
        self.limit = positive("Soft", "limit", limit)

    def factor(self, norm, state):
        return 1 / (1 + norm / self.limit), state
