import keras
import numpy as np

from custom_optimizers.either import number, smaller, sqrt, where
from custom_optimizers.line_search.step_size import StepSize

UNBOUNDED = 1e30  # in place of a ratio of two steps where there has been one alone
GROWS_TO = 10.0  # times the last step, at most, where the gradient has not changed


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AdGD(StepSize):
    """The step of adaptive gradient descent: by how much the gradient has changed, and not much longer than the last.

    ```python
    t = min(sqrt(1 + ratio) * t, norm(s) / (2 * norm(y)))        # s: the last step; y: the change of the gradient
    ratio = t / t_before
    ```

    For convex losses it converges without a rate, a bound or a test of the loss. The first step is `learning_rate`, or
    as long as one unit of the weights, whichever is shorter; the second one has no bound by it. Where the gradient has
    not changed, only the first term counts, and at most ten times the last step.

    Args:
        evaluations: as in `StepSize`.

    Reference:
        Malitsky and Mishchenko, Adaptive Gradient Descent without Descent, 2020, arXiv:1910.09529.

    Example:

    >>> from custom_optimizers.line_search import AdGD
    >>> search = AdGD()
    >>> state = search.begin(search.initial_state(), 8.0, -16.0, 0.1)           # of 2 * w ** 2 at w = 2, along -g
    >>> state = search.next(state, 2 * 1.2**2, -8 * 4 * 1.2)
    >>> float(search.first(state, 0.1, (0.8**2, 0.8 * 3.2, 3.2**2)))         # 1 / (2 * the second derivative)
    0.125
    """

    names = (*StepSize.names, "ratio")

    @np.errstate(all="ignore")
    def first(self, state, step, products):
        ss, _, yy = products
        growing = sqrt(1 + state["ratio"]) * state["step"]
        return smaller(growing, where(yy > 0, sqrt(ss / yy) / 2, GROWS_TO * state["step"]))

    def begin(self, state, value, slope, step):
        value = number(value)
        found = super().begin(state, value, slope, step)
        is_first, length = state["searches"] == 0, sqrt(-found["slope_0"])
        step = where(is_first & (found["step"] * length > 1), 1 / length, found["step"])
        ratio = where(is_first, 0 * value + UNBOUNDED, step / where(is_first, step, state["step"]))
        return {**found, "step": step, "ratio": ratio}
