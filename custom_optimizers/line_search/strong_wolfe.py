import keras
import numpy as np

from custom_optimizers.arguments import count, number_in
from custom_optimizers.either import (
    cast,
    chosen,
    clip,
    isfinite,
    larger,
    number,
    sign,
    smaller,
    unless,
    where,
    zeros_like,
)
from custom_optimizers.line_search.interpolation import cubic, parabola, secant
from custom_optimizers.line_search.line_search import LineSearch

FARTHER = 1.1, 4.0  # how much farther from the best step than the last one the next may be, while none was too far
SHRINKS_TO = 0.66  # of its length two evaluations before, at least; else the interval is halved
NOT_FINITE_TO = 0.1  # where to look next, on the way from the best step to one at which the loss is not finite
NARROW = 0.1  # width of an interval, relative to its upper end, that is not worth another evaluation
LARGEST = 1e10  # step


@keras.saving.register_keras_serializable(package="custom_optimizers")
class StrongWolfe(LineSearch):
    """Looks for a step with enough decrease and a slope that is small, of either sign.

    ```python
    loss(t) <= loss(0) + decrease * t * slope(0)
    abs(slope(t)) <= curvature * abs(slope(0))
    ```

    The search of Moré and Thuente, which L-BFGS-B uses: an interval holds a step that is good, and each evaluation
    makes it shorter, by cubic and quadratic interpolation with safeguards. Where rounding, the number of evaluations,
    or an interval that is short enough ends the search before the slope is small, the step with the lowest loss is
    taken if that has decreased enough; otherwise the search has failed.

    Args:
        decrease: float in (0, 1), the share of the decrease that the slope at 0 promises.
        curvature: float in (0, 1): 0.9 behind quasi-Newton directions, 0.1 to 0.4 behind conjugate gradients.
        evaluations: int >= 2, at most, in a search.

    Reference:
        Moré and Thuente, Line Search Algorithms with Guaranteed Sufficient Decrease, ACM Transactions on Mathematical
        Software 20, 1994.

    Example:

    >>> from custom_optimizers.line_search import StrongWolfe
    >>> search = StrongWolfe(curvature=0.1)
    >>> state = search.begin(search.initial_state(), 1.0, -2.0, 4.0)       # of (1 - t) ** 2 at t = 0
    >>> while not (state["accepted"] or state["failed"]):
    ...     t = state["step"]
    ...     state = search.next(state, (1 - t) ** 2, 2 * (t - 1))
    >>> round(float(state["step"]), 6)
    1.0
    """

    arguments = ("decrease", "curvature", "evaluations")
    names = (
        *("evaluated", "past", "bracketed", "low", "high", "width", "width_before", "value_0", "slope_0"),
        *("best", "best_value", "best_slope", "other", "other_value", "other_slope"),
    )

    def __init__(self, decrease=1e-3, curvature=0.9, evaluations=20):
        self.decrease = number_in("StrongWolfe", "decrease", decrease, above=0, below=1)
        self.curvature = number_in("StrongWolfe", "curvature", curvature, above=0, below=1)
        self.evaluations = count("StrongWolfe", "evaluations", evaluations, least=2)

    def begin(self, state, value, slope, step):
        value = number(value)
        slope, step, zero = cast(slope, value), cast(step, value), zeros_like(value)
        flags = dict.fromkeys(("accepted", "failed", "evaluated", "past", "bracketed", "low"), zero)
        widths = {"high": (1 + FARTHER[1]) * step, "width": zero + LARGEST, "width_before": zero + 2 * LARGEST}
        start = (zero, value, slope)
        return {
            **{"step": step, "value_0": value, "slope_0": slope, **flags, **widths},
            **_named("best", start),
            **_named("other", start),
        }

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        at = (state["step"], cast(value, state["step"]), cast(slope, state["step"]))
        straight = self.decrease * state["slope_0"]
        is_finite = isfinite(at[1]) & isfinite(at[2])
        decreases = is_finite & (at[1] <= state["value_0"] + at[0] * straight)
        is_flat = abs(at[2]) <= -self.curvature * state["slope_0"]
        ends = self._ends(state, at, decreases, straight)
        accepted = decreases & (is_flat | (ends & (at[0] > 0)))
        failed = ends & ~accepted
        ended = accepted | failed
        after = unless(ended, lambda: self._shorter(state, at, is_finite, decreases, straight), state)
        flags = {"accepted": cast(accepted, at[1]), "failed": cast(failed, at[1]), "evaluated": state["evaluated"] + 1}
        return {**state, **after, "step": where(ended, at[0], after["step"]), **flags}

    def _ends(self, state, at, decreases, straight):
        """Whether this evaluation is the last one, although its slope is not small."""
        low, high, is_bracketed = state["low"], state["high"], state["bracketed"] > 0
        is_narrow = (at[0] <= low) | (at[0] >= high) | (high - low <= NARROW * high)
        is_largest = (at[0] >= LARGEST) & decreases & (at[2] <= straight)
        return (is_bracketed & is_narrow) | is_largest | (state["evaluated"] + 1 >= self.evaluations)

    def _shorter(self, state, at, is_finite, decreases, straight):
        """The interval with this evaluation in it, and the next step, as a part of the state."""
        past = (state["past"] > 0) | (decreases & (at[2] >= 0))
        # Until a step has gone past the minimum, what is minimised is the loss less the decrease that is asked for.
        lowers = (at[1] <= state["best_value"]) & ~decreases & ~past
        tilt = where(lowers, straight, 0 * straight)
        best, other, at_ = (_tilted(each, tilt) for each in (_point(state, "best"), _point(state, "other"), at))
        step, best, other, bracketed = _interpolated(state, best, other, at_)
        best, other = _tilted(best, -tilt), _tilted(other, -tilt)
        shorter = at[0] * NOT_FINITE_TO + state["best"] * (1 - NOT_FINITE_TO)
        step, bracketed = where(is_finite, step, shorter), bracketed | ~is_finite
        best = chosen(is_finite, best, _point(state, "best"))
        other = chosen(is_finite, other, (at[0], at[1], 0 * at[0]))
        return self._bounded(state, step, best, other, bracketed, past)

    def _bounded(self, state, step, best, other, bracketed, past):
        length = abs(other[0] - best[0])
        halves = bracketed & (length >= SHRINKS_TO * state["width_before"])
        step = where(halves, best[0] + 0.5 * (other[0] - best[0]), step)
        low = where(bracketed, smaller(best[0], other[0]), step + FARTHER[0] * (step - best[0]))
        high = where(bracketed, larger(best[0], other[0]), step + FARTHER[1] * (step - best[0]))
        step = clip(step, zeros_like(step), zeros_like(step) + LARGEST)
        is_last = state["evaluated"] + 2 >= self.evaluations
        is_narrow = bracketed & ((step <= low) | (step >= high) | (high - low <= NARROW * high))
        return {
            "step": where(is_narrow | is_last, best[0], step),  # the best one once more
            "past": cast(past, step),
            "bracketed": cast(bracketed, step),
            **{"low": low, "high": high},
            "width": where(bracketed, length, state["width"]),
            "width_before": where(bracketed, state["width"], state["width_before"]),
            **_named("best", best),
            **_named("other", other),
        }


