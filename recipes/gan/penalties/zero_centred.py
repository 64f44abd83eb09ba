import keras
from keras import ops

from custom_optimizers.arguments import count, number_in, one_of
from recipes.gan.penalties.input_gradients import input_gradients, squared_norms
from recipes.gan.piece import Piece

WHERE = ("real", "fake", "both")


@keras.saving.register_keras_serializable(package="recipes")
class ZeroCentred(Piece):
    """Keeps the discriminator's slope near 0 at real images (R1), at generated ones (R2), or at both.

    ```python
    penalty = gamma / 2 * mean(norm(gradient(D, images)) ** 2)
    ```

    Args:
        gamma: float >= 0.
        at: "real", "fake" or "both"; the penalties at both are added.
        every: int >= 1. The penalty is taken once in `every` steps of the discriminator, and multiplied by `every`.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Mescheder, Geiger and Nowozin, Which training methods for GANs do actually converge?, 2018, arXiv:1801.04406.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.penalties import ZeroCentred
    >>> images = ops.ones((2, 2, 2, 1))
    >>> def slope_of_four(x):
    ...     return ops.sum(2 * x, axis=(1, 2, 3))[:, None]
    >>> float(ZeroCentred(gamma=0.5)(slope_of_four, images, images))  # 0.5 / 2 * 4 ** 2
    4.0
    """

    arguments = ("gamma", "at", "every")

    def __init__(self, gamma=0.05, at="real", every=1):
        self.gamma = number_in("ZeroCentred", "gamma", gamma, least=0)
        self.at = one_of("ZeroCentred", "at", at, WHERE)
        self.every = count("ZeroCentred", "every", every)

    def __call__(self, discriminator, real, fake, seed=None):
        """The penalty of a batch: a scalar. The arguments are those of `GradientPenalty`; `seed` is not used."""
        where = {"real": [real], "fake": [fake], "both": [real, fake]}[self.at]
        norms = [ops.mean(squared_norms(input_gradients(discriminator, images))) for images in where]
        return self.gamma / 2 * sum(norms)
