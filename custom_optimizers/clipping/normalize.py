import keras

from custom_optimizers.arguments import one_of, positive
from custom_optimizers.clipping.by_factor import ByFactor
from custom_optimizers.clipping.norms import global_norm, scaled
from custom_optimizers.scaled_gradients import ScaledGradients


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Normalize(ByFactor):
    """Divides gradients by their Euclidean norm: the learning rate alone says how long a step is.

    ```python
    g = g / (norm(all gradients) + eps)          # per="model"
    g = g / (norm(g) + eps)                      # per="variable"
    ```

    No other clipper here makes small gradients larger. `ByGlobalNorm` with a limit far below the usual norm gives all
    large gradients the same length, and leaves the small ones as they are.

    Args:
        per: "model" keeps the direction of the whole gradient, "variable" gives each variable a step of
            the same length.
        eps: float > 0, in units of the gradient's norm.

    Reference:
        Hazan, Levy and Shalev-Shwartz, Beyond convexity: stochastic quasi-convex optimization, 2015, arXiv:1507.02030.
        Jelassi et al., Dissecting adaptive methods in GANs, 2022, arXiv:2210.04319 (per variable).

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import Normalize
    >>> optimizer = BatchGD(learning_rate=0.01, momentum=0.9, clipping=Normalize())
    """

    arguments = ("per", "eps")

    def __init__(self, per="model", eps=1e-8):
        self.per = one_of("Normalize", "per", per, ("model", "variable"))
        self.eps = positive("Normalize", "eps", eps)

    def factor(self, norm, state):
        return 1 / (norm + self.eps), state

    def clip_scaled(self, gradients, variables, state):
        if self.per == "model":
            return super().clip_scaled(gradients, variables, state)
        whole = gradients.multiplied_out()
        return ScaledGradients([scaled(g, 1 / (global_norm([g]) + self.eps)) for g in whole]), state
