import keras
from keras import ops

from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class Wasserstein(Piece):
    """The difference of the mean outputs, for a discriminator whose slope a penalty or a normalisation bounds.

    ```python
    discriminator = mean(fake) - mean(real)
    generator = -mean(fake)
    ```

    `real` and `fake` are the discriminator's outputs for real and generated images, `(batch, 1)`; the results scalars.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv:1701.07875.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.losses import Wasserstein
    >>> float(Wasserstein().discriminator(ops.ones((2, 1)), ops.zeros((2, 1))))
    -1.0
    """

    compares = False
    is_zero_sum = True

    def discriminator(self, real, fake):
        """The discriminator's loss, a scalar, by its outputs for real and generated images, `(batch, 1)` each."""
        return ops.mean(fake) - ops.mean(real)

    def generator(self, real, fake):
        """The generator's loss, a scalar, by the same outputs; `real` is not used."""
        return -ops.mean(fake)
