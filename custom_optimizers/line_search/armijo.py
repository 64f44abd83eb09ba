import keras
import numpy as np

from custom_optimizers.arguments import count, number_in
from custom_optimizers.either import cast, clip, isfinite, number, where, zeros_like
from custom_optimizers.line_search.interpolation import parabola
from custom_optimizers.line_search.line_search import LineSearch

SHORTEST, LONGEST = 0.1, 0.5  # of a step that was too far, the next one


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Armijo(LineSearch):
    """Looks for a step with enough decrease, by going back from the first one.

    ```python
    loss(t) <= loss(0) + decrease * t * slope(0)
    t = clip(minimum of the parabola through loss(0), slope(0) and loss(t), 0.1 * t, 0.5 * t)       # otherwise
    ```

    One evaluation more than updates where first steps are good, and no step is longer than the first one.

    Args:
        decrease: float in (0, 1), the share of the decrease that the slope at 0 promises.
        evaluations: int >= 1, at most, in a search.

    Reference:
        Armijo, Minimization of Functions Having Lipschitz Continuous First Partial Derivatives, 1966.

    Example:

    >>> from custom_optimizers.line_search import Armijo
    >>> search = Armijo()
    >>> state = search.begin(search.initial_state(), 1.0, -2.0, 4.0)       # of (1 - t) ** 2 at t = 0
    >>> while not (state["accepted"] or state["failed"]):
    ...     t = state["step"]
    ...     state = search.next(state, (1 - t) ** 2, 2 * (t - 1))
    >>> round(float(state["step"]), 6)
    1.0
    """

    arguments = ("decrease", "evaluations")
    names = ("evaluated", "value_0", "slope_0", "bound")

    def __init__(self, decrease=1e-4, evaluations=30):
        self.decrease = number_in(type(self).__name__, "decrease", decrease, above=0, below=1)
        self.evaluations = count(type(self).__name__, "evaluations", evaluations)

    def begin(self, state, value, slope, step):
        value = number(value)
        flags = dict.fromkeys(("accepted", "failed", "evaluated"), zeros_like(value))
        return {"step": cast(step, value), **flags, "value_0": value, "slope_0": cast(slope, value), "bound": value}

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        step, start = state["step"], (zeros_like(state["step"]), state["value_0"], state["slope_0"])
        value, slope = cast(value, step), cast(slope, step)
        is_finite = isfinite(value) & isfinite(slope)
        accepted = is_finite & (value <= state["bound"] + self.decrease * step * state["slope_0"])
        failed = ~accepted & (state["evaluated"] + 1 >= self.evaluations)
        shorter = clip(parabola(start, (step, value, slope)), SHORTEST * step, LONGEST * step)
        shorter = where(is_finite, shorter, SHORTEST * step)
        return {
            **state,
            "step": where(accepted | failed, step, shorter),
            "accepted": cast(accepted, step),
            "failed": cast(failed, step),
            "evaluated": state["evaluated"] + 1,
        }
