import keras

from custom_optimizers.arguments import positive
from custom_optimizers.clipping.by_factor import ByFactor
from custom_optimizers.clipping.norms import factor_to


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ByGlobalNorm(ByFactor):
    """Clips all gradients together to a Euclidean norm, keeping their direction.

    ```python
    norm = sqrt(sum(sum(g ** 2) for g in gradients))
    g = g * min(1, limit / norm)
    ```

    The norm is taken in float32 or the gradients' dtype, whichever is wider. Gradients whose norm is at most `limit`
    are kept bit by bit. A gradient with a NaN or an infinite entry is not used at all: the optimizer skips that
    update and counts it.

    Args:
        limit: float > 0, in units of the gradient. Full-batch training of a ResNet-18 on CIFAR-10 used 0.25
            (Geiping et al., Stochastic training is not necessary for generalization, 2022, arXiv:2109.14119).

    Reference:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, arXiv:1211.5063.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ByGlobalNorm
    >>> optimizer = BatchGD(learning_rate=0.1, clipping=ByGlobalNorm(1.0))
    """

    arguments = ("limit",)

    def __init__(self, limit):
        self.limit = positive("ByGlobalNorm", "limit", limit)

    def factor(self, norm, state):
        return factor_to(norm, self.limit), state
