import keras
from keras import ops

from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class NonSaturating(Piece):
    """The cross-entropy of the first GANs, with the loss of the generator that does not saturate.

    ```python
    discriminator = mean(softplus(-real)) + mean(softplus(fake))
    generator = mean(softplus(-fake))
    ```

    `real` and `fake` are the discriminator's outputs for real and generated images, `(batch, 1)`, logits; the results
    scalars.

    Reference:
        Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.losses import NonSaturating
    >>> round(float(NonSaturating().discriminator(ops.zeros((2, 1)), ops.zeros((2, 1)))), 4)  # 2 log 2
    1.3863
    """

    compares = False
    is_zero_sum = False

    def discriminator(self, real, fake):
        """The discriminator's loss, a scalar, by its outputs for real and generated images, `(batch, 1)` each."""
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator(self, real, fake):
        """The generator's loss, a scalar, by the same outputs; `real` is not used."""
        return ops.mean(ops.softplus(-fake))
