import keras
from keras import layers

from recipes.gan.networks.conditions import judged, with_labels
from recipes.gan.networks.sides import SMALLEST, doublings_of
from recipes.gan.spectral_normalization import SpectralNormalization
from recipes.layers import FlippedConv2DTranspose, FusedBatchNormalization, FusedLeakyReLU, ThinConv2D


def generator(shape, latent_size, width, classes=0):
    """Noise to images, doubled in size by transposed convolutions.

    ```text
    dense 4 x 4 x 4 width, BN, ReLU;  convolution 4 x 4, transposed, stride 2, BN, ReLU for each doubling, of half the
    channels of the one before, `width` at the last;  convolution 3 x 3, tanh
    ```

    Args:
        shape: `(side, side, channels)` of the images; the side 4 times a power of 2.
        latent_size: int, numbers of noise.
        width: int, channels of the last doubling.
        classes: int; 0: no labels.

    Returns:
        A `keras.Model`.

    Reference:
        Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional generative adversarial
        networks, 2015, arXiv:1511.06434.
    """
    doublings = doublings_of("dcgan", shape)
    inputs, x = with_labels(keras.Input((latent_size,), name="noise"), classes)
    channels = width * 2 ** (doublings - 1)
    x = layers.Dense(SMALLEST * SMALLEST * channels, use_bias=False)(x)
    x = _activated(layers.Reshape((SMALLEST, SMALLEST, channels))(x))
    for _ in range(doublings):
        x = _activated(FlippedConv2DTranspose(channels, 4, 2, "same", use_bias=False)(x))
        channels = max(channels // 2, width)
    x = ThinConv2D(shape[-1], 3, padding="same")(x)
    return keras.Model(inputs, layers.Activation("tanh", dtype="float32")(x), name="generator")


def discriminator(shape, width, classes=0, normalization="spectral"):
    """Images to a number, halved in size by convolutions.

    ```text
    convolution 4 x 4, stride 2, LeakyReLU 0.2 for each halving down to 4 x 4, of `width` channels, then twice as many
    each time;  dense 1
    ```

    Args:
        shape: `(side, side, channels)` of the images; the side 4 times a power of 2.
        width: int, channels of the first convolution.
        classes: int; 0: no labels.
        normalization: "spectral" of all kernels, "batch" behind all convolutions but the first, or "none".

    Returns:
        A `keras.Model`.
    """
    images = keras.Input(shape, name="images")
    x, channels = images, width
    for number in range(doublings_of("dcgan", shape)):
        layer = ThinConv2D(channels, 4, 2, "same")
        x = (SpectralNormalization(layer) if normalization == "spectral" else layer)(x)
        if normalization == "batch" and number > 0:
            x = FusedBatchNormalization()(x)
        x = FusedLeakyReLU(0.2)(x)
        channels *= 2
    inputs, outputs = judged(images, layers.Flatten()(x), classes, normalization == "spectral")
    return keras.Model(inputs, outputs, name="discriminator")


def _activated(x):
    return layers.ReLU()(FusedBatchNormalization()(x))
