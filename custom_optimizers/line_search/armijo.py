import keras
from keras import ops

from custom_optimizers.arguments import count, number_in
from custom_optimizers.line_search.interpolation import larger, parabola, smaller
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
        value = ops.convert_to_tensor(value)
        slope, step = (ops.cast(each, value.dtype) for each in (slope, step))
        flags = dict.fromkeys(("accepted", "failed", "evaluated"), ops.zeros_like(value))
        return {"step": step, **flags, "value_0": value, "slope_0": slope, "bound": value}

    def next(self, state, value, slope):
        step, start = state["step"], (0 * state["step"], state["value_0"], state["slope_0"])
        value, slope = (ops.cast(each, step.dtype) for each in (value, slope))
        is_finite = ops.logical_and(ops.isfinite(value), ops.isfinite(slope))
        decreases = value <= state["bound"] + self.decrease * step * state["slope_0"]
        accepted = ops.logical_and(is_finite, decreases)
        failed = ops.logical_and(ops.logical_not(accepted), state["evaluated"] + 1 >= self.evaluations)
        by_parabola = parabola(start, (step, value, slope))
        shorter = larger(SHORTEST * step, smaller(LONGEST * step, by_parabola))
        shorter = ops.where(is_finite, shorter, SHORTEST * step)
        return {
            **state,
            "step": ops.where(ops.logical_or(accepted, failed), step, shorter),
            "accepted": ops.cast(accepted, step.dtype),
            "failed": ops.cast(failed, step.dtype),
            "evaluated": state["evaluated"] + 1,
        }
