import keras
from keras import ops

from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class Hinge(Piece):
    """The hinge loss, with a margin of 1.

    ```python
    discriminator = mean(relu(1 - real)) + mean(relu(1 + fake))
    generator = -mean(fake)
    ```

    `real` and `fake` are the discriminator's outputs for real and generated images, `(batch, 1)`; the results scalars.

    Reference:
        Lim and Ye, Geometric GAN, 2017, arXiv:1705.02894.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.losses import Hinge
    >>> float(Hinge().discriminator(ops.array([[2.0], [0.5]]), ops.array([[-3.0], [0.0]])))
    0.75
    """

    compares = False  # whether the generator's loss depends on real images
    is_zero_sum = False  # whether the generator's gradient is minus the discriminator's, with respect to its images

    def discriminator(self, real, fake):
        """The discriminator's loss, a scalar, by its outputs for real and generated images, `(batch, 1)` each."""
        return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))

    def generator(self, real, fake):
        """The generator's loss, a scalar, by the same outputs; `real` is not used."""
        return -ops.mean(fake)
