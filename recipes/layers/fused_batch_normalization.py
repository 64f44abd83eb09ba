import keras


@keras.saving.register_keras_serializable(package="recipes")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` computed by TensorFlow's single operation for it, where that is possible.

    ```python
    y = gamma * (x - mean(x)) / sqrt(var(x) + epsilon) + beta             # over all axes but the last
    moving_mean = momentum * moving_mean + (1 - momentum) * mean(x)
    moving_variance = momentum * moving_variance + (1 - momentum) * var(x) * n / (n - 1)
    ```

    Keras computes mean, variance and the rest one after the other, and has no factor `n / (n - 1)`, which is also
    torch's; n is the number of values that each variance is computed from. Inputs may be bfloat16 or float16;
    statistics are float32. On other backends than TensorFlow, in float64, with a mask, `synchronized`, `renorm`, or an
    axis other than the last of four, the layer computes as `keras.layers.BatchNormalization`. All arguments are those
    of `keras.layers.BatchNormalization`.

    Args:
        kwargs: as `keras.layers.BatchNormalization` takes them.

    Input shape, output shape:
        `(batch, height, width, channels)`.

    Reference:
        Ioffe and Szegedy, Batch normalization, 2015, arXiv:1502.03167.

    Example:

    >>> import numpy as np
    >>> from recipes.layers import FusedBatchNormalization
    >>> y = FusedBatchNormalization(epsilon=1e-5)(np.random.rand(8, 4, 4, 3), training=True)
    >>> bool(abs(float(np.mean(y))) < 1e-5 and abs(float(np.std(y)) - 1) < 1e-2)
    True
    """

    def call(self, inputs, training=None, mask=None):
        if not self._fuses(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            outputs, mean, variance = self._kernel(inputs)
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + keras.ops.cast(value, moving.dtype) * (1 - self.momentum))
            return outputs
        return self._kernel(inputs, self.moving_mean, self.moving_variance)[0]

    def _fuses(self, inputs, mask):
        return (
            keras.backend.backend() == "tensorflow"
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and mask is None
            and not (self.synchronized or getattr(self, "renorm", False))
        )

    def _kernel(self, inputs, mean=None, variance=None):
        """`(outputs, mean, variance)`, normalised by the given statistics, or else by those of the inputs."""
        import tensorflow as tf

        def single(values):
            return tf.zeros([0]) if values is None else tf.cast(tf.convert_to_tensor(values), tf.float32)

        channels = inputs.shape[-1]
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=single(self.gamma) if self.scale else tf.ones(channels),
            offset=single(self.beta) if self.center else tf.zeros(channels),
            mean=single(mean),
            variance=single(variance),
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=mean is None,
        )[:3]
