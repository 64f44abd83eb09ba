import numpy as np
from keras import ops

from custom_optimizers.backend import backend_module

STALLS_AFTER = 20  # points that were taken without a lower loss than before; such steps are rounding
RUNS, NO_DECREASE, NOT_FINITE, FLAT, STALLED = range(5)  # why there is no next point, a number of the state
REASONS = {
    NO_DECREASE: "no decrease along the steepest descent: at the limit of {dtype}",
    NOT_FINITE: "the loss or its gradient is not finite where the search begins",
    FLAT: "the gradient is zero",
    STALLED: f"no lower loss at the last {STALLS_AFTER} updates: at the limit of {{dtype}}",
}


class Minimizer:
    """Minimises a function of one vector, by a direction and a search along it: a pure state machine of tensors.

    ```python
    state = minimizer.initial_state(w)
    while not state["reason"]:
        w = minimizer.next_point(state)
        state = minimizer.next(state, loss(w), gradient(w))          # one evaluation
    ```

    What happens at an evaluation at `w = point + t * d`:

    ```python
    t, accepted, failed = line_search.next(loss, gradient @ d)
    if accepted:
        direction.learn(w - point, gradient - gradient_at_point)
        point, d = w, direction.of(gradient)
    if failed:                                      # along a direction that was learnt: forget, and try the steepest
        d = -gradient_at_point                      # along the steepest one: the end
    if t is new: t = 1, or min(1, 1 / sum(abs(d))) where nothing has been learnt
    ```

    Args:
        direction: `custom_optimizers.directions.Direction`.
        line_search: `custom_optimizers.line_search.LineSearch`.
        size: int, entries of the vector.
        dtype: str, in which all of it is computed.
    """

    def __init__(self, direction, line_search, size, dtype):
        self.direction, self.line_search = direction, line_search
        self._size, self._dtype = size, dtype

    def initial_state(self, point):
        """The state before the first evaluation, which is at `point`, an array: a dict of arrays."""
        zeros, zero = np.zeros(self._size, self._dtype), np.zeros((), self._dtype)
        counts = dict.fromkeys(("evaluations", "accepted", "reason", "since_lowest"), np.zeros((), "int32"))
        return {
            "point": np.asarray(point, self._dtype),
            **{"gradient": zeros, "along": zeros, "value": zero, "lowest": zero, "step_size": zero, **counts},
            "search": np.zeros(len(self.line_search.state_names), self._dtype),
            **{f"direction_{name}": v for name, v in self.direction.initial_state(self._size, self._dtype).items()},
        }

    def next_point(self, state):
        """Where to evaluate the function next."""
        return state["point"] + self._unpacked(state["search"])["step"] * state["along"]

    def next(self, state, value, gradient):
        """The state after an evaluation at `next_point(state)`.

        Args:
            state: dict of tensors.
            value: scalar tensor.
            gradient: tensor `(size,)`.
        """
        dot, is_first = backend_module().dot, ops.equal(state["evaluations"], 0)
        value, gradient = ops.cast(value, self._dtype), ops.cast(gradient, self._dtype)
        before, goes_on = self._unpacked(state["search"]), ops.equal(state["reason"], RUNS)
        search = self.line_search.next(before, value, dot(gradient, state["along"]))
        is_finite = ops.logical_and(ops.isfinite(value), ops.all(ops.isfinite(gradient)))
        accepted = ops.logical_and(goes_on, ops.logical_or(is_first, search["accepted"] > 0))
        failed = ops.logical_and(goes_on, ops.logical_and(search["failed"] > 0, ops.logical_not(is_first)))
        learnt = self._learnt(state, gradient, ops.logical_and(accepted, ops.logical_not(is_first)), failed)
        taken = {
            "point": ops.where(accepted, self.next_point(state), state["point"]),
            "gradient": ops.where(accepted, gradient, state["gradient"]),
            "value": ops.where(accepted, value, state["value"]),
            "step_size": ops.where(accepted, before["step"], state["step_size"]),
        }
        is_lower = ops.logical_or(is_first, taken["value"] < state["lowest"])
        since = state["since_lowest"] + ops.cast(accepted, "int32")
        taken["since_lowest"] = ops.where(is_lower, ops.zeros_like(since), since)
        taken["lowest"] = ops.where(is_lower, taken["value"], state["lowest"])
        begins = ops.logical_or(accepted, failed)
        aimed = self._aimed(state, taken, learnt, search, begins)
        reason = self._reason(state, taken, learnt, failed, ops.logical_and(is_first, ops.logical_not(is_finite)))
        counts = {
            "evaluations": state["evaluations"] + ops.cast(goes_on, "int32"),
            "accepted": state["accepted"] + ops.cast(ops.logical_and(accepted, ops.logical_not(is_first)), "int32"),
            "reason": reason,
        }
        return {**taken, **aimed, **counts, **_named("direction_", learnt)}

    def _learnt(self, state, gradient, is_taken, failed):
        """What the direction remembers."""
        before = _part(state, "direction_")
        step = self._unpacked(state["search"])["step"] * state["along"]
        change = gradient - state["gradient"]
        return self.direction.forget(self.direction.learn(before, step, change, is_taken), failed)

    def _aimed(self, state, taken, learnt, search, begins):
        """The direction and the search along it: those under way, or the next ones."""
        dot, gradient = backend_module().dot, taken["gradient"]
        along = self.direction.of(learnt, gradient)
        slope = dot(gradient, along)
        along = ops.where(slope < 0, along, -gradient)  # rounding may have turned it
        slope = ops.where(slope < 0, slope, -dot(gradient, gradient))
        first = self._first_step(learnt, along)
        begun = self.line_search.begin(search, taken["value"], slope, first)
        search = ops.where(begins, self._packed(begun), self._packed(search))
        return {"along": ops.where(begins, along, state["along"]), "search": search}

    def _packed(self, search):
        return ops.stack([search[name] for name in self.line_search.state_names])

    def _unpacked(self, vector):
        return dict(zip(self.line_search.state_names, ops.unstack(vector), strict=True))

    def _first_step(self, learnt, along):
        length = ops.sum(ops.absolute(along))
        short = ops.where(length > 1, 1 / length, ops.ones_like(length))
        return ops.where(self.direction.is_steepest(learnt), short, ops.ones_like(length))

    def _reason(self, state, taken, learnt, failed, is_bad):
        was_steepest = self.direction.is_steepest(_part(state, "direction_"))
        is_flat = ops.all(ops.equal(taken["gradient"], 0))
        reason = ops.where(is_flat, FLAT, state["reason"])
        reason = ops.where(taken["since_lowest"] >= STALLS_AFTER, STALLED, reason)
        reason = ops.where(ops.logical_and(failed, was_steepest), NO_DECREASE, reason)
        return ops.cast(ops.where(is_bad, NOT_FINITE, reason), "int32")


def _part(state, prefix):
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _named(prefix, values):
    return {prefix + name: value for name, value in values.items()}
