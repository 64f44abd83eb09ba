from keras import ops

from custom_optimizers.dtypes import wide_dtype


class Window:
    """What an optimizer keeps from one update to the next: the sum of the micro-batches' gradients.

    Args:
        optimizer: `Descent`, whose variables these become.
        variables: list of the variables it was built with.
        pass_length: int, micro-batches in a pass (-1: unknown), when an update ends with a pass; None when it ends
            after a fixed number of micro-batches.
    """

    def __init__(self, optimizer, variables, pass_length=None):
        self._index = optimizer._get_variable_index
        self.counted = optimizer.add_counter("micro_batches")  # micro-batches in the sum
        self.divisor = optimizer.add_local_sum((), wide_dtype(*variables), "divisor")
        self.sums = [optimizer.add_local_sum(v.shape, wide_dtype(v), f"{_flat_name(v)}_sum") for v in variables]
        self.fed = []  # the variables that have gradients
        self.seen = self.pass_length = None
        if pass_length is not None:
            self.seen = optimizer.add_counter("seen")  # with the micro-batches of this pass that loss scaling dropped
            self.pass_length = optimizer.add_counter("pass_length", pass_length)

    @property
    def variables(self):
        return [v for v in (self.counted, self.divisor, *self.sums, self.seen, self.pass_length) if v is not None]

    def sum_of(self, variable):
        """The sum of the gradients of one variable of the model."""
        return self.sums[self._index(variable)]

    def empty(self):
        """Forget what has been summed."""
        for variable in self.variables:
            if variable is not self.pass_length:
                variable.assign(ops.zeros(variable.shape, variable.dtype))


def _flat_name(variable):
    return getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
