import keras

from recipes.layers.convolutions import as_tensor, doubled, halves, into_kernel, is_plain, transposed
from recipes.machine.processor import has_only_avx2

FEW = 3  # channels of a picture; for inputs with so few, the gradient with stride 2 is no faster as a convolution


@keras.saving.register_keras_serializable(package="recipes")
class FlippedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` that computes the gradient of its inputs faster, on processors without AVX-512.

    ```python
    dx = conv2d(dy, flipped(kernel))                       # stride 1; flipped: both sides reversed, channels swapped
    dx = depth_to_space(conv2d(dy, flipped(blocks)))       # stride 2, 4 x 4: the kernel as 2 x 2 of blocks of 2 x 2
    ```

    The gradient of the inputs is a convolution, too. But with vectors of 256 bits, oneDNN computes the operation that
    TensorFlow has for it at a half to a fifth of a convolution's speed; so a convolution is called here. In all other
    cases the layer computes as `keras.layers.Conv2D`: kernels of even sides, other strides, padding "same" of odd sides
    with stride 2, dilation, groups, other types than float32, other backends than TensorFlow, GPUs, and processors with
    AVX-512 or without AVX2. All arguments are those of `keras.layers.Conv2D`. Gradients may be differentiated again.

    Args:
        filters, kernel_size, kwargs: as `keras.layers.Conv2D` takes them.

    Input shape, output shape:
        as `keras.layers.Conv2D` has them.

    Example:

    >>> import numpy as np
    >>> from recipes.layers import FlippedConv2D
    >>> FlippedConv2D(8, 3, padding="same")(np.ones((2, 8, 8, 16))).shape
    TensorShape([2, 8, 8, 8])
    """

    def convolution_op(self, inputs, kernel):
        if is_plain(self, inputs) and has_only_avx2() and self.groups == 1:
            if self._keeps_sides():
                return _convolution(inputs, kernel, 1, self.padding)
            if halves(self, inputs) and self.padding == "same" and inputs.shape[-1] > FEW:
                return _convolution(inputs, kernel, 2, self.padding)
        return super().convolution_op(inputs, kernel)

    def _keeps_sides(self):
        height, width = self.kernel_size
        return set(self.strides) == {1} and height % 2 == width % 2 == 1 and max(height, width) > 1


def _convolution(inputs, kernel, stride, padding):
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            back = transposed(upstream, kernel, padding) if stride == 1 else doubled(upstream, kernel)
            return back, into_kernel(inputs, upstream, kernel.shape, stride, padding)

        return tf.nn.conv2d(inputs, kernel, stride, padding.upper()), gradient

    return convolution(inputs, as_tensor(kernel, inputs))
