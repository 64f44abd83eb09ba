import keras
from keras import ops

from custom_optimizers.arguments import count, number_in
from recipes.gan.penalties.input_gradients import input_gradients, squared_norms
from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class GradientPenalty(Piece):
    """Keeps the discriminator's slope near 1 between real and generated images.

    ```python
    a = uniform(0, 1)                                           # drawn for each image
    between = a * real + (1 - a) * fake
    penalty = weight * mean((norm(gradient(D, between)) - 1) ** 2)
    ```

    Args:
        weight: float >= 0.
        every: int >= 1. The penalty is taken once in `every` steps of the discriminator, and multiplied by `every`.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Gulrajani et al., Improved training of Wasserstein GANs, 2017, arXiv:1704.00028. Taken once in several steps:
        Karras et al., Analyzing and improving the image quality of StyleGAN, 2020, arXiv:1912.04958.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.penalties import GradientPenalty
    >>> images = ops.ones((2, 2, 2, 1))
    >>> def slope_of_four(x):
    ...     return ops.sum(2 * x, axis=(1, 2, 3))[:, None]                # 2 by each of four pixels
    >>> float(GradientPenalty(weight=10.0)(slope_of_four, images, images))  # 10 * (4 - 1) ** 2
    90.0
    """

    arguments = ("weight", "every")

    def __init__(self, weight=10.0, every=1):
        self.weight = number_in("GradientPenalty", "weight", weight, least=0)
        self.every = count("GradientPenalty", "every", every)

    def __call__(self, discriminator, real, fake, seed=None):
        """The penalty of a batch: a scalar.

        Args:
            discriminator: function of images that returns an output for each.
            real, fake: tensors, `(batch, height, width, channels)`.
            seed: int or `keras.random.SeedGenerator`.
        """
        share = keras.random.uniform((ops.shape(real)[0], 1, 1, 1), dtype=real.dtype, seed=seed)
        gradients = input_gradients(discriminator, share * real + (1 - share) * fake)
        slopes = ops.sqrt(squared_norms(gradients) + 1e-12)  # the derivative of sqrt is infinite at 0
        return self.weight * ops.mean(ops.square(slopes - 1))
