import numpy as np

from custom_optimizers.arguments import count
from custom_optimizers.either import cast, isfinite, number, where, zeros_like
from custom_optimizers.line_search.line_search import LineSearch

SHORTER = 0.1  # of a step at which the loss is not finite, the next one


class StepSize(LineSearch):
    """Base class of rules that say how long a step of gradient descent is, and take it as it is.

    ```python
    t = rule(...)                               # where a search begins
    accepted = isfinite(loss(t))                # otherwise t = 0.1 * t
    ```

    A subclass overrides `first`, which the products of the last step are given to, or `begin`.

    Args:
        evaluations: int >= 1, at most, until the loss is finite.
    """

    arguments = ("evaluations",)
    names = ("evaluated", "searches", "slope_0")
    is_for_descent = True
    stalls_after = None
    failure = "the loss is not finite along the steepest descent, however short the step"

    def __init__(self, evaluations=30):
        self.evaluations = count(type(self).__name__, "evaluations", evaluations)

    def begin(self, state, value, slope, step):
        value = number(value)
        zeros = dict.fromkeys(("accepted", "failed", "evaluated"), zeros_like(value))
        found = {"step": cast(step, value), "slope_0": cast(slope, value), "searches": state["searches"] + 1}
        return {**zeros, **found}

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        step, evaluated = state["step"], state["evaluated"] + 1
        accepted = isfinite(cast(value, step)) & isfinite(cast(slope, step)) & (step > 0)
        failed = ~accepted & ((evaluated >= self.evaluations) | ~(step > 0))
        return {
            **state,
            "step": where(accepted | failed, step, SHORTER * step),
            "accepted": cast(accepted, step),
            "failed": cast(failed, step),
            "evaluated": evaluated,
        }
