import keras
from keras import layers

from recipes.layers import FusedBatchNormalization, PackedConv2D


def resnet18(
    input_shape,
    classes,
    regularizer=None,
    *,
    normalize=((0.0,), (1.0,)),
    activation="relu",
    width=64,
    normalization="batch",
):
    """ResNet-18 for small images: 11.17 million parameters at 32×32×3 and width 64.

    ```text
    convolve = convolution 3×3 without bias, normalisation

    normalisation of the images, convolve width, activation
    for width, 2 width, 4 width, 8 width, two blocks each; a block that widens the channels has stride 2:
        x = activation(shortcut(x) + convolve(activation(convolve(x))))
    shortcut: x, or where the shape changes: mean over 2×2, convolution 1×1, normalisation
    mean over positions, dense
    ```

    Args:
        input_shape: `(height, width, channels)` of images with values 0..255, at least 8×8.
        classes: int, number of classes.
        regularizer: `keras.regularizers.Regularizer` of the kernels, or None.
        normalize: `(mean, standard deviation)` of the images by channel, two sequences.
        activation: as `keras.layers.Activation` takes it.
        width: int, channels of the first stage; divisible by 8 with "group".
        normalization: "batch", over all samples of a batch, or "group", over 8 groups of channels of each sample.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`, float32.

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385; its shortcuts as in He et al.,
        Bag of Tricks for Image Classification, 2018, arXiv:1812.01187.
    """
    mean, deviation = ([float(each) for each in values] for values in normalize)

    def convolve(x, channels, size=3, stride=1):
        x = PackedConv2D(
            channels,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
            kernel_regularizer=regularizer,
        )(x)
        if normalization == "group":
            return layers.GroupNormalization(groups=8)(x)
        return FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def block(x, channels, stride):
        shortcut = x
        if stride > 1:
            shortcut = convolve(layers.AveragePooling2D(stride)(x), channels, size=1)
        x = layers.Activation(activation)(convolve(x, channels, stride=stride))
        return layers.Activation(activation)(layers.Add()([shortcut, convolve(x, channels)]))

    inputs = keras.Input(input_shape, name="images")
    offsets = [-m / d for m, d in zip(mean, deviation, strict=True)]
    x = layers.Rescaling([1 / d for d in deviation], offsets, dtype="float32")(inputs)
    x = layers.Activation(activation)(convolve(x, width))
    for stage in range(4):
        for number in range(2):
            x = block(x, width * 2**stage, stride=2 if stage > 0 and number == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(classes, kernel_regularizer=regularizer, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="resnet18")
