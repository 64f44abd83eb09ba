import functools

import numpy as np
from keras import ops

from custom_optimizers.diagnostics import number
from custom_optimizers.dtypes import wide_dtype


class Window:
    """The variables of gradient accumulation: the sum of the micro-batches' gradients since the last update.

    `gradient_counts` says which variables have had a gradient. It is a variable too, and not an attribute, since a
    compiled step is traced once and called often: if the step branches by its data, each micro-batch may have gradients
    for other variables.

    The names that the variables are given below are in files of `callbacks.ExactResume`: a new name would make these
    files unreadable.

    Args:
        optimizer: `Windowed`, whose variables these become.
        variables: list of the variables it was built with.
        pass_length: int, the number of micro-batches in a pass, -1 if it is unknown, where each pass makes one update;
            None where a fixed number of micro-batches makes one.
        tracked: bool, whether the optimizer saves these variables.
    """

    def __init__(self, optimizer, variables, pass_length=None, tracked=True):
        self._index = optimizer._get_variable_index
        self._all = variables
        counter = functools.partial(optimizer.add_counter, tracked=tracked)
        local_sum = functools.partial(optimizer.add_local_sum, tracked=tracked)
        self.micro_batches_summed = counter("micro_batches")  # that are in the sum
        self.divisor = local_sum((), wide_dtype(*variables), "divisor")
        self.sums = [
            local_sum(v.shape, wide_dtype(v), f"{_flat_name(v)}_sum", layout=getattr(v, "_layout", None))
            for v in variables
        ]
        self.gradient_counts = local_sum((len(variables),), "float32", "fed")  # how many gradients are in each sum
        self.loss = local_sum((), wide_dtype(*variables), "loss") if optimizer.needs_loss else None  # weighted sum
        self.is_empty = False  # True where it is known, without a look at the device, that the sums and counts are 0
        self.micro_batches_begun = self.pass_length = None
        if pass_length is not None:
            self.micro_batches_begun = counter("seen")  # in this pass, with those that loss scaling has dropped
            self.pass_length = counter("pass_length", pass_length)

    @property
    def variables(self):
        counters = (self.micro_batches_begun, self.pass_length)
        every = (self.micro_batches_summed, self.divisor, *self.sums, self.gradient_counts, self.loss, *counters)
        return [v for v in every if v is not None]

    def sum_of(self, variable):
        """The sum of the gradients of one variable of the model."""
        return self.sums[self._index(variable)]

    def one_for_each(self, variables):
        """An array with 1 for each of these variables and 0 for the others: what is added to `gradient_counts`."""
        ones = np.zeros(len(self._all), "float32")
        ones[[self._index(v) for v in variables]] = 1
        return ones

    def begin_pass(self, micro_batches):
        """Empty the sums, and set how many micro-batches the pass will have; -1 if that is unknown."""
        self.pass_length.assign(micro_batches)
        if not self.is_empty:
            self.empty()
        self.is_empty = False

    def is_due(self, steps):
        """Whether the sums have `steps` micro-batches, so that an update is due, and loss scaling has dropped none."""
        summed, begun = self.micro_batches_summed, self.micro_batches_begun
        is_full = ops.equal(summed, ops.cast(steps, summed.dtype))
        return is_full if begun is None else ops.logical_and(is_full, ops.less_equal(begun, summed))

    def close(self):
        """Begin the next full batch. A pass makes one update: micro-batches after it in the same pass make none."""
        self.empty()
        if self.pass_length is not None:
            self.pass_length.assign(ops.minimum(self.pass_length, 0))  # 0: it is closed; -1, unknown, stays

    def is_closed(self):
        """Whether the pass has had its update."""
        return number(self.pass_length) == 0

    def left(self):
        """What has not made an update: `(micro-batches in the sum, micro-batches begun)`, two ints."""
        begun = number(self.micro_batches_begun)
        return number(self.micro_batches_summed) if begun else 0, begun

    def empty(self):
        """Set the sums and the counts to 0."""
        for variable in self.variables:
            if variable is not self.pass_length:
                variable.assign(ops.zeros(variable.shape, variable.dtype))


def _flat_name(variable):
    return getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
