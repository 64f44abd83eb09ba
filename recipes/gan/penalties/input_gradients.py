from keras import ops

from recipes.gan.backend import backend_module


def input_gradients(discriminator, images):
    """The gradient of a discriminator's outputs with respect to its images, which can be differentiated again.

    Args:
        discriminator: function of images that returns an output for each, `(batch, 1)`.
        images: tensor, `(batch, height, width, channels)`.

    Returns:
        A tensor of the same shape.
    """

    _, _, back = backend_module().pullback(lambda x: (ops.sum(discriminator(x)), None), [images])
    return back()[0]


def squared_norms(gradients):
    """The squared Euclidean norm of each image's gradient, `(batch,)`, float32."""
    return ops.sum(ops.square(ops.cast(gradients, "float32")), axis=(1, 2, 3))
