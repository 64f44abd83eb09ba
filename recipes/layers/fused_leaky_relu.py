import keras


@keras.saving.register_keras_serializable(package="recipes")
class FusedLeakyReLU(keras.layers.LeakyReLU):
    """`keras.layers.LeakyReLU` whose gradient is computed from its outputs, so that TensorFlow can fuse it.

    ```python
    y = x if x > 0 else negative_slope * x
    dx = dy if y > 0 else negative_slope * dy          # y and x have the same sign
    ```

    The gradient of Keras's layer needs the inputs, which must therefore be kept, so that TensorFlow computes a
    convolution, its bias and the activation one after the other. With this one it computes them at once. On other
    backends than TensorFlow, and with a slope of 0, the layer computes as `keras.layers.LeakyReLU`. All arguments are
    those of `keras.layers.LeakyReLU`. Gradients may be differentiated again.

    Args:
        negative_slope: float >= 0.
        kwargs: as `keras.layers.LeakyReLU` takes them.

    Input shape, output shape:
        any, the same.

    Example:

    >>> import numpy as np
    >>> from recipes.layers import FusedLeakyReLU
    >>> np.round(FusedLeakyReLU(0.2)(np.array([-1.0, 2.0], "float32")), 6).tolist()
    [-0.20000000298023224, 2.0]
    """

    def call(self, inputs):
        if keras.backend.backend() == "tensorflow" and self.negative_slope > 0:
            return _leaky(inputs, self.negative_slope)
        return super().call(inputs)


def _leaky(inputs, slope):
    import tensorflow as tf

    @tf.custom_gradient
    def leaky(inputs):
        outputs = tf.nn.leaky_relu(inputs, slope)
        return outputs, lambda upstream: tf.raw_ops.LeakyReluGrad(gradients=upstream, features=outputs, alpha=slope)

    return leaky(inputs)
