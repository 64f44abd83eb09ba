import keras
from keras import ops

from custom_optimizers.arguments import count

WEIGHTS = ("kernel", "embeddings")  # possible names of a layer's matrix


@keras.saving.register_keras_serializable(package="recipes")
class SpectralNormalization(keras.layers.Wrapper):
    """A layer whose kernel is divided by its largest singular value in each call.

    ```python
    W = reshape(kernel, (-1, outputs))
    v = unit(W @ u)                                    # u: kept from update to update; no gradient through u and v
    layer(x, kernel / (v @ W @ u))                     # the gradient goes through W, here too
    u = unit(W.T @ v)                                  # `update()`: once a step of the discriminator
    ```

    The kernel variable keeps its values, so all calls of a step use the same kernel. The gradient is that of the
    normalised layer, which is orthogonal to the kernel. `keras.layers.SpectralNormalization` writes the divided kernel
    back at every call in training, and has another gradient.

    Args:
        layer: a layer with a `kernel` (dense, convolution) or with `embeddings`.
        iterations: int >= 1, of the power method at each `update`.
        kwargs: as `keras.layers.Wrapper` takes them.

    Raises:
        ValueError: the layer has neither.

    Input shape, output shape:
        Those of the layer.

    Reference:
        Miyato et al., Spectral normalization for generative adversarial networks, 2018, arXiv:1802.05957.

    Example:

    >>> import keras, numpy as np
    >>> from recipes.gan import SpectralNormalization
    >>> layer = SpectralNormalization(keras.layers.Dense(4, use_bias=False))
    >>> outputs = layer(np.eye(3, dtype="float32"))
    >>> layer.update(iterations=100)
    >>> round(float(np.linalg.norm(layer(np.eye(3, dtype="float32")), 2)), 3)
    1.0
    """

    def __init__(self, layer, iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        self.iterations = count("SpectralNormalization", "iterations", iterations)

    def build(self, input_shape=None):
        super().build(input_shape)
        outputs = self._weight.shape[-1]
        seeded = keras.initializers.RandomNormal(seed=0)
        self.u = self.add_weight(shape=(outputs,), initializer=seeded, trainable=False, name="u", autocast=False)

    def call(self, inputs, **kwargs):
        weight = self._weight
        divided = ops.cast(weight, "float32") / self.sigma(weight)
        known = [(variable, divided if variable is weight else variable.value) for variable in self.layer.variables]
        with keras.StatelessScope(known):
            return self.layer(inputs, **kwargs)

    def sigma(self, weight):
        """The largest singular value as `u` has it: a scalar, float32."""
        matrix = ops.reshape(ops.cast(weight, "float32"), (-1, weight.shape[-1]))
        u = _unit(ops.stop_gradient(ops.convert_to_tensor(self.u)))
        v = _unit(ops.matmul(ops.stop_gradient(matrix), u))
        return ops.vdot(v, ops.matmul(matrix, u))

    def update(self, iterations=None):
        """Take one or more steps of the power method."""
        matrix = ops.reshape(ops.convert_to_tensor(self._weight), (-1, self._weight.shape[-1]))
        u = ops.convert_to_tensor(self.u)
        for _ in range(self.iterations if iterations is None else iterations):
            u = _unit(ops.matmul(ops.transpose(matrix), _unit(ops.matmul(matrix, _unit(u)))))
        self.u.assign(u)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "iterations": self.iterations}

    @property
    def _weight(self):
        for name in WEIGHTS:
            if hasattr(self.layer, name):
                return getattr(self.layer, name)
        raise ValueError(
            f"SpectralNormalization: {type(self.layer).__name__} has no `kernel` and no `embeddings` to normalise."
        )


def _unit(vector):
    return vector / (ops.norm(vector) + 1e-12)
