import functools

import numpy as np
from keras import ops

from custom_optimizers.diagnostics import number
from custom_optimizers.search import Search
from custom_optimizers.update import descend


class Handover(Search):
    """A search that begins after some updates of another rule, or where these do not lower the loss any more.

    ```python
    if not handed_over and isfinite(loss):
        w = update of w by g
        since_lowest = 0 if loss < lowest - min_delta else since_lowest + 1
        handed_over = updates >= after or since_lowest >= patience
    else:
        ...                                          # what `Search` does, from these weights on
    ```

    Args:
        optimizer: `Descent`, whose own update is made at first.
        search: `Search`, of whose direction and line search this one is.
        after: int >= 1, updates; None for no number of them.
        patience: int >= 1, updates; None for no end by the loss.
        min_delta: float >= 0.
    """

    def __init__(self, optimizer, search, after, patience, min_delta):
        super().__init__(optimizer, search.direction, search.line_search, search.first_step)
        self._after, self._patience, self._min_delta = after, patience, min_delta

    def build(self):
        super().build()
        point = self.variables["point"]
        self._since = self._optimizer.add_counter("since_lowest")
        self._lowest = self._optimizer.add_variable((), dtype=point.dtype, name="lowest")
        self.phase = self._optimizer.add_counter("is_handed_over")

    def evaluated(self, variables, gradients, loss):
        """Make an update of the first rule; once it has handed over, one of the search, or its next step."""
        if self._known_phase is not None:
            (self._searched if self._known_phase else self._descend)(variables, gradients, loss)
            return
        backend = self._optimizer._backend
        is_over = ops.logical_or(ops.not_equal(self.phase.value, 0), ops.logical_not(ops.isfinite(loss)))
        backend.cond(self._optimizer, ops.logical_not(is_over), lambda: self._descend(variables, gradients, loss))
        backend.cond(self._optimizer, is_over, lambda: self._searched(variables, gradients, loss))

    def _searched(self, variables, gradients, loss):
        self.phase.assign(ops.ones((), self.phase.dtype))
        super().evaluated(variables, gradients, loss)

    def _descend(self, variables, gradients, loss):
        optimizer, lowest = self._optimizer, ops.convert_to_tensor(self._lowest)
        loss, is_first = ops.cast(loss, lowest.dtype), ops.equal(optimizer.iterations, 0)
        is_lower = ops.logical_or(is_first, loss < lowest - self._min_delta)
        descend(optimizer, variables, gradients.tensors, gradients.factor)
        since = ops.where(is_lower, 0, ops.convert_to_tensor(self._since) + 1)
        self._lowest.assign(ops.where(is_lower, loss, lowest))
        self._since.assign(ops.cast(since, self._since.dtype))
        is_over = [] if self._after is None else [optimizer.iterations >= self._after]
        is_over += [] if self._patience is None else [since >= self._patience]
        self.phase.assign(ops.cast(functools.reduce(ops.logical_or, is_over), self.phase.dtype))

    def _becomes_another(self, loss, data):
        """As in `Search`; the first rule goes on with other data too, and forgets the lowest loss."""
        is_other = super()._becomes_another(loss, data)
        if is_other and self._minimizer is not None:
            self._since.assign(0)
            self._lowest.assign(np.inf)
        return is_other

    def read(self):
        """What has become of the search, as `Search` says it; updates of the first rule are evaluations too."""
        optimizer, found = self._optimizer, super().read()
        if not optimizer.built:
            return {}
        before = number(optimizer.inner.iterations)
        if not found:
            rate = float(ops.convert_to_numpy(optimizer.learning_rate))
            return {"evaluations": before, "accepted": before, "step_size": rate, "reason": None}
        return {**found, "evaluations": before + found["evaluations"], "accepted": before + found["accepted"]}
