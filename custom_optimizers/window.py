import functools

import numpy as np
from keras import ops

from custom_optimizers.diagnostics import number
from custom_optimizers.dtypes import wide_dtype


class Window:
    """What an optimizer keeps from one update to the next: the sum of the micro-batches' gradients.

    Which variables have had a gradient is kept in a variable too, and not in an attribute: a compiled step is traced
    once and called often, and with branches that depend on the data each micro-batch may reach other variables.

    Args:
        optimizer: `Windowed`, whose variables these become.
        variables: list of the variables it was built with.
        pass_length: int, micro-batches in a pass (-1: unknown), when an update ends with a pass; None when it ends
            after a fixed number of micro-batches.
        tracked: bool, whether the optimizer saves these variables.
    """

    def __init__(self, optimizer, variables, pass_length=None, tracked=True):
        self._index = optimizer._get_variable_index
        self._all = variables
        counter = functools.partial(optimizer.add_counter, tracked=tracked)
        local_sum = functools.partial(optimizer.add_local_sum, tracked=tracked)
        self.counted = counter("micro_batches")  # micro-batches in the sum
        self.divisor = local_sum((), wide_dtype(*variables), "divisor")
        self.sums = [
            local_sum(v.shape, wide_dtype(v), f"{_flat_name(v)}_sum", layout=getattr(v, "_layout", None))
            for v in variables
        ]
        self.fed = local_sum((len(variables),), "float32", "fed")  # gradients in each of the sums
        self.seen = self.pass_length = None
        if pass_length is not None:
            self.seen = counter("seen")  # with the micro-batches of this pass that loss scaling dropped
            self.pass_length = counter("pass_length", pass_length)

    @property
    def variables(self):
        every = (self.counted, self.divisor, *self.sums, self.fed, self.seen, self.pass_length)
        return [v for v in every if v is not None]

    def sum_of(self, variable):
        """The sum of the gradients of one variable of the model."""
        return self.sums[self._index(variable)]

    def one_for_each(self, variables):
        """What is added to `fed` when these variables have got a gradient: an array."""
        ones = np.zeros(len(self._all), "float32")
        ones[[self._index(v) for v in variables]] = 1
        return ones

    def begin_pass(self, micro_batches):
        """Forget what has been summed, and expect so many micro-batches: -1 if nobody knows."""
        self.pass_length.assign(micro_batches)
        self.empty()

    def is_due(self, steps):
        """Whether an update is due after so many micro-batches, none of which loss scaling has dropped."""
        full = ops.equal(self.counted, ops.cast(steps, self.counted.dtype))
        return full if self.seen is None else ops.logical_and(full, ops.less_equal(self.seen, self.counted))

    def close(self):
        """Begin the next full batch. A pass has one update, so that what comes behind it in the same pass has none."""
        self.empty()
        if self.pass_length is not None:
            self.pass_length.assign(ops.minimum(self.pass_length, 0))  # -1 stays

    def is_closed(self):
        """Whether the pass has had its update."""
        return number(self.pass_length) == 0

    def left(self):
        """What is left of a pass: `(micro-batches in the sum, micro-batches seen)`, two ints."""
        return number(self.counted), number(self.seen)

    def empty(self):
        """Forget what has been summed."""
        for variable in self.variables:
            if variable is not self.pass_length:
                variable.assign(ops.zeros(variable.shape, variable.dtype))


def _flat_name(variable):
    return getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
