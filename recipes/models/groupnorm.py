import keras
from keras import layers


def groupnorm(input_shape, classes, regularizer=None, widths=(16, 32, 64)):
    """A small convolutional network with group normalisation.

    ```text
    for each width: convolution 3×3, max pooling 2×2, group normalisation (8 groups), ReLU
    mean over positions, dense
    ```

    No layer couples the samples of a batch, so the gradient of a full batch taken in micro-batches is exact.

    Args:
        input_shape: `(height, width, channels)` of images with values 0..255; height and width divisible by 8.
        classes: int, number of classes.
        regularizer: `keras.regularizers.Regularizer` of the kernels, or None.
        widths: channels of each convolution, divisible by 8.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`.

    Reference:
        Wu and He, Group Normalization, 2018, arXiv:1803.08494.
    """
    inputs = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_regularizer=regularizer)(x)
        x = layers.MaxPooling2D()(x)  # first: the rest has a quarter of the positions
        x = layers.GroupNormalization(groups=8)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(classes, kernel_regularizer=regularizer, name="logits")(x)
    return keras.Model(inputs, logits, name="groupnorm")
