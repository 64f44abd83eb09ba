import numpy as np
from keras import ops

from custom_optimizers.diagnostics import GIVE_UP_AFTER


class Passes:
    """Base class of the train functions of `fit` that make many passes, each with its update, in one call.

    A backend's class makes the passes in `__call__`, which `fit` calls once in an epoch, and leaves in `_traced` what
    `trace` reads.

    Args:
        model: compiled `keras.Model`.
        optimizer: `Descent` of the model, which makes one update a pass.
        count: int, the number of passes.
        prepare: function that is called before the passes with the number of micro-batches in each.
        counts: function from a batch, and whether it is the first of its pass, to `(weight, divisor)`, as
            `Windowed.micro_batch` takes them; None where the model's `train_step` does more than to count with them.
        function: train function of `fit` for one step, which is given an iterator, on JAX behind the state of training.
    """

    def __init__(self, model, optimizer, count, prepare, counts, function):
        self._model, self._optimizer, self._count = model, optimizer, count
        self._prepare, self._counts, self._function = prepare, counts, function
        self._held, self._batches = None, 0  # what `hold` keeps, and of how many batches
        self._made, self._traced = 0, {}  # of the last call: how many passes, and a tensor with a value of each by name

    @property
    def trace(self):
        """Of the passes of the last call: `loss`, and `gradient_norm` where norms are recorded; arrays."""
        made = int(self._made)
        return {name: np.asarray(ops.convert_to_numpy(values))[:made] for name, values in self._traced.items()}

    def ends(self, value_of):
        """Conditions after which no pass changes anything, a list: training diverges, or a search has come to its end.

        Args:
            value_of: function from a variable of the optimizer to its value.
        """
        record, search, conditions = self._optimizer._record, self._optimizer.search, []
        if record is not None:
            conditions.append(value_of(record.skipped_in_a_row) >= GIVE_UP_AFTER)
        if search is not None:
            conditions.append(search.has_ended(value_of(search.variables["counts"])))
        return conditions

    def held(self, epoch):
        """The batches of the next epoch as `hold` keeps them on the device.

        Args:
            epoch: `callbacks.inside_keras.Epoch`.

        Raises:
            ValueError: there are none.
        """
        if not epoch.is_over:
            self._held = None  # the data of the epoch before are let go before those of the next one are read
        batches = epoch.new_batches()
        if batches is not None:
            if not batches:
                raise ValueError("FullBatch: there are no data in this epoch.")
            self._held, self._batches = self.hold(batches), len(batches)
        self._prepare(self._batches)
        return self._held

    def release(self):
        """Let go of the data."""
        self._held = None

    def hold(self, batches):
        """What is kept of batches, a list of structures of tensors, for the passes over them."""
        raise NotImplementedError
