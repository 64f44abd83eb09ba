import keras
import numpy as np
from keras import layers, ops

from recipes.gan.networks.conditions import judged, with_labels
from recipes.gan.networks.sides import SMALLEST, doublings_of

SLOPE, GROUP = 0.2, 16  # slope of the activation below 0; channels of a group of a convolution
GAIN = np.sqrt(2 / (1 + SLOPE**2))  # with this factor the activation keeps the variance


def generator(shape, latent_size, width, classes=0):
    """Noise to images by residual blocks without normalisation.

    ```text
    learned 4 x 4 x width, each channel times a number of the noise;  block, doubled bilinearly, for each doubling;
    block;  convolution 1 x 1
    block: x + convolution 1 x 1 (act (convolution 3 x 3 in groups of 16 (act (convolution 1 x 1 to 2 width))))
    act: bias, LeakyReLU 0.2, times sqrt(2 / 1.04)
    ```

    The last convolution of a block is 0 at first, so each block begins as the identity. Images are not bounded.

    Args:
        shape: `(side, side, channels)` of the images; the side 4 times a power of 2.
        latent_size: int, numbers of noise.
        width: int, channels of all stages; a multiple of 8.
        classes: int; 0: no labels.

    Returns:
        A `keras.Model`.

    Reference:
        Huang et al., The GAN is dead; long live the GAN!, 2024, arXiv:2501.05441, whose network has two blocks a stage
        and 768 channels, and filters [1, 2, 1] where images change their size.
    """
    doublings = doublings_of("r3gan", shape)
    inputs, x = with_labels(keras.Input((latent_size,), name="noise"), classes)
    x = LearnedBasis()(layers.Dense(width, use_bias=False, kernel_initializer=_normal(1.0))(x))
    for _ in range(doublings):
        x = layers.UpSampling2D(2, interpolation="bilinear")(_block(x, width, doublings + 1))
    x = layers.Conv2D(shape[-1], 1, use_bias=False, kernel_initializer=_normal(1.0))(_block(x, width, doublings + 1))
    return keras.Model(inputs, layers.Activation("linear", dtype="float32")(x), name="generator")


def discriminator(shape, width, classes=0):
    """Images to a number by the same blocks.

    ```text
    convolution 1 x 1;  block, means of 2 x 2, for each halving down to 4 x 4;  block;  convolution 4 x 4, each channel
    by itself;  dense 1
    ```

    Args:
        shape: `(side, side, channels)` of the images; the side 4 times a power of 2.
        width: int, channels of all stages; a multiple of 8.
        classes: int; 0: no labels.

    Returns:
        A `keras.Model`.
    """
    halvings = doublings_of("r3gan", shape)
    images = keras.Input(shape, name="images")
    x = layers.Conv2D(width, 1, use_bias=False, kernel_initializer=_normal(1.0))(images)
    for _ in range(halvings):
        x = layers.AveragePooling2D(2)(_block(x, width, halvings + 1))
    x = layers.DepthwiseConv2D(SMALLEST, use_bias=False)(_block(x, width, halvings + 1))
    inputs, outputs = judged(images, layers.Flatten()(x), classes, is_normalized=False)
    return keras.Model(inputs, outputs, name="discriminator")


@keras.saving.register_keras_serializable(package="recipes")
class LearnedBasis(layers.Layer):
    """Makes images `(batch, 4, 4, channels)` of numbers `(batch, channels)`: number times a learned image a channel."""

    def build(self, input_shape):
        self.basis = self.add_weight(
            shape=(SMALLEST, SMALLEST, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(0.0, 1.0),
            name="basis",
        )

    def call(self, numbers):
        return numbers[:, None, None, :] * ops.cast(self.basis, numbers.dtype)


@keras.saving.register_keras_serializable(package="recipes")
class BiasedLeakyReLU(layers.Layer):
    """`leaky_relu(x + bias, 0.2) * sqrt(2 / 1.04)`, with one bias for each channel."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        x = x + ops.cast(self.bias, x.dtype)
        return ops.maximum(x, SLOPE * x) * ops.cast(GAIN, x.dtype)


@keras.saving.register_keras_serializable(package="recipes")
class SplitConv2D(layers.Conv2D):
    """`keras.layers.Conv2D` whose groups are convolutions one after the other.

    TensorFlow computes grouped convolutions on processors, and their gradients, hundreds of times slower.
    """

    def convolution_op(self, inputs, kernel):
        pairs = zip(ops.split(inputs, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        parts = [
            ops.conv(x, k, list(self.strides), self.padding, self.data_format, self.dilation_rate) for x, k in pairs
        ]
        return ops.concatenate(parts, -1)


def _block(x, width, blocks):
    """A residual block of a network that has this many blocks."""
    scale = GAIN * blocks**-0.25  # in a network of more blocks each adds less
    inner = 2 * width
    h = layers.Conv2D(inner, 1, use_bias=False, kernel_initializer=_normal(scale))(x)
    h = SplitConv2D(
        inner, 3, padding="same", groups=max(inner // GROUP, 1), use_bias=False, kernel_initializer=_normal(scale)
    )(BiasedLeakyReLU()(h))
    h = layers.Conv2D(width, 1, use_bias=False, kernel_initializer="zeros")(BiasedLeakyReLU()(h))
    return layers.Add()([x, h])


def _normal(gain):
    """Initializer of normal numbers with the standard deviation `gain / sqrt(fan_in)`."""
    return keras.initializers.VarianceScaling(float(gain) ** 2, "fan_in", "untruncated_normal")
