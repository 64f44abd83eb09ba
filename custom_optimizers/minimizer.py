import numpy as np
from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import BY_DECREASE, UNIT
from custom_optimizers.either import (
    cast,
    dot,
    isfinite,
    side_by_side,
    stack,
    sum_of,
    unstack,
    where,
    zeros_like,
)

EXPECTS = 2.02  # times the last decrease of the loss, what a parabola's slope would promise, and a hundredth more
GROWS_TO = 10.0  # times the last step, the first one of the next search, at most
RUNS, NO_DECREASE, NOT_FINITE, FLAT, STALLED = range(5)  # why there is no next point, a number of the state
REASONS = {  # beside what a line search says of its own failure
    NOT_FINITE: "the loss or its gradient is not finite where the search begins",
    FLAT: "the gradient is zero",
    STALLED: "no lower loss at the last {stalls_after} evaluations: at the limit of {dtype}",
}
NUMBERS = "value", "value_before", "lowest", "step_size", "slope"  # beside those of the line search
NEEDED = "point", "along", "numbers", "counts"  # of the state, by `next_point`
COUNTS = "evaluations", "updates", "reason", "since_lowest", "is_steepest"


class Minimizer:
    """Minimises a function of one vector, by a direction and a search along it: a pure state machine of tensors.

    ```python
    state = minimizer.initial_state(w)
    while not minimizer.read(state)["reason"]:
        w = minimizer.next_point(state)
        state = minimizer.next(state, loss(w), gradient(w))          # one evaluation
    ```

    What happens at an evaluation at `w = point + t * d`:

    ```python
    t, accepted, failed = line_search.next(loss, gradient @ d)
    if accepted: point = w
    d = direction.next(gradient, ...)               # learns of this step; after a failure it is the steepest one
    if failed along the steepest direction: the end
    if no lower loss at `stalls_after` evaluations: failed; at as many again, or along the steepest one: the end
    if d is new: t = first step
    ```

    The first step along the direction of steepest descent is `min(1, 1 / sum(abs(gradient)))`, or `first_step`. Along
    others, a direction says one of these, and the line search may take another one still, by the products of the last
    step and of the change of the gradient:

    ```python
    1                                                             # "unit"
    min(1, 2.02 * (loss - loss_before) / slope)                   # "by_decrease": what would lower it by as much again
    min(10, slope_before / slope) * t_before                      # "by_slope": the same to first order, steepest or not
    ```

    Args:
        direction: `custom_optimizers.directions.Direction`.
        line_search: `custom_optimizers.line_search.LineSearch`.
        size: int, entries of the vector.
        dtype: str, in which all of it is computed.
        first_step: float > 0, or None, as above.

    Reference:
        Nocedal and Wright, Numerical Optimization, 2006, section 3.5 and formula 3.60, for the first step.
    """

    def __init__(self, direction, line_search, size, dtype, first_step=None):
        self.direction, self.line_search = direction, line_search
        self._size, self._dtype, self._first_step = size, dtype, first_step
        self._names = (*(f"search_{name}" for name in line_search.state_names), *NUMBERS)

    def initial_state(self, point):
        """The state before the first evaluation, which is at `point`, an array: a dict of arrays."""
        zeros = np.zeros(self._size, self._dtype)
        return {
            "point": np.asarray(point, self._dtype),
            **{"gradient": zeros, "along": zeros},
            "numbers": np.zeros(len(self._names), self._dtype),
            "counts": np.zeros(len(COUNTS), "int32"),
            **{f"direction_{name}": v for name, v in self.direction.initial_state(self._size, self._dtype).items()},
        }

    def read(self, state):
        """The numbers of a state by their names: those of the line search, each behind "search_", and

        - `value`: the loss at the point; `value_before`: that at the point before; `lowest`: that of any point so far;
        - `step_size`: the step to the point; `slope`: that of the loss where the search began;
        - `evaluations`, `updates`: how many there were; `since_lowest`: the last evaluations, since that of the lowest
          loss at a point that was taken;
        - `reason`: 0, or why there is no next point; `is_steepest`: 1 where the direction is that of descent.
        """
        numbers = dict(zip(self._names, unstack(state["numbers"]), strict=True))
        return {**numbers, **dict(zip(COUNTS, unstack(state["counts"]), strict=True))}

    def has_ended(self, counts):
        """Whether there is a reason why there is no next point, a scalar bool tensor; `counts` is of the state."""
        return ops.not_equal(counts[COUNTS.index("reason")], RUNS)

    def updates(self, counts):
        """How many updates there were, a scalar tensor; `counts` is of the state."""
        return counts[COUNTS.index("updates")]

    def next_point(self, state, start=None):
        """Where to evaluate the function next.

        Args:
            state: dict of tensors.
            start: tensor `(size,)`, the point of the first evaluation; None for that of the initial state.
        """
        return self._begun(state, start) + self._step(state)

    def _begun(self, state, start):
        """The point of a state, which may be another one before the first evaluation."""
        is_first = state["counts"][COUNTS.index("evaluations")] == 0
        return state["point"] if start is None else where(is_first, start, state["point"])

    def _step(self, state):
        return state["numbers"][self._names.index("search_step")] * state["along"]

    def next(self, state, value, gradient, start=None):
        """The state after an evaluation at `next_point(state, start)`.

        Args:
            state: dict of tensors.
            value: scalar tensor.
            gradient: tensor `(size,)`.
            start: as in `next_point`.
        """
        of_few = backend_module().of_few
        step, gradient = self._step(state), cast(gradient, state["point"])
        slope = dot(gradient, state["along"])  # NaN if the gradient is not finite, whatever the direction is
        given = state["numbers"], state["counts"], cast(value, state["numbers"]), slope
        numbers, counts, accepted, learns, failed = of_few(self, "decided", *given)
        change = gradient - state["gradient"]
        gradient = where(accepted, gradient, state["gradient"])
        products = [(step, step), (step, change), (change, change)] if self.line_search.uses_products else []
        learnt, along = self.direction.next(_part(state, "direction_"), gradient, step, change, learns, failed)
        of_gradient = side_by_side([dot(along, gradient), dot(gradient, gradient)])  # slope, square
        is_steepest = cast(self.direction.is_steepest(learnt), counts)
        given = numbers, counts, accepted, learns, failed, of_gradient, sum_of(abs(gradient)), is_steepest
        given = *given, *(dot(a, b) for a, b in products)
        numbers, counts, is_new, is_turned = of_few(self, "aimed", *given)
        along = where(is_new, where(is_turned, -gradient, along), state["along"])
        before = self._begun(state, start)
        point = where(accepted, before + step, before)
        after = {"point": point, "gradient": gradient, "along": along, "numbers": numbers, "counts": counts}
        return {**after, **{f"direction_{name}": each for name, each in learnt.items()}}

    def decided(self, numbers, counts, value, slope):
        """Whether the point of an evaluation is taken.

        Args:
            numbers, counts: of the state.
            value, slope: numbers, the loss and its derivative along the direction.

        Returns:
            `(numbers, counts, accepted, learns, failed)`: the last ones conditions, and `learns` whether the direction
            learns of the step: there is a point before the one that was accepted, and nothing is forgotten.
        """
        before = self.read({"numbers": numbers, "counts": counts})
        is_first, goes_on = before["evaluations"] == 0, before["reason"] == RUNS
        found = self.line_search.next(self._search_in(before), value, slope)
        accepted = goes_on & (is_first | (found["accepted"] > 0))
        failed = goes_on & ~is_first & (found["failed"] > 0)
        updates = before["updates"] + cast(accepted & ~is_first, counts)
        is_lower = accepted & (is_first | (value < before["lowest"]))
        is_bad = goes_on & is_first & ~(isfinite(value) & isfinite(slope))
        since = before["since_lowest"] + cast(goes_on, counts)
        if self.line_search.stalls_after is not None:  # what the direction has learnt may be rounding: it begins anew
            is_stuck = (since == self.line_search.stalls_after) & (before["is_steepest"] == 0)
            failed = failed | (goes_on & ~is_first & ~is_lower & is_stuck)
        learns = accepted & ~is_first & ~failed
        after = {
            **_named(found),
            "value": where(accepted, value, before["value"]),
            "value_before": where(accepted, before["value"], before["value_before"]),
            "lowest": where(is_lower, value, before["lowest"]),
            "step_size": where(accepted, before["search_step"], before["step_size"]),
            "evaluations": before["evaluations"] + cast(goes_on, counts),
            "updates": updates,
            "since_lowest": where(is_lower, zeros_like(since), since),
            "reason": where(is_bad, NOT_FINITE, before["reason"]),
        }
        return *self._written({**before, **after}, numbers, counts), accepted, learns, failed

    def aimed(self, numbers, counts, accepted, learns, failed, of_gradient, length, is_steepest, *products):
        """Where the search along the next direction begins.

        Args:
            numbers, counts: that `decided` has returned.
            accepted, learns, failed: conditions, as `decided` returns them.
            of_gradient: `(2,)`, the products of direction and gradient with the gradient.
            length: number, the sum of the gradient's absolute entries.
            is_steepest: 1 if the direction is that of steepest descent, else 0.
            products: those of the last step, where the line search looks at them.

        Returns:
            `(numbers, counts, is_new, is_turned)`: the last ones conditions, whether there is a new direction, and
            whether it is the gradient's opposite, since rounding has turned that of the method.
        """
        before = self.read({"numbers": numbers, "counts": counts})
        is_new, is_turned = accepted | failed, ~(of_gradient[0] < 0)
        slope = where(is_turned, -of_gradient[1], of_gradient[0])
        first = self._first(before, slope, length, is_steepest > 0)
        search = self._search_in(before)
        if products:
            first = where(learns, self.line_search.first(search, first, products), first)
        begun = self.line_search.begin(search, before["value"], slope, first)
        begun = {**_named(begun), "slope": slope, "is_steepest": is_steepest}
        after = {name: where(is_new, number, before[name]) for name, number in begun.items()}
        reason = where(length == 0, FLAT, before["reason"])
        if self.line_search.stalls_after is not None:
            since, most = before["since_lowest"], self.line_search.stalls_after
            stalls = (since >= 2 * most) | ((since == most) & (before["is_steepest"] > 0))
            reason = where(stalls, STALLED, reason)
        reason = where(failed & (before["is_steepest"] > 0), NO_DECREASE, reason)
        reason = where(before["reason"] == RUNS, reason, before["reason"])
        return *self._written({**before, **after, "reason": reason}, numbers, counts), is_new, is_turned

    def _first(self, before, slope, length, is_steepest):
        """The first step of a search."""
        one = zeros_like(slope) + 1
        first = where(is_steepest & (length > 1), one / length, one)
        if self.direction.first_step == UNIT:
            return first
        if self.direction.first_step == BY_DECREASE:
            step = EXPECTS * (before["value"] - before["value_before"]) / slope
            return where(is_steepest, first, where((step > 0) & (step < 1), step, one))
        first = first if self._first_step is None else self._first_step * one
        step, growth = before["step_size"], before["slope"] / slope
        following = step * where(growth > GROWS_TO, GROWS_TO * one, growth)
        return where(before["updates"] > 0, following, first)

    def _search_in(self, values):
        return {name: values[f"search_{name}"] for name in self.line_search.state_names}

    def _written(self, values, numbers, counts):
        """`(numbers, counts)` of the state, from all of them by name."""
        return stack([values[n] for n in self._names], numbers), stack([values[n] for n in COUNTS], counts)


def _named(search):
    return {f"search_{name}": value for name, value in search.items()}


def _part(state, prefix):
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
