import keras

from recipes.layers.convolutions import as_tensor, doubled, into_kernel, is_plain
from recipes.machine.processor import has_only_avx2


@keras.saving.register_keras_serializable(package="recipes")
class FlippedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` computed as a convolution, which is faster on processors without AVX-512.

    ```python
    y = depth_to_space(conv2d(x, flipped(blocks)))         # the kernel of 4 x 4 as 2 x 2 of blocks of 2 x 2
    ```

    `FlippedConv2D` computes its gradients in the same way, and says why. The layer computes as
    `keras.layers.Conv2DTranspose` in all other cases: if the kernel is not 4 x 4 with stride 2 and padding "same", with
    other types than float32, other backends than TensorFlow, GPUs, and processors with AVX-512 or without AVX2. All
    arguments are those of `keras.layers.Conv2DTranspose`. Gradients may be differentiated again.

    Args:
        filters, kernel_size, kwargs: as `keras.layers.Conv2DTranspose` takes them.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, 2 height, 2 width, filters)` with stride 2 and padding "same".

    Example:

    >>> import numpy as np
    >>> from recipes.layers import FlippedConv2DTranspose
    >>> FlippedConv2DTranspose(8, 4, 2, "same")(np.ones((2, 4, 4, 16))).shape
    TensorShape([2, 8, 8, 8])
    """

    def call(self, inputs):
        if not (is_plain(self, inputs) and has_only_avx2() and self._doubles()):
            return super().call(inputs)
        outputs = _transposed(inputs, as_tensor(self.kernel, inputs))
        if self.use_bias:
            outputs = outputs + keras.ops.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def _doubles(self):
        return (
            set(self.strides) == {2}
            and tuple(self.kernel_size) == (4, 4)
            and self.padding == "same"
            and self.output_padding is None
        )


def _transposed(inputs, kernel):
    """The transposed convolution: the gradient of the inputs of a convolution with this kernel.

    The kernel is `(4, 4, filters, channels)`.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            back = tf.nn.conv2d(upstream, kernel, 2, "SAME")
            return back, into_kernel(upstream, inputs, kernel.shape, stride=2)

        return doubled(inputs, kernel), gradient

    return convolution(inputs, kernel)
