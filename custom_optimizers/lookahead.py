import keras
from keras import ops

from custom_optimizers.accumulate import Accumulate
from custom_optimizers.arguments import count, number_in
from custom_optimizers.diagnostics import number


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Lookahead(Accumulate):
    """Lets any optimizer run ahead for a few updates, and then goes part of the way after it.

    ```python
    w = inner's update of w                       # every update
    if updates % sync_period == 0:
        slow = slow + slow_step_size * (w - slow)
        w = slow
    ```

    The slow weights begin as those of the model, take as much memory, and are saved with the optimizer. Weights that
    are set later, between two calls of `fit`, are treated as if the inner optimizer had moved them. Constraints hold
    for the slow weights too. The inner optimizer's velocities are not changed. At the end of `fit` the period that is
    under way ends early, and the model gets the slow weights.

    Args:
        inner: a `keras.optimizers.Optimizer`, as in `Accumulate`.
        sync_period: int >= 1, updates.
        slow_step_size: float in (0, 1].
        kwargs: the other arguments of `Accumulate`: accumulation, clipping, rates by path.

    Raises:
        ValueError: an argument is out of its range, or the inner optimizer cannot be wrapped.

    Reference:
        Zhang, Lucas, Hinton and Ba, Lookahead optimizer: k steps forward, 1 step back, 2019, arXiv:1907.08610.

    Example:

    >>> import keras
    >>> from custom_optimizers import BatchGD, Lookahead
    >>> w, optimizer = keras.Variable([0.0]), Lookahead(BatchGD(1.0), sync_period=2, slow_step_size=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.array([1.0])], [w])
    >>> float(w[0])  # half of the way to -2
    -1.0
    """

    arguments = ("sync_period", "slow_step_size")

    def __init__(self, inner, sync_period=5, slow_step_size=0.5, **kwargs):
        super().__init__(inner, **kwargs)
        self.sync_period = count("Lookahead", "sync_period", sync_period)
        self.slow_step_size = number_in("Lookahead", "slow_step_size", slow_step_size, above=0, most=1)

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.slow = [self.add_variable_from_reference(v, name="slow") for v in variables]

    def prepare(self, gradients, variables, learning_rate):
        self._backend.cond(self, ops.equal(self.iterations, 0), self._begin)
        return super().prepare(gradients, variables, learning_rate)

    def finish(self, variables, shared):
        super().finish(variables, shared)
        self._backend.cond(self, ops.equal((self.iterations + 1) % self.sync_period, 0), self._synchronise)

    def finalize_variable_values(self, var_list):
        """At the end of `fit`: give the variables the values of the slow weights."""
        super().finalize_variable_values(var_list)
        if self.built and number(self.iterations) and not self.use_ema:
            self._synchronise()
            self._backend.unalias(self.slow)

    def _begin(self):
        for slow, variable in zip(self.slow, self._trainable_variables, strict=True):
            slow.assign(variable)

    def _synchronise(self):
        for slow, variable in zip(self.slow, self._trainable_variables, strict=True):
            part = ops.convert_to_tensor(self.slow_step_size, slow.dtype)
            # A difference, since `ops.add` of Keras 3.15 fails on TensorFlow for the shape (0, n).
            after = ops.subtract(slow, ops.multiply(ops.subtract(slow, variable), part))
            constraint = getattr(variable, "constraint", None)
            slow.assign(after if constraint is None else constraint(after))
            variable.assign(slow)
