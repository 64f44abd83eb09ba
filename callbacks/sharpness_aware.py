from keras import ops

from callbacks.block_gradient import BlockGradient
from callbacks.object_only import object_only
from custom_optimizers.arguments import number_in
from custom_optimizers.clipping.norms import global_norm


@object_only
class SharpnessAware(BlockGradient):
    """Uses the gradient at the point nearby where the loss is highest, so that training finds flat minima.

    ```python
    e = rho * g_b / norm(g_b)
    g_b = gradient(L_b at w + e)
    ```

    Running statistics and dropout masks are those of the first gradient.

    Args:
        rho: float > 0, how far the weights are moved.
        block_size, reduction: as in `BlockGradient`.

    Raises:
        ValueError: `rho` is not > 0, or as `BlockGradient`.

    Reference:
        Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, 2021, arXiv:2010.01412.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import SharpnessAware
    >>> model = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> x = np.random.rand(128, 3)
    >>> history = model.fit(x, x.sum(axis=1), epochs=3, callbacks=[SharpnessAware(rho=0.05)], verbose=0)
    """

    def __init__(self, rho=0.05, block_size=None, reduction=None):
        super().__init__(block_size, reduction)
        self.rho = number_in("SharpnessAware", "rho", rho, above=0)

    def block_gradient(self, loss, weights, gradients, learning_rate):
        step = self.rho / (global_norm(gradients) + 1e-12)
        return loss.gradients([w + ops.cast(step, w.dtype) * g for w, g in zip(weights, gradients, strict=True)])
