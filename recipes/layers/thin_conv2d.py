import keras

from recipes.layers.convolutions import as_tensor, halves, in_blocks_of_two, into_inputs, into_kernel, is_plain
from recipes.layers.flipped_conv2d import FlippedConv2D
from recipes.machine.processor import has_only_avx2

THIN = 3  # channels, at most: those of a picture
WIDEST = 5  # side of a kernel whose outputs have so few channels; TensorFlow's operation is faster for larger ones
MANY = 4  # with at least this many channels for each place of a kernel, matrix products are the fastest


@keras.saving.register_keras_serializable(package="recipes")
class ThinConv2D(FlippedConv2D):
    """`keras.layers.Conv2D` that is faster on a processor if its inputs or outputs have one to three channels.

    ```python
    # few outputs: stride 1, padding "same", an odd kernel of 3 to 5; for two or three of 3 x 3, from 32 channels on
    y[..., f] = sum(depthwise(x, kernel[..., f]), axis=channels)       # channels < 4 h w, of a kernel h x w
    y = sum(shifted(x @ kernel[p, q], -p, -q) for all places p, q)     # more: one matrix product for all of them
    dkernel[p, q] = x.T @ shifted(dy, p, q)
    # few inputs: a kernel of 4 x 4, stride 2, padding "same", even sides
    dx = depth_to_space(transposed convolution of dy with the kernel as 2 x 2 of blocks of 2 x 2)
    ```

    oneDNN's kernels take filters in vectors of 16, so one output channel leaves most of the processor idle. In all
    cases that are not written above, with other types than float32 and bfloat16, on other backends than TensorFlow, and
    on GPUs, the layer computes as `FlippedConv2D`. All arguments are those of `keras.layers.Conv2D`. Gradients may be
    differentiated again.

    Args:
        filters, kernel_size, kwargs: as `keras.layers.Conv2D` takes them.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters)` with padding "same" and stride 1; otherwise as `keras.layers.Conv2D` has it.

    Example:

    >>> import numpy as np
    >>> from recipes.layers import ThinConv2D
    >>> ThinConv2D(1, 5, padding="same")(np.ones((2, 8, 8, 16))).shape
    TensorShape([2, 8, 8, 1])
    """

    def convolution_op(self, inputs, kernel):
        if self._is_plain(inputs):
            if self._gives_few(inputs):
                return _to_few(inputs, as_tensor(kernel, inputs))
            if self._takes_few(inputs):
                return _from_few(inputs, as_tensor(kernel, inputs))
        return super().convolution_op(inputs, kernel)

    def _is_plain(self, inputs):
        return (
            is_plain(self, inputs, ("float32", "bfloat16"))
            and self.padding == "same"
            and self.groups == 1
            and None not in inputs.shape[1:]
        )

    def _gives_few(self, inputs):
        height, width = self.kernel_size
        return (
            self.filters <= THIN
            and set(self.strides) == {1}
            and height % 2 == width % 2 == 1
            and 1 < max(height, width) <= WIDEST
            and (self.filters == 1 or max(height, width) > 3 or inputs.shape[-1] >= 32)
        )

    def _takes_few(self, inputs):
        return inputs.shape[-1] <= THIN and halves(self, inputs) and not has_only_avx2()


def _to_few(inputs, kernel):
    import tensorflow as tf

    height, width, channels, _ = kernel.shape
    has_many = channels >= MANY * height * width
    outputs_of = _outputs_by_products if has_many else _outputs_by_channels
    into_kernel_of_few = _into_kernel_at_once if has_many else _into_kernel_by_rows

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            return into_inputs(inputs, kernel, upstream), into_kernel_of_few(inputs, upstream, kernel.shape)

        return outputs_of(inputs, kernel), gradient

    return convolution(inputs, kernel)


def _outputs_by_channels(inputs, kernel):
    import tensorflow as tf

    of_filters = tf.split(kernel, kernel.shape[-1], axis=-1)
    depthwise = [tf.nn.depthwise_conv2d(inputs, each, [1, 1, 1, 1], "SAME") for each in of_filters]
    return tf.stack([tf.reduce_sum(each, axis=-1) for each in depthwise], axis=-1)


