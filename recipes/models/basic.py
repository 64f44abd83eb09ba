import keras
from keras import layers


def basic(input_shape, classes, regularizer=None):
    """The network of the articles: convolution 3×3 with 32 channels and ReLU, max pooling 2×2, dense.

    Args:
        input_shape: `(height, width, channels)` of images with values 0..255.
        classes: int, number of classes.
        regularizer: `keras.regularizers.Regularizer` of the kernels, or None.

    Returns:
        A `keras.Model` from images to logits of shape `(batch, classes)`.
    """
    inputs = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(32, 3, activation="relu", kernel_regularizer=regularizer)(x)
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(classes, kernel_regularizer=regularizer, name="logits")(x), name="basic")
