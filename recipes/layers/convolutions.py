"""What the convolution layers share: conditions, gradients, and transposed convolutions by the flipped kernel."""

import keras

from recipes.machine.processor import is_on_processor


def is_plain(layer, inputs, dtypes=("float32",)):
    """Whether a convolution is computed by TensorFlow on a processor, in one of these dtypes, and is not dilated."""
    return (
        keras.backend.backend() == "tensorflow"
        and keras.backend.standardize_dtype(inputs.dtype) in dtypes
        and layer.data_format == "channels_last"
        and set(layer.dilation_rate) == {1}
        and is_on_processor()
    )


def halves(layer, inputs):
    """Whether a convolution halves the sides: a kernel of 4 x 4, stride 2, and sides that are known to be even."""
    return (
        set(layer.strides) == {2}
        and tuple(layer.kernel_size) == (4, 4)
        and all(side is not None and side % 2 == 0 for side in inputs.shape[1:3])
    )


def as_tensor(kernel, inputs):
    """A kernel as a tensor of the inputs' dtype. In eager code it is a variable, which `tf.custom_gradient` refuses."""
    import tensorflow as tf

    return tf.cast(tf.convert_to_tensor(kernel), inputs.dtype)


def into_inputs(inputs, kernel, upstream):
    """The gradient of a convolution with respect to its inputs, by TensorFlow's operation; stride 1, padding "same"."""
    import tensorflow as tf

    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=[1, 1, 1, 1], padding="SAME"
    )


def into_kernel(inputs, upstream, shape, stride=1, padding="same"):
    """The gradient of a convolution with respect to its kernel of the given shape, by TensorFlow's operation."""
    import tensorflow as tf

    return tf.raw_ops.Conv2DBackpropFilter(
        input=inputs,
        filter_sizes=shape,
        out_backprop=upstream,
        strides=[1, stride, stride, 1],
        padding=padding.upper(),
    )


def transposed(upstream, kernel, padding):
    """The gradient of the inputs of a convolution with stride 1, by a convolution of the gradient of its outputs.

    Args:
        upstream: the gradient of the outputs, `(batch, rows, columns, filters)`.
        kernel: `(height, width, channels, filters)`; its sides are odd where padding is "same".
        padding: "same" or "valid", of the convolution.
    """
    import tensorflow as tf

    height, width = kernel.shape[:2]
    around = "SAME" if padding == "same" else [[0, 0], [height - 1] * 2, [width - 1] * 2, [0, 0]]
    return tf.nn.conv2d(upstream, _flipped(kernel), 1, around)


def doubled(upstream, kernel):
    """`transposed` for stride 2, padding "same" and a kernel of 4 x 4, which doubles the sides.

    One convolution gives each 2 x 2 block of pixels as 4 times as many channels of one pixel:

    ```text
    (batch, rows, columns, filters) -> (batch, rows + 1, columns + 1, 4 channels)
                                    -> (batch, 2 rows, 2 columns, channels)
    ```
    """
    import tensorflow as tf

    padded = tf.pad(upstream, [[0, 0], [1, 1], [1, 1], [0, 0]])
    in_blocks = tf.nn.conv2d(padded, _flipped(in_blocks_of_two(kernel)), 1, "VALID")
    return tf.nn.depth_to_space(in_blocks, 2)[:, 1:-1, 1:-1]


def in_blocks_of_two(kernel):
    """`(4, 4, channels, filters)` as `(2, 2, 4 channels, filters)`."""
    import tensorflow as tf

    channels, filters = kernel.shape[2:]
    blocks = tf.transpose(tf.reshape(kernel, [2, 2, 2, 2, channels, filters]), [0, 2, 1, 3, 4, 5])
    return tf.reshape(blocks, [2, 2, 4 * channels, filters])


def _flipped(kernel):
    import tensorflow as tf

    return tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2])
