import keras
from keras import ops

from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class Relativistic(Piece):
    """The cross-entropy of the question which image of a pair is the real one.

    ```python
    discriminator = mean(softplus(fake - real))        # pair i: real image i, generated image i
    generator = mean(softplus(real - fake))
    ```

    `real` and `fake` are the discriminator's outputs for real and generated images, `(batch, 1)`, as many of each; the
    results scalars.

    Reference:
        Jolicoeur-Martineau, The relativistic discriminator, 2018, arXiv:1807.00734; with two penalties in Huang et al.,
        The GAN is dead; long live the GAN!, 2024, arXiv:2501.05441.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.losses import Relativistic
    >>> round(float(Relativistic().generator(ops.ones((2, 1)), ops.ones((2, 1)))), 4)  # log 2
    0.6931
    """

    compares = True
    is_zero_sum = False

    def discriminator(self, real, fake):
        """The discriminator's loss, a scalar, by its outputs for real and generated images, `(batch, 1)` each."""
        return ops.mean(ops.softplus(fake - real))

    def generator(self, real, fake):
        """The generator's loss, a scalar, by the same outputs."""
        return ops.mean(ops.softplus(real - fake))
