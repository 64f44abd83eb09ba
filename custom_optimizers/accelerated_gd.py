import keras
from keras import ops

from custom_optimizers.descent import Descent
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.windowed import EPOCH


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AcceleratedGD(Descent):
    """Nesterov's accelerated gradient of 1983: momentum that grows by itself and restarts when it leads uphill.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    step = lead - learning_rate * g                      # from the last iterate to the next
    if sum(g * step) > 0:                                # over all parameters together
        t = 1
    t_next = (1 + sqrt(1 + 4 * t ** 2)) / 2
    lead = (t - 1) / t_next * step
    w = w - learning_rate * g + lead                     # the iterate, and the lead over it
    t = t_next
    ```

    There is no momentum to tune. For a convex loss `f` with an L-Lipschitz gradient and learning rate 1 / L the
    iterates `x = w - lead` satisfy `f(x_k) - min f <= 2 * L * norm(x_0 - minimum) ** 2 / (k + 1) ** 2`, the best
    order there is for a method of first order, and with the restart they converge linearly near a minimum. The model
    holds `w`, at which gradients are taken, as with Nesterov momentum.

    **Full batches only.** The restart and the bound hold for exact gradients. By default each pass over the data makes
    one update, and `fit` needs `callbacks.FullBatch()`.

    Args:
        learning_rate: float > 0, at most 1 / L. A schedule or a callable is taken too, without the bound.
        gradient_accumulation_steps: "epoch", one update a pass; or None, if every batch is the full batch, as in a loop
            of your own over a function.
        kwargs: the other arguments of `Descent`: clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    References:
        Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983.
        Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, 2009.
        O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, 2012, arXiv:1204.3982.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import AcceleratedGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=AcceleratedGD(learning_rate=0.2), loss="mse")
    >>> x = np.random.rand(1000, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=500, epochs=60, callbacks=[FullBatch()], verbose=0)
    >>> history.history["loss"][-1] < 1e-4
    True
    """

    slot_names = ("lead",)

    def __init__(self, learning_rate=0.01, *, gradient_accumulation_steps=EPOCH, **kwargs):
        if gradient_accumulation_steps not in (None, EPOCH):
            raise ValueError(
                "AcceleratedGD: `gradient_accumulation_steps` must be 'epoch', or None if every batch is the full "
                f"batch: the gradient of a part of it misleads the restart. Received: {gradient_accumulation_steps!r}"
            )
        super().__init__(learning_rate, gradient_accumulation_steps=gradient_accumulation_steps, **kwargs)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.age = self.add_variable((), initializer="ones", dtype="float32", name="age")  # t of the rule

    def share(self, gradients, variables, learning_rate):
        steps = [self._step(g, v, learning_rate) for g, v in zip(gradients, variables, strict=True)]
        uphill = sum(_inner_product(g, step) for g, step in zip(gradients, steps, strict=True))
        age = ops.where(uphill > 0, 1.0, ops.convert_to_tensor(self.age))
        following = (1 + ops.sqrt(1 + 4 * age**2)) / 2
        return (age - 1) / following, following

    def rule(self, gradient, slots, learning_rate, momentum, following_age):
        descent = gradient * learning_rate
        lead = (slots[0] - descent) * momentum
        return lead - descent, (lead,)

    def finish(self, variables, shared):
        self.age.assign(shared[1])

    def _step(self, gradient, variable, learning_rate):
        rate = learning_rate * self.multiplier_of(variable)
        (lead,) = self.slots_of(variable)
        return lead - ops.cast(gradient, lead.dtype) * ops.cast(rate, lead.dtype)


def _inner_product(a, b):
    wide = wide_dtype(a, b)
    return ops.sum(ops.cast(a, wide) * ops.cast(b, wide))
