import keras

from recipes.layers.convolutions import as_tensor, into_inputs, into_kernel, is_plain
from recipes.layers.flipped_conv2d import FlippedConv2D

LANES = 32  # numbers of bfloat16 along the width that one tile instruction of the processor sums over
FEWEST = 4  # images in a strip; moving fewer images costs more time than it saves (measured with 2 of 16 columns)


@keras.saving.register_keras_serializable(package="recipes")
class PackedConv2D(FlippedConv2D):
    """`keras.layers.Conv2D` that computes the gradient of its kernel faster, for small images in bfloat16 on a CPU.

    ```python
    strip(t) = images of t side by side, k // 2 columns of zeros between them       # k: width of the kernel
    dkernel = sum over positions of patches(strip(x)) * strip(dy)                   # the zeros add nothing
    ```

    oneDNN sums a kernel's gradient over 32 positions of a row at once, so a row of 7 leaves most of the processor idle.
    Four such images side by side fill it. On other backends than TensorFlow, on GPUs, in other precisions, with
    strides, dilation, groups or another padding than "same", the layer computes as `FlippedConv2D`. All arguments are
    those of `keras.layers.Conv2D`.

    Args:
        filters, kernel_size, kwargs: as `keras.layers.Conv2D` takes them.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters)` with padding "same".

    Example:

    >>> import numpy as np
    >>> from recipes.layers import PackedConv2D
    >>> layer = PackedConv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    >>> layer(np.ones((2, 7, 7, 3))).shape
    TensorShape([2, 7, 7, 4])
    """

    def convolution_op(self, inputs, kernel):
        if self._packs(inputs):
            return _convolution(inputs, kernel)
        return super().convolution_op(inputs, kernel)

    def _packs(self, inputs):
        height, width = self.kernel_size
        return (
            is_plain(self, inputs, ("bfloat16",))
            and self.padding == "same"
            and set(self.strides) == {1}
            and height % 2 == width % 2 == self.groups == 1
            and inputs.shape[1] is not None
            and images_a_strip(inputs.shape[2], width // 2) > 1
        )


def images_a_strip(width, gap):
    """How many images of a width are put side by side in a strip of 32 columns; 1 if strips are not faster."""
    images = 1 if width is None else LANES // (width + gap)
    return images if images >= FEWEST else 1


def _convolution(inputs, kernel):
    """`conv2d` with stride 1 and padding "same", whose gradient is computed in strips."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            gap = kernel.shape[1] // 2
            strips = _strips(inputs, gap), _strips(upstream, gap)
            return into_inputs(inputs, kernel, upstream), into_kernel(*strips, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradient

    return convolution(inputs, as_tensor(kernel, inputs))


def _strips(images, gap):
    """`(n, h, w, c)` as `(n / m, h, m * (w + gap), c)`: m images side by side, each with zeros to its right.

    Where m does not divide n, images of zeros fill the last strip.
    """
    import tensorflow as tf

    _, height, width, channels = images.shape
    m = images_a_strip(width, gap)
    images = tf.pad(images, [[0, -tf.shape(images)[0] % m], [0, 0], [0, gap], [0, 0]])
    grouped = tf.reshape(images, [-1, m, height, width + gap, channels])
    return tf.reshape(tf.transpose(grouped, [0, 2, 1, 3, 4]), [-1, height, m * (width + gap), channels])
