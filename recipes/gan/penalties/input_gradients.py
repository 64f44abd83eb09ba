from keras import ops

from custom_optimizers.backend import backend_module


def input_gradients(discriminator, images):
    """The gradient of a discriminator's outputs by its images, which can be differentiated further.

    Args:
        discriminator: function of images that returns an output for each, `(batch, 1)`.
        images: tensor, `(batch, height, width, channels)`.

    Returns:
        A tensor of the same shape.
    """

    def total(values):
        return ops.sum(discriminator(values[0])), None

    return backend_module().value_and_gradients(total, [images])[1][0]


def squared_norms(gradients):
    """The squared Euclidean norm of each image's gradient, `(batch,)`, float32."""
    return ops.sum(ops.square(ops.cast(gradients, "float32")), axis=(1, 2, 3))
