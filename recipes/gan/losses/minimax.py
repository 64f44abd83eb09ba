import keras
from keras import ops

from recipes.gan.piece import Piece


@keras.saving.register_keras_serializable(package="recipes")
class Minimax(Piece):
    """The zero-sum game of the theory of GANs. A generator whose images are all recognised has almost no gradient.

    ```python
    discriminator = mean(softplus(-real)) + mean(softplus(fake))
    generator = -mean(softplus(fake))                                # mean(log(1 - sigmoid(fake)))
    ```

    `real` and `fake` are the discriminator's outputs for real and generated images, `(batch, 1)`, logits; the results
    scalars. `NonSaturating` is what trains in practice.

    Reference:
        Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661, equation 1.

    Example:

    >>> from keras import ops
    >>> from recipes.gan.losses import Minimax
    >>> round(float(Minimax().generator(ops.zeros((2, 1)), ops.zeros((2, 1)))), 4)  # -log 2
    -0.6931
    """

    compares = False
    is_zero_sum = True

    def discriminator(self, real, fake):
        """The discriminator's loss, a scalar, by its outputs for real and generated images, `(batch, 1)` each."""
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator(self, real, fake):
        """The generator's loss, a scalar, by the same outputs; `real` is not used."""
        return -ops.mean(ops.softplus(fake))
