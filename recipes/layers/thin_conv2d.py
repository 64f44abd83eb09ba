import keras

from recipes.layers.processor import is_on_processor

THIN = 3  # channels, at most: those of a picture
WIDEST = 5  # of a kernel that gives them: more positions to sum over are slower than the convolution


@keras.saving.register_keras_serializable(package="recipes")
class ThinConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` from or to one to three channels, faster on a processor.

    ```python
    # to few: stride 1, padding "same", an odd kernel of at most 5 x 5
    y[..., f] = sum(depthwise(x, kernel[..., f]), axis=channels)
    dkernel[p, q] = shifted(dy, -p, -q).T @ x                          # a matrix product over all positions at once
    # from few: a kernel of 4 x 4, stride 2, padding "same", even sides
    dx = depth_to_space(transposed convolution of dy with kernel as 2 x 2 of blocks of 2 x 2)
    ```

    oneDNN's kernels take filters in vectors of 16, so one output channel leaves most of the processor idle. Whatever is
    not written above is that of `keras.layers.Conv2D`; so is all of it off TensorFlow, on GPUs, with other strides,
    paddings, dilation, groups and sizes. All arguments are those of `keras.layers.Conv2D`. Gradients may be
    differentiated again.

    Args:
        filters, kernel_size, kwargs: as `keras.layers.Conv2D` takes them.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters)` with padding "same" and stride 1.

    Example:

    >>> import numpy as np
    >>> from recipes.layers import ThinConv2D
    >>> ThinConv2D(1, 5, padding="same")(np.ones((2, 8, 8, 16))).shape
    TensorShape([2, 8, 8, 1])
    """

    def convolution_op(self, inputs, kernel):
        if self._is_plain(inputs):
            if self._gives_few():
                return _to_few(inputs, _as_tensor(kernel, inputs))
            if self._takes_few(inputs):
                return _from_few(inputs, _as_tensor(kernel, inputs))
        return super().convolution_op(inputs, kernel)

    def _is_plain(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16")
            and self.data_format == "channels_last"
            and self.padding == "same"
            and self.groups == 1
            and set(self.dilation_rate) == {1}
            and None not in inputs.shape[1:]
            and is_on_processor()
        )

    def _gives_few(self):
        height, width = self.kernel_size
        return (
            self.filters <= THIN
            and set(self.strides) == {1}
            and height % 2 == width % 2 == 1
            and 1 < max(height, width) <= WIDEST
        )

    def _takes_few(self, inputs):
        height, width, channels = inputs.shape[1:]
        return (
            channels <= THIN
            and set(self.strides) == {2}
            and tuple(self.kernel_size) == (4, 4)
            and height % 2 == width % 2 == 0
        )


def _as_tensor(kernel, inputs):
    """Of the inputs' dtype: a custom gradient takes no variables, which a kernel is where nothing is traced."""
    import tensorflow as tf

    return tf.cast(tf.convert_to_tensor(kernel), inputs.dtype)


def _to_few(inputs, kernel):
    import tensorflow as tf

    ones = [1, 1, 1, 1]

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            into_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=ones, padding="SAME"
            )
            return into_inputs, _into_kernel(inputs, upstream, kernel.shape)

        of_filters = tf.split(kernel, kernel.shape[-1], axis=-1)
        outputs = [tf.reduce_sum(tf.nn.depthwise_conv2d(inputs, each, ones, "SAME"), axis=-1) for each in of_filters]
        return tf.stack(outputs, axis=-1), gradient

    return convolution(inputs, kernel)


def _into_kernel(inputs, upstream, shape):
    """The gradient of a kernel `(h, w, channels, filters)`: for each of its places a product with shifted outputs."""
    import tensorflow as tf

    rows, columns = inputs.shape[1:3]
    height, width, channels, filters = shape
    pixels = tf.reshape(inputs, [-1, rows * columns, channels])
    around = [[0, 0], [0, 0], [height // 2] * 2, [width // 2] * 2]
    padded = tf.pad(tf.transpose(upstream, [0, 3, 1, 2]), around)  # (batch, filters, rows + h - 1, columns + w - 1)
    sideways = [padded[:, :, :, place : place + columns] for place in reversed(range(width))]
    shifted = tf.concat(sideways, axis=1)  # (batch, w * filters, rows + h - 1, columns)

    def of_row(place):
        outputs = tf.reshape(shifted[:, :, place : place + rows], [-1, width * filters, rows * columns])
        return tf.reduce_sum(tf.matmul(outputs, pixels), axis=0)  # (w * filters, channels)

    products = tf.stack([of_row(place) for place in reversed(range(height))])
    return tf.transpose(tf.reshape(products, [height, width, filters, channels]), [0, 1, 3, 2])


def _from_few(inputs, kernel):
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            into_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=inputs, filter_sizes=kernel.shape, out_backprop=upstream, strides=[1, 2, 2, 1], padding="SAME"
            )
            return _into_inputs(upstream, kernel), into_kernel

        return tf.nn.conv2d(inputs, kernel, 2, "SAME"), gradient

    return convolution(inputs, kernel)


def _into_inputs(upstream, kernel):
    """The gradient of inputs with a row and a column of zeros around them, in blocks of 2 x 2; then without these."""
    import tensorflow as tf

    channels, filters = kernel.shape[2:]
    batch, (rows, columns) = tf.shape(upstream)[0], upstream.shape[1:3]
    blocks = tf.transpose(tf.reshape(kernel, [2, 2, 2, 2, channels, filters]), [0, 2, 1, 3, 4, 5])
    in_blocks = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.stack([batch, rows + 1, columns + 1, 4 * channels]),
        filter=tf.reshape(blocks, [2, 2, 4 * channels, filters]),
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="VALID",
    )
    pixels = tf.transpose(tf.reshape(in_blocks, [-1, rows + 1, columns + 1, 2, 2, channels]), [0, 1, 3, 2, 4, 5])
    return tf.reshape(pixels, [-1, 2 * rows + 2, 2 * columns + 2, channels])[:, 1:-1, 1:-1]
