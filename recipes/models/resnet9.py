import keras
from keras import layers

from recipes.layers import FusedBatchNormalization, PackedConv2D


def resnet9(
    input_shape,
    classes,
    regularizer=None,
    *,
    normalize=((0.0,), (1.0,)),
    widths=(64, 128, 256, 512),
    activation="relu",
):
    """ResNet-9 of the DAWNBench runs on CIFAR-10: 6.57 million parameters at 32×32×3.

    ```text
    convolve = convolution 3×3 without bias, batch normalisation, activation

    normalisation, convolve 64
    convolve 128, max pooling 2×2, and x + convolve(convolve(x))
    convolve 256, max pooling 2×2
    convolve 512, max pooling 2×2, and x + convolve(convolve(x))
    the largest over positions, dense without bias, logits / 8
    ```

    Args:
        input_shape: `(height, width, channels)` of images with values 0..255, at least 8×8.
        classes: int, number of classes.
        regularizer: `keras.regularizers.Regularizer` of the kernels, or None.
        normalize: `(mean, standard deviation)` of the images by channel, two sequences.
        widths: four channel numbers.
        activation: as `keras.layers.Activation` takes it.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32.

    Reference:
        Page, How to train your ResNet, 2018 to 2019; Coleman et al., DAWNBench, 2017.
    """
    mean, deviation = ([float(each) for each in values] for values in normalize)
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # torch's default

    def convolve(x, width, pool=False):
        x = PackedConv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=uniform.clone(),
            kernel_regularizer=regularizer,
        )(x)
        x = layers.Activation(activation)(FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(x))
        return layers.MaxPooling2D()(x) if pool else x

    inputs = keras.Input(input_shape, name="images")
    offsets = [-m / d for m, d in zip(mean, deviation, strict=True)]
    x = layers.Rescaling([1 / d for d in deviation], offsets, dtype="float32")(inputs)
    x = convolve(x, widths[0])
    for width, is_residual in zip(widths[1:], (True, False, True), strict=True):
        x = convolve(x, width, pool=True)
        x = layers.Add()([x, convolve(convolve(x, width), width)]) if is_residual else x
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dense(
        classes,
        use_bias=False,
        kernel_initializer=uniform.clone(),
        kernel_regularizer=regularizer,
        name="head",
    )(x)
    return keras.Model(inputs, layers.Rescaling(1 / 8, dtype="float32", name="logits")(x), name="resnet9")
