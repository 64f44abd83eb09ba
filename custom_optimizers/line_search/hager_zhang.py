import keras
import numpy as np

from custom_optimizers.arguments import count, number_in
from custom_optimizers.either import cast, isfinite, number, unless, where, zeros_like
from custom_optimizers.line_search.interpolation import secant
from custom_optimizers.line_search.line_search import LineSearch

GROWS = 5.0  # how much farther the next step is, while the loss still falls
SHRINKS_TO = 0.66  # of its length, by a pair of secant steps at least; else the interval is halved
LARGEST = 1e10  # step
NOT_FINITE_TO = 0.1  # where to look next, on the way to a step at which the loss is not finite
BRACKET, BISECT, SECANT, SECOND_SECANT, HALVE = range(5)  # what the evaluation that is waited for is for


@keras.saving.register_keras_serializable(package="custom_optimizers")
class HagerZhang(LineSearch):
    """Looks for a step by slopes where the losses differ by rounding only: the search for float32.

    ```python
    loss(t) <= loss(0) + decrease * t * slope(0)  and  slope(t) >= curvature * slope(0)                # Wolfe, or
    (2 * decrease - 1) * slope(0) >= slope(t) >= curvature * slope(0)  and  loss(t) <= loss(0) + e     # approximate
    e = tolerance * abs(loss(0))
    ```

    Near a minimum the first condition asks for a decrease that is smaller than the rounding of the loss. The second one
    is the same for a parabola, and needs the slope alone. An interval is made shorter by pairs of secant steps, and
    halved where these are slow.

    Args:
        decrease: float in (0, 0.5), the share of the decrease that the slope at 0 promises.
        curvature: float in (decrease, 1), how steep the slope may be at the end, beside that at 0.
        tolerance: float >= 0, by how much of itself the loss may rise.
        evaluations: int >= 2, at most, in a search.

    Reference:
        Hager and Zhang, A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search, SIAM
        Journal on Optimization 16, 2005.

    Example:

    >>> from custom_optimizers.line_search import HagerZhang
    >>> search = HagerZhang()
    >>> state = search.begin(search.initial_state(), 1.0, -2.0, 4.0)       # of (1 - t) ** 2 at t = 0
    >>> while not (state["accepted"] or state["failed"]):
    ...     t = state["step"]
    ...     state = search.next(state, (1 - t) ** 2, 2 * (t - 1))
    >>> round(float(state["step"]), 6)
    1.0
    """

    arguments = ("decrease", "curvature", "tolerance", "evaluations")
    names = (
        *("evaluated", "stage", "value_0", "slope_0", "width"),
        *("low", "low_slope", "high", "high_slope", "low_before", "low_slope_before", "high_before"),
        *("high_slope_before",),
    )

    def __init__(self, decrease=0.1, curvature=0.9, tolerance=1e-6, evaluations=30):
        self.decrease = number_in("HagerZhang", "decrease", decrease, above=0, below=0.5)
        self.curvature = number_in("HagerZhang", "curvature", curvature, above=self.decrease, below=1)
        self.tolerance = number_in("HagerZhang", "tolerance", tolerance, least=0)
        self.evaluations = count("HagerZhang", "evaluations", evaluations, least=2)

    def begin(self, state, value, slope, step):
        value = number(value)
        found = dict.fromkeys(self.state_names, zeros_like(value))
        slope = cast(slope, value)
        found = {**found, "step": cast(step, value), "value_0": value, "slope_0": slope, "low_slope": slope}
        return {**found, "width": zeros_like(value) + LARGEST}

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        step = state["step"]
        value, slope = cast(value, step), cast(slope, step)
        is_finite = isfinite(value) & isfinite(slope)
        is_low = is_finite & (value <= state["value_0"] + self.tolerance * abs(state["value_0"]))
        is_good = is_finite & self._is_good(state, value, slope, is_low)
        ends = state["evaluated"] + 1 >= self.evaluations
        accepted = is_good | (ends & is_low & (step > 0) & (slope <= 0))
        failed = ends & ~accepted
        ended = accepted | failed
        after = unless(ended, lambda: self._after(state, step, slope, is_finite, is_low), state)
        is_last = (state["evaluated"] + 2 >= self.evaluations) | (after["step"] == after["low"])
        following = where(is_last, after["low"], after["step"])  # the lowest one is looked at once more, and taken
        evaluated = where(is_last, zeros_like(step) + self.evaluations - 1, state["evaluated"] + 1)
        flags = {"accepted": cast(accepted, step), "failed": cast(failed, step), "evaluated": evaluated}
        return {**state, **after, "step": where(ended, step, following), **flags}

    def _is_good(self, state, value, slope, is_low):
        """Whether a finite step meets the conditions of Wolfe, exactly or approximately."""
        falls = value - state["value_0"] <= self.decrease * state["step"] * state["slope_0"]
        is_approximate = is_low & ((2 * self.decrease - 1) * state["slope_0"] >= slope)
        return (slope >= self.curvature * state["slope_0"]) & (falls | is_approximate)

    def _after(self, state, step, slope, is_finite, is_low):
        """The interval with this evaluation in it, what is done next, and the next step, as a part of the state."""
        rises = is_finite & (slope >= 0)
        is_too_high = ~(rises | is_low)
        ends = rises | is_too_high
        low, low_slope = where(ends, state["low"], step), where(ends, state["low_slope"], slope)
        high, high_slope = where(ends, step, state["high"]), where(ends, slope, state["high_slope"])
        share = where(is_finite, zeros_like(step) + 0.5, zeros_like(step) + NOT_FINITE_TO)
        interval = (low, low_slope), (high, high_slope), low + share * (high - low)
        grows = (state["stage"] == BRACKET) & ~ends
        bisects = (state["stage"] == BISECT) & ~rises
        found = self._shorter(state, *interval, rises)
        found = _chosen(is_too_high | bisects, {**found, "stage": BISECT, "step": interval[2]}, found)
        found = _chosen(grows, {**found, "stage": BRACKET, "step": GROWS * step, "width": state["width"]}, found)
        return {**found, "low": low, "low_slope": low_slope, "high": high, "high_slope": high_slope}

    def _shorter(self, state, low, high, middle, rises):
        """What is done next where the slopes at both ends have different signs."""
        stage, width = state["stage"], high[0] - low[0]
        before = [(state[f"{end}_before"], state[f"{end}_slope_before"]) for end in ("low", "high")]
        second = where(rises, _secant(before[1], high), _secant(before[0], low))
        seconds = (stage == SECANT) & _is_inside(second, low, high)
        is_slow = width > SHRINKS_TO * state["width"]
        halves = (stage > BRACKET) & (stage < HALVE) & is_slow
        first = _secant(low, high)
        firsts = _is_inside(first, low, high)
        found = {
            **{"stage": where(firsts, SECANT, HALVE), "step": where(firsts, first, middle), "width": width},
            **{"low_before": low[0], "low_slope_before": low[1]},
            **{"high_before": high[0], "high_slope_before": high[1]},
        }
        kept = {name: state[name] for name in found}
        found = _chosen(halves, {**kept, "stage": HALVE, "step": middle}, found)
        return _chosen(seconds, {**kept, "stage": SECOND_SECANT, "step": second}, found)


def _secant(a, b):
    return secant((a[0], None, a[1]), (b[0], None, b[1]))


def _is_inside(t, low, high):
    return (t > low[0]) & (t < high[0])


def _chosen(condition, one, other):
    like = other["step"]
    return {name: where(condition, cast(one[name], like), cast(other[name], like)) for name in other}