def _interpolated(state, best, other, at):
    """`(next step, best point, point at the other end, whether a minimum is between them)`: their cases 1 to 4."""
    bracketed, is_farther = state["bracketed"] > 0, at[0] > best[0]
    is_higher, turns = at[1] > best[1], at[2] * sign(best[2]) < 0
    is_flatter = abs(at[2]) < abs(best[2])
    limit = where(is_farther, state["high"], state["low"])
    between, by_cubic, share, root = cubic(best, at)
    by_secant, by_parabola = secant(at, best), parabola(best, at)
    is_nearer = abs(between - best[0]) <= abs(by_parabola - best[0])
    higher = where(is_nearer, between, (between + by_parabola) / 2)
    beyond = where((share < 0) & (root != 0), by_cubic, limit)
    flatter = _flatter(state, best, other, at, beyond, by_secant)
    on = cubic(at, other)[0]
    on = where(isfinite(on), on, (at[0] + other[0]) / 2)
    step = where(is_flatter, flatter, where(bracketed, on, limit))
    step = where(turns, _farther(at[0], by_cubic, by_secant), step)
    step = where(is_higher, higher, step)
    new_other = chosen(is_higher, at, chosen(turns, best, other))
    return step, chosen(is_higher, best, at), new_other, bracketed | is_higher | turns


def _flatter(state, best, other, at, by_cubic, by_secant):
    """The next step where the loss is lower and the slope flatter, of the same sign."""
    bracketed, is_farther = state["bracketed"] > 0, at[0] > best[0]
    is_near = abs(by_cubic - at[0]) < abs(by_secant - at[0])
    inside = where(is_near, by_cubic, by_secant)
    limit = at[0] + SHRINKS_TO * (other[0] - at[0])
    inside = where(is_farther, smaller(limit, inside), larger(limit, inside))
    outside = clip(_farther(at[0], by_cubic, by_secant), state["low"], state["high"])
    return where(bracketed, inside, outside)


def _farther(t, one, other):
    return where(abs(one - t) > abs(other - t), one, other)


def _tilted(point, tilt):
    t, value, slope = point
    return t, value - t * tilt, slope - tilt


def _point(state, name):
    return state[name], state[f"{name}_value"], state[f"{name}_slope"]


def _named(name, point):
    return dict(zip((name, f"{name}_value", f"{name}_slope"), point, strict=True))