def _outputs_by_products(inputs, kernel):
    import tensorflow as tf

    rows, columns = inputs.shape[1:3]
    height, width, channels, filters = kernel.shape
    matrix = tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [channels, height * width * filters])
    products = tf.reshape(tf.matmul(tf.reshape(inputs, [-1, channels]), matrix), [-1, rows, columns, matrix.shape[1]])
    padded = _padded(products, [3, 0, 1, 2], height, width)  # (h * w * filters, batch, rows + h - 1, columns + w - 1)
    places = tf.split(padded, height * width)  # each (filters, batch, rows + h - 1, columns + w - 1)
    shifted = [
        place[:, :, row : row + rows, column : column + columns]
        for place, (row, column) in zip(places, _places(height, width), strict=True)
    ]
    return tf.transpose(tf.add_n(shifted), [1, 2, 3, 0])


def _into_kernel_by_rows(inputs, upstream, shape):
    """The gradient of a kernel `(h, w, channels, filters)`.

    `upstream` is shifted sideways once for all; then there is one matrix product for each row of the kernel.
    """
    import tensorflow as tf

    rows, columns = inputs.shape[1:3]
    height, width, channels, filters = shape
    pixels = tf.reshape(inputs, [-1, rows * columns, channels])
    padded = _padded(upstream, [0, 3, 1, 2], height, width)  # (batch, filters, rows + h - 1, columns + w - 1)
    sideways = [padded[:, :, :, place : place + columns] for place in reversed(range(width))]
    shifted = tf.concat(sideways, axis=1)  # (batch, w * filters, rows + h - 1, columns)

    def of_row(place):
        outputs = tf.reshape(shifted[:, :, place : place + rows], [-1, width * filters, rows * columns])
        return tf.reduce_sum(tf.matmul(outputs, pixels), axis=0)  # (w * filters, channels)

    products = tf.stack([of_row(place) for place in reversed(range(height))])
    return tf.transpose(tf.reshape(products, [height, width, filters, channels]), [0, 1, 3, 2])


def _into_kernel_at_once(inputs, upstream, shape):
    """The same by one matrix product, which reads the inputs once; it needs a shifted `upstream` for each place."""
    import tensorflow as tf

    rows, columns = inputs.shape[1:3]
    height, width, channels, filters = shape
    padded = _padded(upstream, [3, 0, 1, 2], height, width)  # (filters, batch, rows + h - 1, columns + w - 1)
    places = reversed(_places(height, width))
    shifted = tf.stack([padded[:, :, row : row + rows, column : column + columns] for row, column in places])
    outputs = tf.reshape(shifted, [height * width * filters, -1])
    products = tf.matmul(outputs, tf.reshape(inputs, [-1, channels]))
    return tf.transpose(tf.reshape(products, [height, width, filters, channels]), [0, 1, 3, 2])


def _places(height, width):
    return [(row, column) for row in range(height) for column in range(width)]


def _padded(images, order, height, width):
    """Images with their axes in this order, in which rows and columns are last, and half a kernel of zeros around."""
    import tensorflow as tf

    return tf.pad(tf.transpose(images, order), [[0, 0], [0, 0], [height // 2] * 2, [width // 2] * 2])


def _from_few(inputs, kernel):
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            back = _into_few(upstream, kernel, inputs.shape)
            return back, into_kernel(inputs, upstream, kernel.shape, stride=2)

        return tf.nn.conv2d(inputs, kernel, 2, "SAME"), gradient

    return convolution(inputs, kernel)


def _into_few(upstream, kernel, shape):
    """The gradient of the inputs: of inputs that are padded by one row and column, in blocks of 2 x 2, then cut out."""
    import tensorflow as tf

    channels = kernel.shape[2]
    batch, rows, columns = tf.shape(upstream)[0], shape[1] // 2, shape[2] // 2
    in_blocks = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.stack([batch, rows + 1, columns + 1, 4 * channels]),
        filter=in_blocks_of_two(kernel),
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="VALID",
    )
    pixels = tf.transpose(tf.reshape(in_blocks, [-1, rows + 1, columns + 1, 2, 2, channels]), [0, 1, 3, 2, 4, 5])
    return tf.reshape(pixels, [-1, 2 * rows + 2, 2 * columns + 2, channels])[:, 1:-1, 1:-1]
