from keras import ops

from callbacks.block_gradient import BlockGradient
from callbacks.object_only import object_only
from custom_optimizers.arguments import number_in, one_of
from custom_optimizers.clipping.norms import global_norm

METHODS = ("differences", "hessian")


@object_only
class GradientRegularizer(BlockGradient):
    """Adds a penalty on the gradient of each block to its loss, in place of the regularising noise of mini-batches.

    ```python
    L_b + learning_rate * strength / 8 * norm(gradient(L_b)) ** 2 / weight_b      # the loss of block b; its gradient:
    v = strength * g_b / weight_b                                      # mean weight of the block's samples; 1 for none
    g_b + learning_rate / 4 * hessian(L_b) @ v                         # method="hessian"
    g_b + learning_rate / 4 * (gradient(L_b at w + e * v) - g_b) / e   # method="differences", e = epsilon / norm(v)
    ```

    So a block of half of the samples' weight has half of the penalty, and rows that only fill a batch have none. The
    learning rate is that of the update under way, so that the penalty follows the schedule. A second gradient, or a
    product with the Hessian, is taken of each block.

    Args:
        strength: float >= 0. 0.5 is Geiping et al.'s, `learning_rate / 16` times the square. By Smith et al.,
            stochastic descent in batches of the block's size has by itself a penalty four times as large: strength 2.
        method: "differences" or "hessian". The second is exact and slower.
        epsilon: float > 0, how far the weights are moved for a difference. In float64 the relative error of the
            penalty's gradient is proportional to it: below 1e-2 at 0.01, below 1e-3 at 1e-3. In float32 the error grows
            again for smaller ones, by rounding.
        block_size, reduction: as in `BlockGradient`.

    Raises:
        ValueError: an argument is out of its range, or as `BlockGradient`.

    Reference:
        Geiping et al., Stochastic Training is Not Necessary for Generalization, 2022, arXiv:2109.14119.
        Smith et al., On the Origin of Implicit Regularization in Stochastic Gradient Descent, 2021, arXiv:2101.12176.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch, GradientRegularizer
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(128, 3)
    >>> callbacks = [FullBatch(), GradientRegularizer(block_size=32)]
    >>> history = model.fit(x, x.sum(axis=1), batch_size=64, epochs=3, callbacks=callbacks, verbose=0)
    """

    def __init__(self, strength=0.5, method="differences", epsilon=0.01, block_size=None, reduction=None):
        super().__init__(block_size, reduction)
        self.strength = number_in("GradientRegularizer", "strength", strength, least=0)
        self.method = one_of("GradientRegularizer", "method", method, METHODS)
        self.epsilon = number_in("GradientRegularizer", "epsilon", epsilon, above=0)

    def block_gradient(self, loss, weights, gradients, learning_rate):
        weight = loss.weight
        strength = ops.where(weight != 0, self.strength / ops.where(weight != 0, weight, 1), 0)
        vectors = [ops.cast(strength, gradient.dtype) * gradient for gradient in gradients]
        if self.method == "hessian":
            products = loss.hessian_product(weights, vectors)
        else:
            products = self._differences(loss, weights, gradients, vectors)
        return [g + ops.cast(learning_rate / 4, g.dtype) * p for g, p in zip(gradients, products, strict=True)]

    def _differences(self, loss, weights, gradients, vectors):
        norm = global_norm(vectors)
        step = ops.where(norm > 0, self.epsilon / ops.where(norm > 0, norm, 1), 1)
        there = loss.gradients([w + ops.cast(step, w.dtype) * v for w, v in zip(weights, vectors, strict=True)])
        return [(g - here) / ops.cast(step, g.dtype) for g, here in zip(there, gradients, strict=True)]
